"""What speed costs in sameness: speed-up over the baseline's setting against the share of equal texts, one dot per setting."""

import textwrap
from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from servegrid.report.curves import Measure, extent, legend_handle, ratio_axis
from servegrid.report.effect import reference_level, speedups
from servegrid.report.missing import limited, not_drawn, partial
from servegrid.report.numbers import clip
from servegrid.report.panels import at, in_common, split
from servegrid.report.points import doubtful, drawable, prepare
from servegrid.report.settings import Settings
from servegrid.report.sheet import Sheet, say
from servegrid.report.style import GREY, Look, engine_looks, styled

TITLE = "Speed against sameness"
SETTING = ["engine", "speculation", "quantization"]
SEPARATOR = "\x1f"  # in no label: report.numbers.plain leaves no control character
MAX_SETTINGS = 18
STRIP = "#E4E4E4"
_LABEL = 30
_GAP_IN = 0.22
"""Least distance of two labels."""
_HEIGHTS_IN = 2.4, 4.2
"""Of one of many panels with few labels, and of any other."""
_SPEEDUP = Measure("speedup", "speed-up (\N{MULTIPLICATION SIGN})", "speedup_low", "speedup_high")


def draw(points: pd.DataFrame, settings: Settings) -> Figure:
    """A panel per GPU and further axis; dots are medians over client threads, bars the range over them."""
    with styled():
        rows = prepare(points, settings)
        reference = {axis: reference_level(rows, axis, settings) for axis in SETTING}
        rows = _over(rows, reference, settings)
        known = drawable(rows, "speedup") & drawable(rows, "agreement", zero=True)
        if not known.any():
            measured = drawable(rows, "time_s").any()
            why = (
                "No point has both a speed-up and a share of equal texts."
                if measured
                else "No point has a measured time."
            )
            return say(TITLE, why, _gaps(rows, settings))
        panels, left_out = split(rows, ("gpu", *settings.axes), settings, known)
        every = [_dots(panel.points[known.loc[panel.points.index]]) for panel in panels]
        cut = any(len(dots) > MAX_SETTINGS for dots in every)
        height_in = _height_in(every)
        sheet = Sheet(len(panels), 1 if len(panels) < 3 else 2, height_in)
        looks = engine_looks(rows["engine"])
        for number, (axes, panel, dots) in enumerate(zip(sheet.axes, panels, every, strict=True)):
            _panel(axes, dots[:MAX_SETTINGS], looks, _GAP_IN / height_in)
            axes.set_title(textwrap.fill(panel.title, sheet.panel_characters), loc="left")
            axes.set_xlabel("texts equal to the baseline's (share)" if sheet.is_lowest(number) else "")
        words = ", ".join(at(axis, level) for axis, level in reference.items())
        notes = [
            f"Speed-up over {words}, at the same client threads. Dots: median over client threads; bars: lowest to highest.",
            *_doubts(rows[known], settings),
            f"Shown: the {MAX_SETTINGS} fastest settings of each panel; the table has all." if cut else "",
            *_gaps(rows, settings),
            left_out,
        ]
        legend: dict[str, Artist] = {clip(name, 60): legend_handle(_dot(look)) for name, look in looks.items()}
        if rows["agreement_floor"].notna().any():
            legend["within the baseline's own repeats"] = Patch(color=STRIP)
        return sheet.finish(TITLE, in_common(rows[known], ("gpu", "threads", *settings.axes)), legend, notes)


def _over(rows: pd.DataFrame, reference: dict[str, str], settings: Settings) -> pd.DataFrame:
    """The rows with their speed-up over the reference setting at the same place on all other axes."""
    setting = rows["engine"] + SEPARATOR + rows["speculation"] + SEPARATOR + rows["quantization"]
    match = tuple(axis for axis in settings.all_axes if axis not in SETTING)
    return speedups(rows.assign(setting=setting), "setting", SEPARATOR.join(reference.values()), match)


def _gaps(rows: pd.DataFrame, settings: Settings) -> list[str]:
    return not_drawn(rows, "time_s", settings.all_axes)


def _doubts(drawn: pd.DataFrame, settings: Settings) -> list[str]:
    lines = partial(drawn, "speedup") + limited(drawn, "speedup", settings.all_axes, "there or at the baseline")
    return [*lines, "A dot is hollow where one of its points is."] if lines else []


def _height_in(panels: Sequence[pd.DataFrame]) -> float:
    """Of a panel: of many as high as the most labels need."""
    least, most = _HEIGHTS_IN
    return most if len(panels) < 3 else min(max(least, _GAP_IN * max(map(len, panels))), most)


def _dots(points: pd.DataFrame) -> pd.DataFrame:
    """One row per setting: median, lowest and highest of speed-up and agreement over its points; the fastest first."""
    grouped = points.groupby(SETTING, sort=False)
    dots = grouped[["speedup", "agreement"]].agg(["median", "min", "max"])
    dots.columns = dots.columns.map("_".join)
    dots["floor"] = grouped["agreement_floor"].median()
    dots["warnings"] = grouped["warnings"].agg("; ".join)
    dots["hollow"] = doubtful(points).groupby([points[axis] for axis in SETTING], sort=False).any()
    return dots.sort_values("speedup_median", ascending=False, kind="stable").reset_index()


def _panel(axes: Axes, dots: pd.DataFrame, looks: dict[str, Look], gap: float) -> None:
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
    axes.set_ylabel(_SPEEDUP.words)
    for _, dot in dots.iterrows():
        _draw(axes, dot, _dot(looks[str(dot["engine"])]))
    _labels(axes, dots, gap)


def _draw(axes: Axes, dot: "pd.Series[float]", look: Look) -> None:
    x, y = dot["agreement_median"], dot["speedup_median"]
    xerr = [[x - dot["agreement_min"]], [dot["agreement_max"] - x]]
    yerr = [[y - dot["speedup_min"]], [dot["speedup_max"] - y]]
    axes.errorbar([x], [y], yerr, xerr, fmt="none", ecolor=look.colour, elinewidth=0.8, capsize=2)
    face = "white" if dot["hollow"] else look.colour
    axes.plot([x], [y], markersize=7, **{**look.line, "markerfacecolor": face})


def _dot(look: Look) -> Look:
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
        axes.text(1.03, place, _name(dot), transform=axes.transAxes, va="center", size=7)


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


def _name(dot: "pd.Series[float]") -> str:
    name = clip(f"{dot['engine']}, {dot['speculation']}, {dot['quantization']}", _LABEL)
    if "garbled texts" in str(dot["warnings"]):
        return f"{name}: garbled"
    return f"{name}: texts change" if " changes texts" in str(dot["warnings"]) else name
