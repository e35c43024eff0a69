"""Curves with error bars: one line per series over client threads, gaps where nothing was measured."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from servegrid.report.drawing.style import Look
from servegrid.report.format import format_short
from servegrid.results.points import drawable_rows, hollow_rows

MAX_SERIES = 8
THREADS = "client threads"
_LOG_FROM = 12.0
"""Ratio of the largest to the smallest value from which the axis is logarithmic."""
_LOG_RATIO_FROM = 5.0
_MULTIPLES = {(1.0, 2.0, 5.0): math.log10(2), (1.0, 3.0): math.log10(3)}
"""Multiples of the powers of ten as ticks of a logarithmic axis -> least number of decades between two of them."""
_MAX_Y_LABELS = 10.0
"""Number of tick labels that fit above one another on any y axis."""
_MAX_TICKS = 9
_SMALL_MARKERS_FROM = 12
"""Number of points on a curve from which its markers are drawn smaller."""


@dataclass(frozen=True)
class Measure:
    """Quantity on an axis: columns of its value and of its range over sessions, and the axis label with the unit.

    `zero` says that 0 is a value like any other (a time of 0 is none).
    """

    value: str
    axis_label: str
    low: str | None = None
    high: str | None = None
    zero: bool = False


TIME = Measure("time_s", "time to complete (s)", "time_s_low", "time_s_high")


def draw_curve(axes: Axes, rows: pd.DataFrame, measure: Measure, look: Look, x: str = "threads") -> None:
    """Draw `rows` of one series over column `x`. A row that cannot be drawn leaves a gap; a doubtful one is hollow."""
    rows = rows[rows[x].notna()].sort_values(x, kind="stable")
    good = drawable_rows(rows, measure.value, measure.zero)
    value = rows[measure.value].where(good)
    size = 5.5 if len(rows) <= _SMALL_MARKERS_FROM else 3.5
    axes.plot(rows[x], value, markersize=size, **look.line)
    hollow = good & hollow_rows(rows)
    axes.plot(
        rows.loc[hollow, x],
        value[hollow],
        markersize=size,
        **{**look.line, "linestyle": "none", "markerfacecolor": "white"},
    )
    if measure.low and measure.high:
        with_interval = rows[good].dropna(subset=[measure.low, measure.high])
        _error_bars(axes, with_interval[x], with_interval[[measure.value, measure.low, measure.high]], look)


def fastest_engines(rows: pd.DataFrame, metric: str, metric_name: str) -> tuple[list[str], str]:
    """Engines to draw, in the order they appear: the MAX_SERIES with the smallest `metric`; and a note on those left
    out.

    `metric_name`: the metric in the note, after "the shortest".
    """
    best = rows.groupby("engine", sort=False)[metric].min()
    kept = set(best.sort_values(kind="stable").index[:MAX_SERIES])
    note = f"Shown: the {MAX_SERIES} of {len(best)} engines with the shortest {metric_name}; the table has all."
    return [engine for engine in best.index if engine in kept], note if len(best) > MAX_SERIES else ""


def legend_handle(look: Look) -> Line2D:
    """Sample of a curve for the legend."""
    return Line2D([], [], **look.line)


def threads_axis(axes: Axes, threads: Sequence[float], characters: int = 40) -> None:
    """Make the x axis log2 with the measured levels as ticks, thinned to what `characters` of width can hold."""
    if len(threads) < 2:
        axes.set_xlim(0, 2 * threads[0] if threads else 2)
        ticks = list(threads)
    else:
        axes.set_xscale("log", base=2)
        margin = (threads[-1] / threads[0]) ** 0.04
        axes.set_xlim(threads[0] / margin, threads[-1] * margin)
        widest = max(len(f"{level:,.0f}") for level in threads)
        ticks = thin_levels(threads, min(_MAX_TICKS, max(2, characters // (widest + 3))))
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda level, _: f"{level:,.0f}"))


def thin_levels(levels: Sequence[float], limit: int) -> list[float]:
    """At most about `limit` of the sorted `levels`, evenly spread on a log scale, with the first and the last."""
    least = math.log(levels[-1] / levels[0]) / limit if len(levels) > 1 else 0.0
    kept = [levels[0]]
    for level in levels[1:]:
        if math.log(level / kept[-1]) >= least * 0.999:
            kept.append(level)
    if kept[-1] != levels[-1]:
        kept[-1 if len(kept) > 1 else len(kept) :] = [levels[-1]]
    return kept


def needs_log_axis(low: float, high: float) -> bool:
    """Whether values from `low` to `high`, both above zero, need a logarithmic axis."""
    return high / low >= _LOG_FROM


def value_axis(axes: Axes, low: float, high: float, which: Literal["x", "y"] = "y", characters: int = 40) -> None:
    """Format an axis for values from `low` to `high`: linear from zero, or logarithmic where they lie far apart.

    `characters`: how wide an x axis is; what is labelled between the powers of ten follows from it.
    """
    axis = axes.xaxis if which == "x" else axes.yaxis
    if not needs_log_axis(low, high):
        axes.set(**{f"{which}lim": (0, high * 1.08)})
    else:
        margin = (high / low) ** 0.05
        axes.set(**{f"{which}scale": "log", f"{which}lim": (low / margin, high * margin)})
        room = (
            _MAX_Y_LABELS if which == "y" else characters / (2 + max(len(format_short(low)), len(format_short(high))))
        )
        axis.set_major_locator(_log_locator(math.log10(high / low), room))
        axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(FuncFormatter(_tick_label))


def _log_locator(decades: float, labels: float) -> LogLocator:
    """Locator with the closest of `_MULTIPLES` whose ticks fit `labels`; fewer powers of ten if need be."""
    fitting = (multiples for multiples, decades_apart in _MULTIPLES.items() if decades / decades_apart <= labels)
    return LogLocator(subs=next(fitting, (1.0,)), numticks=max(2, min(8, int(labels))))


def ratio_axis(axes: Axes, low: float, high: float) -> None:
    """Format the y axis for ratios from `low` to `high`, with 1 always on it."""
    low, high = min(low, 1.0), max(high, 1.0)
    if high / low < _LOG_RATIO_FROM:
        margin = max(0.08 * (high - low), 0.02)
        axes.set_ylim(low - margin, high + margin)
    else:
        axes.set_yscale("log", base=2)
        axes.set_ylim(low / 1.15, high * 1.15)
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(FuncFormatter(_tick_label))


def value_range(rows: pd.DataFrame, measure: Measure) -> tuple[float, float]:
    """Lowest and highest value that will be drawn of the drawable `rows`, error bars included."""
    values = rows[[name for name in (measure.value, measure.low, measure.high) if name]].to_numpy(dtype=float)
    values = values[np.isfinite(values) & (values > 0)]
    return float(values.min()), float(values.max())


def _error_bars(axes: Axes, x: "pd.Series[float]", ends: pd.DataFrame, look: Look) -> None:
    """Draw bars at `x` from the second to the third column of `ends` around the first."""
    if ends.empty:
        return
    value, low, high = (ends.iloc[:, n].to_numpy(dtype=float) for n in range(3))
    errors = np.clip(np.vstack([value - low, high - value]), 0, None)
    axes.errorbar(x, value, errors, fmt="none", ecolor=look.colour, elinewidth=1)


def _tick_label(value: float, _: int | None) -> str:
    return format_short(value)
