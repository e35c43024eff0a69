"""A panel of the sameness figure: dots of speed-up against the share of equal texts, with their names beside."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.ticker import MaxNLocator

from servegrid.report.curves import Measure, extent, ratio_axis
from servegrid.report.effect import SPEEDUP
from servegrid.report.style import GREY, Look

STRIP = "#E4E4E4"


def draw_panel(axes: Axes, dots: pd.DataFrame, looks: dict[str, Look], gap: float) -> None:
    """One dot per row of `dots`, and its label beside the panel, `gap` of its height from the next at least."""
    floor = dots["floor"].dropna()
    if len(floor):
        axes.axvspan(floor.iloc[0] - 0.008, 1.02, color=STRIP, zorder=0)
    axes.axhline(1, color=GREY, linestyle=(0, (4, 2)), linewidth=1)
    lowest = min(float(dots["agreement_min"].min()), 0.9)
    limits = max(-0.03, lowest - 0.05), 1.02
    axes.set_xlim(*limits)
    axes.xaxis.set_major_locator(
        MaxNLocator(5, steps=[1, 2, 2.5, 5, 10])
    )  # so that 1 is one of them, and none lies above
    measures = Measure("speedup_median", "", "speedup_min", "speedup_max")
    ratio_axis(axes, *extent(dots, measures))
    axes.set_ylabel(SPEEDUP.words)
    for _, dot in dots.iterrows():
        _draw(axes, dot, dot_look(looks[str(dot["engine"])]))
    _labels(axes, dots, gap)


def _draw(axes: Axes, dot: "pd.Series[float]", look: Look) -> None:
    x, y = dot["agreement_median"], dot["speedup_median"]
    xerr = [[x - dot["agreement_min"]], [dot["agreement_max"] - x]]
    yerr = [[y - dot["speedup_min"]], [dot["speedup_max"] - y]]
    axes.errorbar([x], [y], yerr, xerr, fmt="none", ecolor=look.colour, elinewidth=0.8, capsize=2)
    face = "white" if dot["hollow"] else look.colour
    axes.plot([x], [y], markersize=7, **{**look.line, "markerfacecolor": face})


def dot_look(look: Look) -> Look:
    """The look of an engine's dots, which no line joins."""
    return Look(look.colour, look.marker, "none")


def _labels(axes: Axes, dots: pd.DataFrame, gap: float) -> None:
    """Every dot's name to the right of the panel, in the order of the dots, spread so that none touches another."""
    to_share = axes.transData + axes.transAxes.inverted()
    ends = to_share.transform(dots[["agreement_median", "speedup_median"]].to_numpy())
    places = spread(ends[:, 1].tolist(), gap)
    leaders = [[tuple(end), (1.02, place)] for end, place in zip(ends, places, strict=True)]
    style: dict[str, Any] = {"colors": "#AAAAAA", "linewidths": 0.6, "zorder": 1}
    axes.add_collection(LineCollection(leaders, transform=axes.transAxes, clip_on=False, **style), autolim=False)
    for (_, dot), place in zip(dots.iterrows(), places, strict=True):
        axes.text(1.03, place, str(dot["label"]), transform=axes.transAxes, va="center", size=7)


def spread(heights: list[float], gap: float) -> list[float]:
    """Heights from top to bottom (0 to 1, falling), moved as little as needed to lie at least `gap` apart, within 0 and 1."""
    gap = min(gap, 1 / max(1, len(heights) - 1))
    places: list[float] = []
    for height in heights:
        places.append(min(height, places[-1] - gap if places else 1.0))
    floor = 0.0
    for number in range(len(places) - 1, -1, -1):
        places[number] = max(places[number], floor)
        floor = places[number] + gap
    return places
