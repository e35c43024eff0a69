"""Comparison of engines: each at the threads and speculation with the shortest time, in up to four measures."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from servegrid.report.drawing.curves import TIME, Measure, value_axis, value_range
from servegrid.report.drawing.footnotes import error_bar_notes, not_drawn_notes, partial_notes
from servegrid.report.drawing.panels import Panel, common_levels, split_panels
from servegrid.report.drawing.sheet import Sheet, message_figure
from servegrid.report.drawing.style import GREY, Look, engine_looks, styled
from servegrid.report.settings import Settings
from servegrid.results.points import (
    DRAWN_STATUSES,
    axis_levels,
    client_bound_rows,
    drawable_rows,
    hollow_rows,
    prepare_points,
)
from servegrid.util.text import clip

TITLE = "Engines at their best"
MEASURES = (
    TIME,
    Measure("output_tokens_per_s", "output tokens/s", "output_tokens_per_s_low", "output_tokens_per_s_high"),
    Measure("ttft_ms_p50", "TTFT, p50 to p99 (ms)", "ttft_ms_p50", "ttft_ms_p99"),
    Measure("itl_ms_p50", "ITL, p50 to p99 (ms)", "itl_ms_p50", "itl_ms_p99"),
)
MAX_LINES = 32
_LINE_IN = 0.4
_NAME_LIMIT = 30
_BOLD_SHARE = 0.85
"""Number of bold characters that fit in the width of one character of a panel's title."""
_CHOICE_TEXT = "each at the client threads and speculation with the shortest time"


@dataclass(frozen=True)
class _Line:
    """One line: a group's heading, or an engine's best point (its row number), or its status where it has none."""

    label: str
    row: int | None = None
    status: str = ""


def draw(points: pd.DataFrame, settings: Settings) -> Figure:
    """Figure with groups by GPU, quantization and further axes; within each, engines from the fastest on."""
    with styled():
        rows = _with_interval_columns(prepare_points(points, settings.all_axes))
        if not drawable_rows(rows, TIME.value).any():
            return message_figure(
                TITLE, "No point has a measured time.", not_drawn_notes(rows, TIME.value, settings.all_axes)
            )
        if client_bound_rows(rows[drawable_rows(rows, TIME.value)]).all():
            return message_figure(TITLE, "Every measured point is client-bound: none says how fast its server is.", [])
        facets = ("gpu", "quantization", *settings.axes)
        groups, left_out = _groups(rows, facets, settings)
        lines = [line for group in groups for line in _group_lines(group)]
        cut_note = (
            f"Shown: the first {MAX_LINES} of {len(lines)} engines; the table has all."
            if len(lines) > MAX_LINES
            else ""
        )
        lines = lines[:MAX_LINES]
        best = rows.loc[[line.row for line in lines if line.row is not None]]
        sheet = _draw_lines(lines, best, engine_looks(rows["engine"]))
        notes = [
            *_error_bar_notes(best),
            *partial_notes(best, TIME.value),
            *_unmeasured_notes(rows, settings),
            left_out,
            cut_note,
        ]
        subtitle = [common_levels(rows, facets), _CHOICE_TEXT]
        return sheet.finish(TITLE, ", ".join(filter(None, subtitle)), {}, notes)


def _groups(rows: pd.DataFrame, facets: Sequence[str], settings: Settings) -> tuple[list[Panel], str]:
    """As many groups as have room, with one line per engine and one for the title; and a note on those left out."""
    every, limit = pd.Series(True, rows.index), MAX_LINES // 2
    groups, left_out = split_panels(rows, facets, settings, every, limit)
    while limit > 1 and sum(1 + group.points["engine"].nunique() for group in groups) > MAX_LINES:
        limit = min(limit, len(groups)) - 1
        groups, left_out = split_panels(rows, facets, settings, every, limit)
    return groups, left_out


