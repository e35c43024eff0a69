"""The engine comparison: each engine at the threads and speculation that finished soonest, in up to four measures."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from servegrid.report.drawing.curves import TIME, Measure, extent, value_axis
from servegrid.report.drawing.footnotes import error_bars, not_drawn, partial
from servegrid.report.drawing.panels import Panel, in_common, split
from servegrid.report.drawing.sheet import Sheet, say
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
_NAME = 30
_BOLD = 0.85
"""How many bold characters stand where one of a panel's title does."""
_CHOICE = "each at the client threads and speculation with the shortest time"


@dataclass(frozen=True)
class _Line:
    """One line: a heading, or an engine's best point (its row number), or an engine's status where it has none."""

    label: str
    row: int | None = None
    status: str = ""


def draw(points: pd.DataFrame, settings: Settings) -> Figure:
    """Groups by GPU, quantization and further axes; within each, engines from the fastest to the slowest."""
    with styled():
        rows = _with_ends(prepare_points(points, settings.all_axes))
        if not drawable_rows(rows, TIME.value).any():
            return say(TITLE, "No point has a measured time.", not_drawn(rows, TIME.value, settings.all_axes))
        if client_bound_rows(rows[drawable_rows(rows, TIME.value)]).all():
            return say(TITLE, "Every measured point is client-bound: none says how fast its server is.", [])
        facets = ("gpu", "quantization", *settings.axes)
        groups, left_out = _groups(rows, facets, settings)
        lines = [line for group in groups for line in _lines(group)]
        cut = (
            f"Shown: the first {MAX_LINES} of {len(lines)} engines; the table has all."
            if len(lines) > MAX_LINES
            else ""
        )
        lines = lines[:MAX_LINES]
        best = rows.loc[[line.row for line in lines if line.row is not None]]
        sheet = _draw_lines(lines, best, engine_looks(rows["engine"]))
        notes = [*_bars(best), *partial(best, TIME.value), *_unmeasured(rows, settings), left_out, cut]
        subtitle = [in_common(rows, facets), _CHOICE]
        return sheet.finish(TITLE, ", ".join(filter(None, subtitle)), {}, notes)


def _groups(rows: pd.DataFrame, facets: Sequence[str], settings: Settings) -> tuple[list[Panel], str]:
    """As many groups as have room, each with one line per engine and one for its title."""
    every, limit = pd.Series(True, rows.index), MAX_LINES // 2
    groups, left_out = split(rows, facets, settings, every, limit)
    while limit > 1 and sum(1 + group.points["engine"].nunique() for group in groups) > MAX_LINES:
        limit = min(limit, len(groups)) - 1
        groups, left_out = split(rows, facets, settings, every, limit)
    return groups, left_out


def _with_ends(rows: pd.DataFrame) -> pd.DataFrame:
    """With the columns of every measure's ends, unknown where the caller had no sessions to take them from."""
    ends = [name for measure in MEASURES for name in (measure.low, measure.high) if name]
    return rows.reindex(columns=list(dict.fromkeys([*rows.columns, *ends])))


def _lines(group: Panel) -> list[_Line]:
    return ([_Line(group.title)] if group.title else []) + _engines(group.points)


def _engines(points: pd.DataFrame) -> list[_Line]:
    good = points[drawable_rows(points, TIME.value) & ~client_bound_rows(points)]
    best = good.loc[good.groupby("engine", sort=False)["time_s"].idxmin()].sort_values("time_s", kind="stable")
    named = zip(best.index, best["engine"], best["threads"], best["speculation"], strict=True)
    lines = [_Line(_label(engine, threads, speculation), row) for row, engine, threads, speculation in named]
    for engine in axis_levels(points, "engine"):
        if engine not in set(best["engine"]):
            lines.append(_Line(clip(engine, _NAME), None, _status(points[points["engine"] == engine])))
    return lines


def _status(points: pd.DataFrame) -> str:
    """Why an engine has no dot, in a word or two."""
    measured = ["client-bound" if limited else "time unknown" for limited in client_bound_rows(points)]
    words = [
        word if status in DRAWN_STATUSES else status for status, word in zip(points["status"], measured, strict=True)
    ]
    return ", ".join(dict.fromkeys(filter(None, words))) or "not measured"


def _label(engine: str, threads: float, speculation: str) -> str:
    load = "" if math.isnan(threads) else f"{threads:,.0f} thread{'' if threads == 1 else 's'}, "
    return f"{clip(engine, _NAME)}\n{load}speculation {clip(speculation, 18)}"


