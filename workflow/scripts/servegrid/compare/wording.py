"""Text for a difference between two runs, as one line of output."""

from servegrid.compare.change import Change
from servegrid.compare.session_values import LAUNCH_METRICS
from servegrid.results.columns import BETTER


def describe_place(change: Change) -> str:
    """Where the change is: a point, a server, or several together."""
    if change.points > 1:
        return f"{change.points} {_point_noun(change)} together"
    return ", ".join(f"{axis} {value}" for axis, value in change.axes.items())


def describe_difference(change: Change) -> str:
    """What the change is: numbers with their interval, a fact before and after, or why there is no comparison."""
    if change.verdict == "client-bound":
        runs_bound = ("client-bound" if value else None for value in (change.before, change.after))
        return f"not compared, {_reasons_by_run(*runs_bound)}"
    if change.verdict in ("garbled", "untrusted"):
        metric = "" if change.metric == "texts" else f"{change.metric} "
        return f"{metric}not compared, {_reasons_by_run(change.before, change.after)}"
    if change.verdict == "another load":
        return f"not compared, {change.before} before and {change.after} after"
    if change.verdict == "other lengths":
        tokens = " and ".join("unknown" if count is None else f"{count:.0f}" for count in (change.before, change.after))
        return f"{change.metric} not compared, answers end by themselves and differ in length: {tokens} output tokens"
    return _describe_metric(change) if change.metric in BETTER else _describe_fact(change)


def _describe_fact(change: Change) -> str:
    missing = "none" if change.metric == "warnings" else "not there"
    return f"{change.metric} {change.before or missing} -> {change.after or missing}"


def _describe_metric(change: Change) -> str:
    if change.verdict in ("gone", "new"):
        knows, does_not = ("before", "after") if change.verdict == "gone" else ("after", "before")
        return f"{change.metric} not compared, known {knows}, not {does_not}"
    if change.points > 1:
        points = _point_noun(change)
        return (
            f"{change.metric} in the mean over these {points} ({_percent_change(change)}); single {points} may differ"
        )
    return f"{change.metric} {change.before:.4g} -> {change.after:.4g} ({_percent_change(change)})"


def _percent_change(change: Change) -> str:
    if change.ratio is None:
        return "zero in a session, so without an interval"
    low, high = change.ratio.interval
    return f"{100 * (change.ratio.value - 1):+.1f} %, {100 * (low - 1):+.1f} to {100 * (high - 1):+.1f} %"


def _point_noun(change: Change) -> str:
    return "servers" if change.metric in LAUNCH_METRICS else "points"


def _reasons_by_run(before: str | None, after: str | None) -> str:
    """What speaks against each run, or None: `garbled texts in the run after`."""
    if before == after:
        return f"{before} in both runs"
    return " and ".join(
        f"{reason} in the run {run}" for reason, run in ((before, "before"), (after, "after")) if reason
    )