def _with_interval_columns(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with the low and high columns of every measure, unknown where the caller had no sessions for them."""
    ends = [name for measure in MEASURES for name in (measure.low, measure.high) if name]
    return rows.reindex(columns=list(dict.fromkeys([*rows.columns, *ends])))


def _group_lines(group: Panel) -> list[_Line]:
    return ([_Line(group.title)] if group.title else []) + _engine_lines(group.points)


def _engine_lines(points: pd.DataFrame) -> list[_Line]:
    candidates = points[drawable_rows(points, TIME.value) & ~client_bound_rows(points)]
    best = candidates.loc[candidates.groupby("engine", sort=False)["time_s"].idxmin()].sort_values(
        "time_s", kind="stable"
    )
    best_points = zip(best.index, best["engine"], best["threads"], best["speculation"], strict=True)
    lines = [
        _Line(_engine_label(engine, threads, speculation), row) for row, engine, threads, speculation in best_points
    ]
    for engine in axis_levels(points, "engine"):
        if engine not in set(best["engine"]):
            lines.append(_Line(clip(engine, _NAME_LIMIT), None, _missing_reason(points[points["engine"] == engine])))
    return lines


def _missing_reason(points: pd.DataFrame) -> str:
    """Why an engine has no dot, in a few words."""
    measured = ["client-bound" if limited else "time unknown" for limited in client_bound_rows(points)]
    reasons = [
        reason if status in DRAWN_STATUSES else status
        for status, reason in zip(points["status"], measured, strict=True)
    ]
    return ", ".join(dict.fromkeys(filter(None, reasons))) or "not measured"


def _engine_label(engine: str, threads: float, speculation: str) -> str:
    load = "" if math.isnan(threads) else f"{threads:,.0f} thread{'' if threads == 1 else 's'}, "
    return f"{clip(engine, _NAME_LIMIT)}\n{load}speculation {clip(speculation, 18)}"


def _draw_lines(lines: Sequence[_Line], best: pd.DataFrame, looks: Mapping[str, Look]) -> Sheet:
    measures = [measure for measure in MEASURES if drawable_rows(best, measure.value).any()]
    sheet = Sheet(len(measures), columns=len(measures), height_in=0.7 + _LINE_IN * len(lines))
    for axes, measure in zip(sheet.axes, measures, strict=True):
        known_rows = best[drawable_rows(best, measure.value)]
        _draw_panel(axes, lines, known_rows, measure, looks)
        _format_value_axis(axes, known_rows, measure, sheet.panel_characters)
        for y, line in enumerate(lines):
            if line.status:
                _write_status(axes, y, line.status)
        axes.grid(False, axis="y")
        axes.tick_params(axis="y", labelleft=axes is sheet.axes[0], length=0, labelsize=8)
    for y, line in enumerate(lines):
        if line.row is None and not line.status:
            _write_heading(sheet, y + 0.2, line.label)
    return sheet


def _draw_panel(
    axes: Axes, lines: Sequence[_Line], known_rows: pd.DataFrame, measure: Measure, looks: Mapping[str, Look]
) -> None:
    heights = {line.row: y for y, line in enumerate(lines) if line.row is not None}
    for row in known_rows.index:
        _draw_dot(axes, heights[row], known_rows.loc[[row]], measure, looks[str(known_rows.at[row, "engine"])])
    axes.set_ylim(len(lines) - 0.4, -0.6)
    axes.set_yticks(range(len(lines)), [line.label if line.row is not None or line.status else "" for line in lines])


def _format_value_axis(axes: Axes, known_rows: pd.DataFrame, measure: Measure, characters: int) -> None:
    value_axis(axes, *value_range(known_rows, measure), "x", characters)
    if axes.get_xscale() == "linear":
        axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.set_xlabel(measure.axis_label)


def _draw_dot(axes: Axes, y: float, point: pd.DataFrame, measure: Measure, look: Look) -> None:
    (value,) = point[measure.value]
    axes.axhline(y, color="#DDDDDD", linewidth=0.6, zorder=0.5)
    if measure.low and measure.high and point[[measure.low, measure.high]].notna().all(axis=None):
        low, high = point[measure.low].clip(upper=value), point[measure.high].clip(lower=value)
        axes.errorbar([value], [y], xerr=[value - low, high - value], fmt="none", ecolor=look.colour)
    face = "white" if hollow_rows(point).all() else look.colour
    axes.plot([value], [y], marker=look.marker, markersize=7, color=look.colour, markerfacecolor=face, linestyle="none")


def _write_status(axes: Axes, y: float, status: str) -> None:
    """Write the status where a dot would be."""
    where = axes.get_yaxis_transform()
    axes.text(0.03, y, status, color=GREY, style="italic", va="center", transform=where)


def _write_heading(sheet: Sheet, y: float, title: str) -> None:
    """Write a group's title above its lines, without grid behind it; a title of over two lines runs on over the next
    panels.
    """
    for axes in sheet.axes:
        axes.axhspan(y - 0.38, y + 0.38, color="white", linewidth=0, zorder=0.9)
    width = int(sheet.panel_characters * _BOLD_SHARE)
    lines = textwrap.wrap(title, width)
    while len(lines) > 2:
        width += 4
        lines = textwrap.wrap(title, width)
    where = sheet.axes[0].get_yaxis_transform()
    text = sheet.figure.text(0.02, y, "\n".join(lines), weight="bold", va="center", transform=where)
    text.set_in_layout(False)


def _error_bar_notes(best: pd.DataFrame) -> list[str]:
    latency_notes = ["Bars of TTFT and ITL: from the median to the 99th percentile."]
    subject = "Bars of time and output tokens/s" if best["output_tokens_per_s_low"].notna().any() else "Bars of time"
    time_notes = error_bar_notes(best, TIME.value, subject)
    return time_notes + latency_notes * bool(
        (drawable_rows(best, "ttft_ms_p99") | drawable_rows(best, "itl_ms_p99")).any()
    )


def _unmeasured_notes(rows: pd.DataFrame, settings: Settings) -> list[str]:
    """Reasons of the lines without a dot; and how many single points could not be chosen."""
    keys = ["engine", "gpu", "quantization", *settings.axes]
    has_time = drawable_rows(rows, TIME.value)
    measured = has_time.groupby([rows[key] for key in keys]).transform("any")
    lines = not_drawn_notes(rows, TIME.value, settings.all_axes, ~measured)
    if unknown := int((measured & ~has_time).sum()):
        lines.append(f"The best was chosen without {unknown:,} points that have no measured time; the table says why.")
    if client_bound := int((has_time & client_bound_rows(rows)).sum()):
        lines.append(
            f"The best was chosen without {client_bound:,} client-bound points, where the load client set the pace."
        )
    return lines
