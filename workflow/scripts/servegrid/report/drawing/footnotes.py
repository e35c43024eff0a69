"""Footnotes on points that a figure cannot draw, or draws hollow: how many, which, and why."""

import re
from collections.abc import Sequence

import pandas as pd

from servegrid.results.points import PUBLISHED, axis_levels, client_bound_rows, drawable_rows, varying_axes
from servegrid.util.text import clip

_GROUPS = 4
_LEVELS = 4
_REASON = 150
_STATUS_ORDER = {"failed": 0, "absent": 2, "unsupported": 3}
"""Order of the statuses; any other comes between failed and absent."""
_ALTERNATIVES = re.compile(r" \(it has [^)]*\)")
"""What the engine has in place of what was asked for: useful in the table, too long for a footnote."""


def not_drawn_notes(
    points: pd.DataFrame, metric: str, axes: Sequence[str], only: "pd.Series[bool] | bool" = True
) -> list[str]:
    """One line per status and reason among the points (in mask `only`) without a drawable `metric`.

    Failed points come first and unsupported ones last, each the commonest first. At most `_GROUPS` lines, then one that
    counts the rest; the tables name every point.
    """
    gaps = points[~drawable_rows(points, metric) & only]
    if gaps.empty:
        return []
    measured = points[points["status"] != PUBLISHED]
    differing_axes = varying_axes(measured, axes)
    by_status = [(str(rows["status"].iloc[0]), rows) for _, rows in gaps.groupby(["status", "reason"], sort=False)]
    groups = sorted(by_status, key=lambda group: (_STATUS_ORDER.get(group[0], 1), -len(group[1])))
    notes = [f"Not drawn: {_reason_text(status, rows, measured, differing_axes)}" for status, rows in groups[:_GROUPS]]
    if rest := [rows for _, rows in groups[_GROUPS:]]:
        notes.append(_other_reasons_note(pd.concat(rest)))
    return notes


def partial_notes(points: pd.DataFrame, metric: str) -> list[str]:
    """A line on the points drawn hollow because part of their requests or sessions failed."""
    rows = points[drawable_rows(points, metric) & (points["status"] == "partial")]
    if rows.empty:
        return []
    reasons = [clip(reason, _REASON) for reason in dict.fromkeys(rows["reason"]) if reason]
    why = (
        ": " + "; ".join(reasons[:2]) + (f"; and {len(reasons) - 2} more" if len(reasons) > 2 else "")
        if reasons
        else ""
    )
    return [f"Hollow: {count_points(len(rows))} measured in part only{why}."]


def client_bound_notes(points: pd.DataFrame, metric: str, axes: Sequence[str], where: str = "there") -> list[str]:
    """A line on the points drawn hollow because the load client may have set their pace, there or `where` it says."""
    rows = points[drawable_rows(points, metric) & client_bound_rows(points)]
    if rows.empty:
        return []
    levels_there = "; ".join(part for axis in varying_axes(points, axes) if (part := _levels_text(rows, points, axis)))
    named = f" ({levels_there})" if levels_there else ""
    return [f"Hollow: {count_points(len(rows))} client-bound{named}: the load client came near its ceiling {where}."]


def error_bar_notes(points: pd.DataFrame, metric: str, subject: str = "Bars") -> list[str]:
    """A line on what the error bars of `metric` (95 % intervals) are over, or that there are none."""
    drawn = points[drawable_rows(points, metric)]
    sessions = drawn["sessions"].dropna()
    with_bars = sessions[drawn.loc[sessions.index, f"{metric}_low"].notna() & (sessions > 1)]
    if with_bars.empty:
        few = "one session per point" if sessions.max() < 2 else "too few sessions for an interval"
        return [f"No error bars: {few}."] if len(sessions) else []
    low, high = int(with_bars.min()), int(with_bars.max())
    return [f"{subject}: 95 % interval over {low if low == high else f'{low} to {high}'} sessions."]


def _other_reasons_note(rows: pd.DataFrame) -> str:
    statuses = ", ".join(
        f"{number:,} {status or 'without status'}" for status, number in rows["status"].value_counts().items()
    )
    return f"Not drawn either: {count_points(len(rows))} for other reasons ({statuses}); see the table."


def _reason_text(status: str, rows: pd.DataFrame, within: pd.DataFrame, axes: Sequence[str]) -> str:
    reason = str(rows["reason"].iloc[0])
    if status in ("ok", "partial"):
        reason = reason or "measured, but this number is unknown"
    if status == "unsupported":
        reason = _ALTERNATIVES.sub("", reason)
    levels_there = "; ".join(part for axis in axes if (part := _levels_text(rows, within, axis)))
    levels_text = f" ({levels_there})" if levels_there else ""
    return f"{count_points(len(rows))} {status or 'without status'}{levels_text}: {clip(reason or 'no reason recorded', _REASON)}"


def _levels_text(rows: pd.DataFrame, within: pd.DataFrame, axis: str) -> str:
    """Levels of `axis` in `rows`, empty if these are all there are."""
    row_levels = axis_levels(rows, axis)
    if len(row_levels) == within[axis].nunique(dropna=False):
        return ""
    more = f" and {len(row_levels) - _LEVELS} more" if len(row_levels) > _LEVELS else ""
    return f"{axis} {', '.join(clip(level, 40) for level in row_levels[:_LEVELS])}{more}"


def count_points(number: int) -> str:
    """`1 point`, `2,000 points`."""
    return f"{number:,} point{'' if number == 1 else 's'}"
