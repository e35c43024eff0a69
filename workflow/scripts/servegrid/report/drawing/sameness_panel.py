"""A panel of the sameness figure: dots of speed-up against the share of equal texts, with their labels beside it."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.ticker import MaxNLocator

from servegrid.report.drawing.curves import Measure, ratio_axis, value_range
from servegrid.report.drawing.speedup import SPEEDUP
from servegrid.report.drawing.style import GREY, Look

STRIP = "#E4E4E4"
_STEP, _FURTHEST = 0.018, 0.09
"""Distance between two dots of the same share, and between the outermost ones, in widths of the panel."""
_ROOM, _RADIUS = 0.065, 0.015
"""Room beside the outermost shares, and radius of a dot, in widths of the panel."""


def draw_panel(axes: Axes, dots: pd.DataFrame, looks: dict[str, Look], gap: float) -> None:
    """Draw one dot per row of `dots`, and its label beside the panel, `gap` of the panel's height or more from the
    next.
    """
    left = max(0.0, min(float(dots["agreement_min"].min()), 0.9) - 0.05)
    width = 1 - left
    axes.set_xlim(left - _ROOM * width, 1 + _ROOM * width)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))  # so that 1 is one of them, and none above
    offsets = sideways_offsets(dots["agreement_median"])
    _shade_floor(axes, dots, offsets * width)
    axes.axhline(1, color=GREY, linestyle=(0, (4, 2)), linewidth=1)
    measures = Measure("speedup_median", "", "speedup_min", "speedup_max")
    ratio_axis(axes, *value_range(dots, measures))
    axes.set_ylabel(SPEEDUP.axis_label)
    placed = dots.assign(x=dots["agreement_median"] + offsets * width)
    for _, dot in placed.iterrows():
        _draw_dot(axes, dot, dot_look(looks[str(dot["engine"])]))
    _draw_labels(axes, placed, gap)


def sideways_offsets(shares: "pd.Series[float]") -> "pd.Series[float]":
    """Shift of each dot, in widths of the panel, so that dots of one share do not hide one another."""
    rounded = shares.round(3)
    dots_there = rounded.groupby(rounded).transform("size")
    place = rounded.groupby(rounded).cumcount() - (dots_there - 1) / 2
    return place * np.minimum(_STEP, _FURTHEST / (dots_there - 1).clip(lower=1))


def _shade_floor(axes: Axes, dots: pd.DataFrame, offsets: "pd.Series[float]") -> None:
    """Shade where texts differ no more than between the baseline's own repeats, with room for the dots there."""
    floor = dots["floor"].dropna()
    if len(floor):
        low, high = axes.get_xlim()
        within = offsets[dots["agreement_median"] >= floor.iloc[0]]
        room = (high - low) * _RADIUS - min([0.0, *within])
        axes.axvspan(floor.iloc[0] - room, high, color=STRIP, zorder=0)


def _draw_dot(axes: Axes, dot: "pd.Series[float]", look: Look) -> None:
    x, y = dot["x"], dot["speedup_median"]
    low, high = (dot[f"agreement_{end}"] for end in ("min", "max"))
    xerr = [[max(0.0, x - low) * (low < high)], [max(0.0, high - x) * (low < high)]]
    yerr = [[y - dot["speedup_min"]], [dot["speedup_max"] - y]]
    axes.errorbar([x], [y], yerr, xerr, fmt="none", ecolor=look.colour, elinewidth=0.8, capsize=2)
    face = "white" if dot["hollow"] else look.colour
    axes.plot([x], [y], markersize=7, **{**look.line, "markerfacecolor": face})


def dot_look(look: Look) -> Look:
    """Look of an engine's dots, which no line joins."""
    return Look(look.colour, look.marker, "none")


def _draw_labels(axes: Axes, dots: pd.DataFrame, gap: float) -> None:
    """Write every dot's label to the right of the panel, in the order of the dots, so that none touches another."""
    to_share = axes.transData + axes.transAxes.inverted()
    ends = to_share.transform(dots[["x", "speedup_median"]].to_numpy())
    places = spread_heights(ends[:, 1].tolist(), gap)
    leaders = [[tuple(end), (1.02, place)] for end, place in zip(ends, places, strict=True)]
    style: dict[str, Any] = {"colors": "#AAAAAA", "linewidths": 0.6, "zorder": 1}
    axes.add_collection(LineCollection(leaders, transform=axes.transAxes, clip_on=False, **style), autolim=False)
    for (_, dot), place in zip(dots.iterrows(), places, strict=True):
        axes.text(1.03, place, str(dot["label"]), transform=axes.transAxes, va="center", size=7)


def spread_heights(heights: list[float], gap: float) -> list[float]:
    """Heights from top to bottom (0 to 1, falling), moved as little as needed to lie at least `gap` apart within 0 to
    1.
    """
    gap = min(gap, 1 / max(1, len(heights) - 1))
    places: list[float] = []
    for height in heights:
        places.append(min(height, places[-1] - gap if places else 1.0))
    least = 0.0
    for number in range(len(places) - 1, -1, -1):
        places[number] = max(places[number], least)
        least = places[number] + gap
    return places
