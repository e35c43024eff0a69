"""What a difference between two runs is called in a line of text."""

from servegrid.compare.change import Change
from servegrid.compare.session_values import OF_SERVER
from servegrid.results.columns import BETTER


def place(change: Change) -> str:
    """Where it is: a point, a server, or several together."""
    if change.points > 1:
        return f"{change.points} {_plural(change)} together"
    return ", ".join(f"{axis} {value}" for axis, value in change.axes.items())


def words(change: Change) -> str:
    """What it is: the numbers with their interval, what a fact was and is, or why there is no comparison."""
    if change.verdict == "client-bound":
        bound = ("client-bound" if value else None for value in (change.before, change.after))
        return f"not compared, {_against(*bound)}"
    if change.verdict in ("garbled", "untrusted"):
        what = "" if change.metric == "texts" else f"{change.metric} "
        return f"{what}not compared, {_against(change.before, change.after)}"
    if change.verdict == "another load":
        return f"not compared, {change.before} before and {change.after} after"
    return _of_metric(change) if change.metric in BETTER else _of_fact(change)


def _of_fact(change: Change) -> str:
    missing = "none" if change.metric == "warnings" else "not there"
    return f"{change.metric} {change.before or missing} -> {change.after or missing}"


def _of_metric(change: Change) -> str:
    if change.verdict in ("gone", "new"):
        knows, does_not = ("before", "after") if change.verdict == "gone" else ("after", "before")
        return f"{change.metric} not compared, known {knows}, not {does_not}"
    if change.points > 1:
        several = _plural(change)
        return f"{change.metric} in the mean over these {several} ({_percent(change)}); single {several} may differ"
    return f"{change.metric} {change.before:.4g} -> {change.after:.4g} ({_percent(change)})"


def _percent(change: Change) -> str:
    if change.ratio is None:
        return "zero in a session, so without an interval"
    low, high = change.ratio.interval
    return f"{100 * (change.ratio.value - 1):+.1f} %, {100 * (low - 1):+.1f} to {100 * (high - 1):+.1f} %"


def _plural(change: Change) -> str:
    return "servers" if change.metric in OF_SERVER else "points"


def _against(before: str | None, after: str | None) -> str:
    """What speaks against each run, or None."""
    if before == after:
        return f"{before} in both runs"
    return " and ".join(f"{what} in the run {run}" for what, run in ((before, "before"), (after, "after")) if what)
