"""Curves with their doubt: one line per series over client threads, error bars, gaps where nothing was measured."""

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
from servegrid.report.format import short
from servegrid.results.points import drawable_rows, hollow_rows

MAX_SERIES = 8
THREADS = "client threads"
_LOG_FROM = 12.0
"""Ratio of the largest to the smallest value from which a logarithmic axis shows more than a linear one."""
_LOG_RATIO_FROM = 5.0
_MULTIPLES = {(1.0, 2.0, 5.0): math.log10(2), (1.0, 3.0): math.log10(3)}
"""Multiples of the powers of ten that may be the ticks of a logarithmic axis: how many decades lie between two at least."""
_LINES = 10.0
"""Tick labels that fit above one another on any y axis."""
_MAX_TICKS = 9
_MANY = 12
"""Points on a curve from which its markers are drawn smaller."""


@dataclass(frozen=True)
class Measure:
    """What a figure shows on its y axis: columns of value, of its lowest and highest over sessions, words with the unit.

    `zero` says that 0 is a value as any other (a time of 0 is none).
    """

    value: str
    words: str
    low: str | None = None
    high: str | None = None
    zero: bool = False


TIME = Measure("time_s", "time to complete (s)", "time_s_low", "time_s_high")


def draw_curve(axes: Axes, rows: pd.DataFrame, measure: Measure, look: Look, x: str = "threads") -> None:
    """Draw `rows` of one series over column `x`. A row that cannot be drawn leaves a gap; a doubtful one is hollow."""
    rows = rows[rows[x].notna()].sort_values(x, kind="stable")
    good = drawable_rows(rows, measure.value, measure.zero)
    value = rows[measure.value].where(good)
    size = 5.5 if len(rows) <= _MANY else 3.5
    axes.plot(rows[x], value, markersize=size, **look.line)
    hollow = good & hollow_rows(rows)
    axes.plot(
        rows.loc[hollow, x],
        value[hollow],
        markersize=size,
        **{**look.line, "linestyle": "none", "markerfacecolor": "white"},
    )
    if measure.low and measure.high:
        known = rows[good].dropna(subset=[measure.low, measure.high])
        _error_bars(axes, known[x], known[[measure.value, measure.low, measure.high]], look)


def quickest(rows: pd.DataFrame, metric: str, words: str) -> tuple[list[str], str]:
    """The engines to draw, in the order they appear: the MAX_SERIES with the smallest `metric`; a note if some are left out.

    `words`: what the metric is, as it stands after "the shortest".
    """
    best = rows.groupby("engine", sort=False)[metric].min()
    kept = set(best.sort_values(kind="stable").index[:MAX_SERIES])
    note = f"Shown: the {MAX_SERIES} of {len(best)} engines with the shortest {words}; the table has all."
    return [engine for engine in best.index if engine in kept], note if len(best) > MAX_SERIES else ""


def legend_handle(look: Look) -> Line2D:
    """The legend's sample of a curve."""
    return Line2D([], [], **look.line)


def threads_axis(axes: Axes, threads: Sequence[float], characters: int = 40) -> None:
    """A log2 x axis with the measured levels as ticks, thinned to what `characters` of width can hold."""
    if len(threads) < 2:
        axes.set_xlim(0, 2 * threads[0] if threads else 2)
        ticks = list(threads)
    else:
        axes.set_xscale("log", base=2)
        margin = (threads[-1] / threads[0]) ** 0.04
        axes.set_xlim(threads[0] / margin, threads[-1] * margin)
        widest = max(len(f"{level:,.0f}") for level in threads)
        ticks = thin(threads, min(_MAX_TICKS, max(2, characters // (widest + 3))))
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda level, _: f"{level:,.0f}"))


def thin(levels: Sequence[float], limit: int) -> list[float]:
    """At most about `limit` of the sorted `levels`, evenly spread on a log scale, with the first and the last."""
    least = math.log(levels[-1] / levels[0]) / limit if len(levels) > 1 else 0.0
    kept = [levels[0]]
    for level in levels[1:]:
        if math.log(level / kept[-1]) >= least * 0.999:
            kept.append(level)
    if kept[-1] != levels[-1]:
        kept[-1 if len(kept) > 1 else len(kept) :] = [levels[-1]]
    return kept


def is_wide(low: float, high: float) -> bool:
    """Whether values from `low` to `high`, both above zero, need a logarithmic axis."""
    return high / low >= _LOG_FROM


def value_axis(axes: Axes, low: float, high: float, which: Literal["x", "y"] = "y", characters: int = 40) -> None:
    """An axis for values from `low` to `high`: linear from zero, or logarithmic where they lie far apart.

    `characters`: how wide an x axis is; what is labelled between the powers of ten follows from it.
    """
    axis = axes.xaxis if which == "x" else axes.yaxis
    if not is_wide(low, high):
        axes.set(**{f"{which}lim": (0, high * 1.08)})
    else:
        margin = (high / low) ** 0.05
        axes.set(**{f"{which}scale": "log", f"{which}lim": (low / margin, high * margin)})
        room = _LINES if which == "y" else characters / (2 + max(len(short(low)), len(short(high))))
        axis.set_major_locator(_log_locator(math.log10(high / low), room))
        axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(FuncFormatter(_tick))


def _log_locator(decades: float, labels: float) -> LogLocator:
    """The closest of `_MULTIPLES` of which about as many as `labels` would fill the axis; fewer powers of ten if need be."""
    fitting = (found for found, apart in _MULTIPLES.items() if decades / apart <= labels)
    return LogLocator(subs=next(fitting, (1.0,)), numticks=max(2, min(8, int(labels))))


def ratio_axis(axes: Axes, low: float, high: float) -> None:
    """A y axis for ratios from `low` to `high`, with 1 always on it."""
    low, high = min(low, 1.0), max(high, 1.0)
    if high / low < _LOG_RATIO_FROM:
        margin = max(0.08 * (high - low), 0.02)
        axes.set_ylim(low - margin, high + margin)
    else:
        axes.set_yscale("log", base=2)
        axes.set_ylim(low / 1.15, high * 1.15)
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(FuncFormatter(_tick))


def extent(rows: pd.DataFrame, measure: Measure) -> tuple[float, float]:
    """Lowest and highest value that will be drawn of the drawable `rows`, error bars included."""
    values = rows[[name for name in (measure.value, measure.low, measure.high) if name]].to_numpy(dtype=float)
    values = values[np.isfinite(values) & (values > 0)]
    return float(values.min()), float(values.max())


def _error_bars(axes: Axes, x: "pd.Series[float]", ends: pd.DataFrame, look: Look) -> None:
    """Bars at `x` from the second to the third column of `ends` around the first."""
    if ends.empty:
        return
    value, low, high = (ends.iloc[:, n].to_numpy(dtype=float) for n in range(3))
    errors = np.clip(np.vstack([value - low, high - value]), 0, None)
    axes.errorbar(x, value, errors, fmt="none", ecolor=look.colour, elinewidth=1)


def _tick(value: float, _: int | None) -> str:
    return short(value)