def _draw_lines(lines: Sequence[_Line], best: pd.DataFrame, looks: Mapping[str, Look]) -> Sheet:
    measures = [measure for measure in MEASURES if drawable_rows(best, measure.value).any()]
    sheet = Sheet(len(measures), columns=len(measures), height_in=0.7 + _LINE_IN * len(lines))
    for axes, measure in zip(sheet.axes, measures, strict=True):
        known = best[drawable_rows(best, measure.value)]
        _panel(axes, lines, known, measure, looks)
        _value_axis(axes, known, measure, sheet.panel_characters)
        for y, line in enumerate(lines):
            if line.status:
                _words(axes, y, line.status)
        axes.grid(False, axis="y")
        axes.tick_params(axis="y", labelleft=axes is sheet.axes[0], length=0, labelsize=8)
    for y, line in enumerate(lines):
        if line.row is None and not line.status:
            _heading(sheet, y + 0.2, line.label)
    return sheet


def _panel(
    axes: Axes, lines: Sequence[_Line], known: pd.DataFrame, measure: Measure, looks: Mapping[str, Look]
) -> None:
    heights = {line.row: y for y, line in enumerate(lines) if line.row is not None}
    for row in known.index:
        _dot(axes, heights[row], known.loc[[row]], measure, looks[str(known.at[row, "engine"])])
    axes.set_ylim(len(lines) - 0.4, -0.6)
    axes.set_yticks(range(len(lines)), [line.label if line.row is not None or line.status else "" for line in lines])


def _value_axis(axes: Axes, known: pd.DataFrame, measure: Measure, characters: int) -> None:
    value_axis(axes, *extent(known, measure), "x", characters)
    if axes.get_xscale() == "linear":
        axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.set_xlabel(measure.words)


def _dot(axes: Axes, y: float, point: pd.DataFrame, measure: Measure, look: Look) -> None:
    (value,) = point[measure.value]
    axes.axhline(y, color="#DDDDDD", linewidth=0.6, zorder=0.5)
    if measure.low and measure.high and point[[measure.low, measure.high]].notna().all(axis=None):
        low, high = point[measure.low].clip(upper=value), point[measure.high].clip(lower=value)
        axes.errorbar([value], [y], xerr=[value - low, high - value], fmt="none", ecolor=look.colour)
    face = "white" if hollow_rows(point).all() else look.colour
    axes.plot([value], [y], marker=look.marker, markersize=7, color=look.colour, markerfacecolor=face, linestyle="none")


def _words(axes: Axes, y: float, status: str) -> None:
    """The status where a dot would be."""
    where = axes.get_yaxis_transform()
    axes.text(0.03, y, status, color=GREY, style="italic", va="center", transform=where)


def _heading(sheet: Sheet, y: float, title: str) -> None:
    """A group's title above its lines, with no grid behind it, in two lines at most; long ones run on over the next panels."""
    for axes in sheet.axes:
        axes.axhspan(y - 0.38, y + 0.38, color="white", linewidth=0, zorder=0.9)
    width = int(sheet.panel_characters * _BOLD)
    lines = textwrap.wrap(title, width)
    while len(lines) > 2:
        width += 4
        lines = textwrap.wrap(title, width)
    where = sheet.axes[0].get_yaxis_transform()
    text = sheet.figure.text(0.02, y, "\n".join(lines), weight="bold", va="center", transform=where)
    text.set_in_layout(False)


def _bars(best: pd.DataFrame) -> list[str]:
    latency = ["Bars of TTFT and ITL: from the median to the 99th percentile."]
    of = "Bars of time and output tokens/s" if best["output_tokens_per_s_low"].notna().any() else "Bars of time"
    times = [text.replace("Bars", of, 1) for text in error_bars(best, TIME.value)]
    return times + latency * bool((drawable_rows(best, "ttft_ms_p99") | drawable_rows(best, "itl_ms_p99")).any())


def _unmeasured(rows: pd.DataFrame, settings: Settings) -> list[str]:
    """Reasons of the lines without a dot; and how many single points could not be chosen."""
    keys = ["engine", "gpu", "quantization", *settings.axes]
    known = drawable_rows(rows, TIME.value)
    measured = known.groupby([rows[key] for key in keys]).transform("any")
    lines = not_drawn(rows, TIME.value, settings.all_axes, ~measured)
    if gaps := int((measured & ~known).sum()):
        lines.append(f"The best was chosen without {gaps:,} points that have no measured time; the table says why.")
    if limited := int((known & client_bound_rows(rows)).sum()):
        lines.append(
            f"The best was chosen without {limited:,} client-bound points, where the load client set the pace."
        )
    return lines
