"""Reasons for the verdict on a claim, as text."""

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from servegrid.report.evidence import Evidence
from servegrid.report.format import format_reasons
from servegrid.results.axes import level_label
from servegrid.results.points import varying_axes

if TYPE_CHECKING:
    from servegrid.report.judge.ruling import Ruling, Verdict

_MAX_ROWS = 3
_VERDICT_TEXTS: Mapping["Verdict", str] = {
    "supported": "bear it out",
    "contradicted": "speak against it",
    "no difference shown": "leave it open",
}


def verdict_reason(ruling: "Ruling", evidence: Evidence) -> str:
    """How many comparisons have which verdict, what qualifies that, and what was left out."""
    comparisons = len(ruling.comparisons)
    verdict_counts = [
        f"{ruling.count(verdict)} {verdict_text}"
        for verdict, verdict_text in _VERDICT_TEXTS.items()
        if ruling.count(verdict)
    ]
    summary = f"of {comparisons} comparisons {', '.join(verdict_counts)}" if comparisons > 1 else "one comparison"
    failed = ruling.verdict == "no difference shown" and ruling.count("supported") == comparisons
    withheld = "; what failed bears nothing out" if failed else ""
    return (
        summary + _size_reason(ruling) + _zero_sessions(ruling, evidence) + left_out_suffix(ruling.left_out) + withheld
    )


def absence_reason(ruling: "Ruling", better: pd.Index, than: pd.Index, unfit: "pd.Series[str]") -> str:
    """What is missing for a comparison: rows on a side, usable ones among them, or two that match."""
    claim, axis = ruling.claim, ruling.claim.less_than_linear_in
    sides = (("better", better, claim.better), ("than", than, claim.than))
    missing_sides = [
        _missing_side(f"{name} ({_selector_text(selector)})", unfit[rows]) for name, rows, selector in sides
    ]
    if any(missing_sides):
        return "; ".join(filter(None, missing_sides))
    more = f", the first with more {axis}" if axis else ""
    return f"no two usable rows agree on the axes that are matched{more}{left_out_suffix(ruling.left_out)}"


def left_out_suffix(reasons: Mapping[str, int]) -> str:
    """`; left out: 1 failed, 2 client-bound`; empty if nothing was."""
    return f"; left out: {format_reasons(reasons)}" if reasons else ""


def _missing_side(side: str, unfit: "pd.Series[str]") -> str:
    """Why a side of the claim has no usable row; empty if it has one."""
    if unfit.empty:
        return f"no row for {side}"
    return "" if (unfit == "").any() else f"no usable row for {side}: {format_reasons(Counter(unfit))}"


def _selector_text(selector: Mapping[str, Any]) -> str:
    """The selector as text: `engine vllm, threads 4, 8`; `all others` where it is empty."""
    parts = [
        f"{axis} {', '.join(map(level_label, v)) if isinstance(v, list) else level_label(v)}"
        for axis, v in selector.items()
    ]
    return ", ".join(parts) or "all others"


def _size_reason(ruling: "Ruling") -> str:
    """How the size of the effect contradicts the claim where its direction does not; empty otherwise."""
    comparison = ruling.deciding
    if comparison is None or ruling.verdict != "contradicted":
        return ""
    low, _ = comparison.effect.interval
    if comparison.most is not None and low > comparison.most:
        return "; the effect is greater than stated"
    return "; the direction holds, the size does not" if comparison.least > 1 and low > 1 else ""


def _zero_sessions(ruling: "Ruling", evidence: Evidence) -> str:
    """Rows of which some session's value is 0, so that there is no ratio."""
    metric, axes = ruling.claim.metric, varying_axes(evidence.rows, evidence.settings.all_axes)
    rows = dict.fromkeys(row for comparison in ruling.comparisons for row in (comparison.better, comparison.than))
    session_values = {row: list(evidence.by_round(row, metric).values()) for row in rows}
    rows_with_zeros = [(row, values.count(0), len(values)) for row, values in session_values.items() if 0 in values]
    row_texts = [
        f"; {evidence.place_label(row, axes)}: 0 in {zeros} of {sessions} sessions"
        for row, zeros, sessions in rows_with_zeros
    ]
    more = f"; and {len(row_texts) - _MAX_ROWS} more rows" if len(row_texts) > _MAX_ROWS else ""
    return "".join(row_texts[:_MAX_ROWS]) + more
