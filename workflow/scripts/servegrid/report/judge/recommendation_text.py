"""The recommendation as data and as text."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from servegrid.launch.deploy import DeploymentForm
from servegrid.report.evidence import POOLED_ONLY, Evidence
from servegrid.report.format import format_interval, format_number, format_reasons
from servegrid.report.judge.claim_rulings import estimate_data, estimate_text
from servegrid.report.judge.recommendation import UNITS, Recommendation, Rival
from servegrid.results.points import pace_unknown_rows
from servegrid.stats.intervals import ONE_SESSION

_MAX_ROWS = 5
_NOT_REPEATED = (ONE_SESSION, POOLED_ONLY)


def as_data(recommendation: Recommendation, evidence: Evidence, forms: Sequence[DeploymentForm]) -> dict[str, Any]:
    """Recommendation as plain values; `summary`, `lead` and what follows it, is what a terminal shows."""
    lead, *rest = summary_lines(recommendation, evidence)
    return {
        "objective": recommendation.objective,
        "slo": dict(evidence.settings.slo),
        "metric": recommendation.metric,
        "unit": UNITS[recommendation.metric],
        "setting": None if recommendation.row is None else _axes(recommendation.row, evidence),
        "figure": None if recommendation.estimate is None else estimate_data(recommendation.estimate),
        "second": None if recommendation.second is None else _rival_data(recommendation.second, evidence),
        "no_difference_shown": [_rival_data(rival, evidence) for rival in recommendation.undecided],
        "further_sessions": recommendation.further_sessions,
        "two_groups": recommendation.two_groups,
        "considered": len(recommendation.rivals) + (recommendation.row is not None),
        "left_out": dict(recommendation.left_out),
        "ahead": [{"setting": _axes(row, evidence), "reason": reason} for row, reason in recommendation.ahead.items()],
        "slo_kept": [asdict(result) for result in slo_results(recommendation, evidence)],
        "warnings": _warnings(recommendation, evidence),
        "command": forms[0].text if forms else None,
        "commands": [asdict(form) for form in forms],
        "lead": lead,
        "details": rest[1:],
        "summary": [lead, *rest],
    }


def as_markdown(recommendation: Recommendation, evidence: Evidence, command: str | None) -> str:
    """Markdown page that begins with the answer."""
    lines = ["# Recommendation", "", *(part for line in summary_lines(recommendation, evidence) for part in (line, ""))]
    if warnings := _warnings(recommendation, evidence):
        lines += [f"Warnings: {warnings}.", ""]
    if command:
        lines += ["The command:", "", "```sh", command, "```", ""]
    if recommendation.undecided:
        lines += ["No difference shown from (with 95 % the truly best is the recommended or one of these):", ""]
        lines += [*_undecided_lines(recommendation, evidence), ""]
    if recommendation.left_out:
        lines += [f"Not considered: {format_reasons(recommendation.left_out)}.", ""]
    return "\n".join(lines)


def summary_lines(recommendation: Recommendation, evidence: Evidence) -> Iterator[str]:
    """Lines that say what to deploy and how fast it is; over what, and how surely."""
    slo = "".join(f", {name} at most {format_number(limit)}" for name, limit in evidence.settings.slo.items())
    goal = recommendation.objective.replace("_", " ") + slo
    if recommendation.row is None or recommendation.estimate is None:
        yield f"nothing to recommend for {goal}: {format_reasons(recommendation.left_out) or 'no point was measured'}"
        return
    place = ", ".join(f"{axis} {value}" for axis, value in _axes(recommendation.row, evidence).items())
    yield f"recommended for {goal}: {place}"
    yield f"{estimate_text(recommendation.estimate, UNITS[recommendation.metric])}; {recommendation.estimate.how}"
    yield _margin_text(recommendation, evidence)
    if recommendation.two_groups is not None:
        yield _two_groups_text(recommendation)
    yield from (result.text() for result in slo_results(recommendation, evidence))
    if pace_unknown_rows(evidence.rows).iloc[recommendation.row]:
        yield "whether the load client set its pace is not known"
    for row, reason in list(recommendation.ahead.items())[:_MAX_ROWS]:
        yield f"left out, though measured better: {_differing_axes(row, recommendation, evidence)} ({reason})"


@dataclass(frozen=True)
class SloResult:
    """How the recommended setting keeps an SLO: its value over all requests, and in how many of its sessions."""

    column: str
    limit: float
    value: float
    sessions_within: int
    sessions: int

    def text(self) -> str:
        """`limit kept: ttft_ms_p99 180 of at most 220, in 2 of 3 sessions`."""
        sessions_text = (
            f", in {self.sessions_within} of {self.sessions} sessions"
            if self.sessions
            else ", of no session by itself known"
        )
        value, limit = format_number(self.value), format_number(self.limit)
        return f"limit kept: {self.column} {value} of at most {limit}{sessions_text}"


def slo_results(recommendation: Recommendation, evidence: Evidence) -> Iterator[SloResult]:
    """Result for every SLO of the settings; none without a recommended setting."""
    if recommendation.row is None:
        return
    for column, limit in evidence.settings.slo.items():
        session_values = list(evidence.by_round(recommendation.row, column).values())
        value = float(evidence.rows[column].iloc[recommendation.row])
        yield SloResult(
            column, limit, value, sum(session_value <= limit for session_value in session_values), len(session_values)
        )


def _warnings(recommendation: Recommendation, evidence: Evidence) -> str:
    return "" if recommendation.row is None else str(evidence.rows["warnings"].iloc[recommendation.row])


def _margin_text(recommendation: Recommendation, evidence: Evidence) -> str:
    """How many times better it is than the next best, and from how many others no difference is shown."""
    if recommendation.second is None:
        reasons = format_reasons(recommendation.left_out)
        return "no other point was fit to hold it against" + (f" (not considered: {reasons})" if reasons else "")
    second, undecided = recommendation.second, len(recommendation.undecided)
    next_best = _differing_axes(second.row, recommendation, evidence)
    text = f"{_times_text(second)} as good as the next best ({next_best}), {second.effect.how}"
    if all(rival.effect.how in _NOT_REPEATED for rival in recommendation.rivals):
        unknown = f"how surely it beats the {_others(len(recommendation.rivals))} is not known"
        return f"{text}; {unknown}: set repeats to 2 or more, or to auto"
    if not undecided:
        count = len(recommendation.rivals)
        return f"{text}; better than {'the only other' if count == 1 else f'all {_others(count)}'}"
    of = "it" if len(recommendation.rivals) == 1 else f"{undecided} of {_others(len(recommendation.rivals))}"
    return f"{text}; no difference shown from {of}; {_advice(recommendation)}"


def _others(count: int) -> str:
    """`7 others`, `1 other`."""
    return f"{count} other{'' if count == 1 else 's'}"


def _advice(recommendation: Recommendation) -> str:
    """What would tell the recommended from the others; what is measured is kept."""
    further = recommendation.further_sessions
    if further is None:
        return "more sessions (repeats: auto) may tell them apart, what is measured is kept"
    if not further:
        return "the next best is beaten, and more sessions (repeats: auto) may tell the others apart"
    sessions = f"{further} more session{'s' * (further > 1)} of each"
    return f"if the next best is as measured, about {sessions} (repeats) would show it; what is measured is kept"


def _two_groups_text(recommendation: Recommendation) -> str:
    apart = 100 * ((recommendation.two_groups or 1.0) - 1)
    return (
        f"the sessions fall into two groups {apart:.2g} % apart: something differs from launch to launch, such as clocks or the"
        " placement of memory"
    )


def _times_text(rival: Rival) -> str:
    """`1.24 times (1.20-1.29)`."""
    effect = rival.effect
    if effect.low is None or effect.high is None:
        return f"{format_number(effect.value)} times"
    return f"{format_number(effect.value)} times ({format_interval(effect.low, effect.high)})"


def _undecided_lines(recommendation: Recommendation, evidence: Evidence) -> Iterator[str]:
    for rival in recommendation.undecided[:_MAX_ROWS]:
        setting = _differing_axes(rival.row, recommendation, evidence)
        yield f"- {setting}: the recommended is {_times_text(rival)} as good"
    if (rest := len(recommendation.undecided) - _MAX_ROWS) > 0:
        yield f"- and {rest} more, in recommendation.json"


def _differing_axes(row: int, recommendation: Recommendation, evidence: Evidence) -> str:
    """Axis values on which the row differs from the recommended one."""
    assert recommendation.row is not None
    axes, recommended_axes = _axes(row, evidence), _axes(recommendation.row, evidence)
    return (
        ", ".join(f"{axis} {value}" for axis, value in axes.items() if value != recommended_axes[axis])
        or "the same axes"
    )


def _axes(row: int, evidence: Evidence) -> dict[str, str]:
    place = evidence.rows.iloc[row]
    labels = {axis: str(place[axis]) for axis in evidence.settings.all_axes}
    threads = place["threads"]
    return labels | {"threads": "unset" if threads != threads else f"{threads:g}"}


def _rival_data(rival: Rival, evidence: Evidence) -> dict[str, Any]:
    return {"setting": _axes(rival.row, evidence), "effect": estimate_data(rival.effect), "beaten": rival.beaten}
