"""Why a verdict on a claim is what it is, in words."""

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from servegrid.report.evidence import Evidence
from servegrid.report.format import counted
from servegrid.results.axes import level_label
from servegrid.results.points import varying_axes

if TYPE_CHECKING:
    from servegrid.report.judge.ruling import Ruling, Verdict

_NAMED = 3
_SAID: Mapping["Verdict", str] = {
    "supported": "bear it out",
    "contradicted": "speak against it",
    "no difference shown": "leave it open",
}


def because(ruling: "Ruling", evidence: Evidence) -> str:
    """How many comparisons say what, of which rows that is not the whole truth, and what was left out."""
    number = len(ruling.comparisons)
    parts = [f"{ruling.count(verdict)} {said}" for verdict, said in _SAID.items() if ruling.count(verdict)]
    said = f"of {number} comparisons {', '.join(parts)}" if number > 1 else "one comparison"
    failed = ruling.verdict == "no difference shown" and ruling.count("supported") == number
    held_back = "; what failed bears nothing out" if failed else ""
    return said + _size(ruling) + _zeros(ruling, evidence) + left_out(ruling.left_out) + held_back


def why_absent(ruling: "Ruling", better: pd.Index, than: pd.Index, unfit: "pd.Series[str]") -> str:
    """What there is nothing of: of rows on a side, of usable ones among them, or of two that go together."""
    claim, axis = ruling.claim, ruling.claim.less_than_linear_in
    sides = (("better", better, claim.better), ("than", than, claim.than))
    found = [_lacking(f"{name} ({_shown(selector)})", unfit[rows]) for name, rows, selector in sides]
    if any(found):
        return "; ".join(filter(None, found))
    more = f", the first with more {axis}" if axis else ""
    return f"no two usable rows agree on the axes that are matched{more}{left_out(ruling.left_out)}"


def left_out(reasons: Mapping[str, int]) -> str:
    """`; left out: 1 failed, 2 client-bound`."""
    return f"; left out: {counted(reasons)}" if reasons else ""


def _lacking(side: str, unfit: "pd.Series[str]") -> str:
    if unfit.empty:
        return f"no row for {side}"
    return "" if (unfit == "").any() else f"no usable row for {side}: {counted(Counter(unfit))}"


def _shown(selector: Mapping[str, Any]) -> str:
    parts = [
        f"{axis} {', '.join(map(level_label, v)) if isinstance(v, list) else level_label(v)}"
        for axis, v in selector.items()
    ]
    return ", ".join(parts) or "all others"


def _size(ruling: "Ruling") -> str:
    """Where the direction is as stated and the size is not, that is said."""
    one = ruling.deciding
    if one is None or ruling.verdict != "contradicted":
        return ""
    low, _ = one.effect.interval
    if one.most is not None and low > one.most:
        return "; the effect is greater than stated"
    return "; the direction holds, the size does not" if one.least > 1 and low > 1 else ""


def _zeros(ruling: "Ruling", evidence: Evidence) -> str:
    """The rows that were 0 in some session, of which there is no ratio."""
    metric, axes = ruling.claim.metric, varying_axes(evidence.rows, evidence.settings.all_axes)
    rows = dict.fromkeys(row for one in ruling.comparisons for row in (one.better, one.than))
    known = {row: list(evidence.by_round(row, metric).values()) for row in rows}
    found = [(row, values.count(0), len(values)) for row, values in known.items() if 0 in values]
    words = [f"; {evidence.words(row, axes)}: 0 in {zeros} of {number} sessions" for row, zeros, number in found]
    more = f"; and {len(words) - _NAMED} more rows" if len(words) > _NAMED else ""
    return "".join(words[:_NAMED]) + more
