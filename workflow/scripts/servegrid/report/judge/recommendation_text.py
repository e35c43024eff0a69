"""The recommendation as data and in words."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from servegrid.launch.deploy import DeploymentForm
from servegrid.report.evidence import Evidence
from servegrid.report.format import counted, ends, number
from servegrid.report.judge.claim_rulings import estimate_data, estimate_words
from servegrid.report.judge.recommendation import UNITS, Recommendation, Rival

_SHOWN = 5


def as_data(chosen: Recommendation, evidence: Evidence, forms: Sequence[DeploymentForm]) -> dict[str, Any]:
    """Return the recommendation in plain values; `summary`, `lead` and what follows it, is what a terminal shows."""
    lead, *rest = summary(chosen, evidence)
    return {
        "objective": chosen.objective,
        "slo": dict(evidence.settings.slo),
        "metric": chosen.metric,
        "unit": UNITS[chosen.metric],
        "setting": None if chosen.row is None else _axes(chosen.row, evidence),
        "figure": None if chosen.figure is None else estimate_data(chosen.figure),
        "second": None if chosen.second is None else _rival(chosen.second, evidence),
        "no_difference_shown": [_rival(rival, evidence) for rival in chosen.undecided],
        "considered": len(chosen.rivals) + (chosen.row is not None),
        "left_out": dict(chosen.left_out),
        "ahead": [{"setting": _axes(row, evidence), "reason": reason} for row, reason in chosen.ahead.items()],
        "slo_kept": [asdict(kept) for kept in keeping(chosen, evidence)],
        "warnings": _warnings(chosen, evidence),
        "command": forms[0].text if forms else None,
        "commands": [asdict(form) for form in forms],
        "lead": lead,
        "details": rest[1:],
        "summary": [lead, *rest],
    }


def as_markdown(chosen: Recommendation, evidence: Evidence, command: str | None) -> str:
    """A page that begins with the answer."""
    lines = ["# Recommendation", "", *(part for line in summary(chosen, evidence) for part in (line, ""))]
    if warnings := _warnings(chosen, evidence):
        lines += [f"Warnings: {warnings}.", ""]
    if command:
        lines += ["The command:", "", "```sh", command, "```", ""]
    if chosen.undecided:
        lines += ["No difference shown from (with 95 % the truly best is the recommended or one of these):", ""]
        lines += [*_listed(chosen, evidence), ""]
    if chosen.left_out:
        lines += [f"Not considered: {counted(chosen.left_out)}.", ""]
    return "\n".join(lines)


def summary(chosen: Recommendation, evidence: Evidence) -> Iterator[str]:
    """What to deploy and how fast it is; over what, and how surely."""
    slo = "".join(f", {name} at most {number(limit)}" for name, limit in evidence.settings.slo.items())
    goal = chosen.objective.replace("_", " ") + slo
    if chosen.row is None or chosen.figure is None:
        yield f"nothing to recommend for {goal}: {counted(chosen.left_out) or 'no point was measured'}"
        return
    place = ", ".join(f"{axis} {value}" for axis, value in _axes(chosen.row, evidence).items())
    yield f"recommended for {goal}: {place}"
    yield f"{estimate_words(chosen.figure, UNITS[chosen.metric])}; {chosen.figure.how}"
    yield _over(chosen, evidence)
    yield from (kept.words() for kept in keeping(chosen, evidence))
    for row, reason in list(chosen.ahead.items())[:_SHOWN]:
        yield f"left out, though measured better: {_differs(row, chosen, evidence)} ({reason})"


@dataclass(frozen=True)
class Kept:
    """How the recommended setting keeps a limit: its value over all requests, and in how many of its sessions it does."""

    column: str
    limit: float
    value: float
    sessions_within: int
    sessions: int

    def words(self) -> str:
        """`limit kept: ttft_ms_p99 180 of at most 220, in 2 of 3 sessions`."""
        told = (
            f", in {self.sessions_within} of {self.sessions} sessions"
            if self.sessions
            else ", of no session by itself known"
        )
        return f"limit kept: {self.column} {number(self.value)} of at most {number(self.limit)}{told}"


def keeping(chosen: Recommendation, evidence: Evidence) -> Iterator[Kept]:
    """Every limit of the settings, as the recommended setting keeps it."""
    if chosen.row is None:
        return
    for column, limit in evidence.settings.slo.items():
        each = list(evidence.by_round(chosen.row, column).values())
        value = float(evidence.rows[column].iloc[chosen.row])
        yield Kept(column, limit, value, sum(one <= limit for one in each), len(each))


def _warnings(chosen: Recommendation, evidence: Evidence) -> str:
    return "" if chosen.row is None else str(evidence.rows["warnings"].iloc[chosen.row])


def _over(chosen: Recommendation, evidence: Evidence) -> str:
    if chosen.second is None:
        parts = counted(chosen.left_out)
        return "no other point was fit to hold it against" + (f" (not considered: {parts})" if parts else "")
    second, count = chosen.second, len(chosen.undecided)
    words = f"{_times(second)} as good as the next best ({_differs(second.row, chosen, evidence)}), {second.effect.how}"
    if not any(rival.effect.has_interval for rival in chosen.rivals):
        return f"{words}; how surely it beats the {len(chosen.rivals)} others is not known: set repeats to 2 or more, or to auto"
    if not count:
        return f"{words}; better than all {len(chosen.rivals)} others"
    more = "; more sessions (repeats: auto) may tell them apart, what is measured is kept"
    return f"{words}; no difference shown from {count} of {len(chosen.rivals)} others{more}"


def _times(rival: Rival) -> str:
    effect = rival.effect
    if effect.low is None or effect.high is None:
        return f"{number(effect.value)} times"
    return f"{number(effect.value)} times ({ends(effect.low, effect.high)})"


def _listed(chosen: Recommendation, evidence: Evidence) -> Iterator[str]:
    for rival in chosen.undecided[:_SHOWN]:
        yield f"- {_differs(rival.row, chosen, evidence)}: the recommended is {_times(rival)} as good"
    if (rest := len(chosen.undecided) - _SHOWN) > 0:
        yield f"- and {rest} more, in recommendation.json"


def _differs(row: int, chosen: Recommendation, evidence: Evidence) -> str:
    """Where the row differs from the recommended one."""
    assert chosen.row is not None
    own, best = _axes(row, evidence), _axes(chosen.row, evidence)
    return ", ".join(f"{axis} {value}" for axis, value in own.items() if value != best[axis]) or "the same axes"


def _axes(row: int, evidence: Evidence) -> dict[str, str]:
    place = evidence.rows.iloc[row]
    texts = {axis: str(place[axis]) for axis in evidence.settings.all_axes}
    threads = place["threads"]
    return texts | {"threads": "unset" if threads != threads else f"{threads:g}"}


def _rival(rival: Rival, evidence: Evidence) -> dict[str, Any]:
    return {"setting": _axes(rival.row, evidence), "effect": estimate_data(rival.effect), "beaten": rival.beaten}
