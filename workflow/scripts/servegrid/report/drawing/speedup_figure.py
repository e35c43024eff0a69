"""The figure of a feature's effect: speed-up over client threads, a curve per level, and the acceptance if known."""

import textwrap
from dataclasses import dataclass

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator

from servegrid.report.drawing.curves import (
    MAX_SERIES,
    THREADS,
    Measure,
    draw_curve,
    extent,
    legend_handle,
    ratio_axis,
    threads_axis,
)
from servegrid.report.drawing.footnotes import count, error_bars, limited, not_drawn, partial
from servegrid.report.drawing.panels import Panel, at, columns_for, hold, in_common, split
from servegrid.report.drawing.sheet import Sheet, say
from servegrid.report.drawing.speedup import SPEEDUP, reference_level, speedups
from servegrid.report.drawing.style import GREY, level_looks, styled
from servegrid.report.settings import Settings
from servegrid.results.points import axis_levels, drawable_rows, prepare_points
from servegrid.util.text import clip

ACCEPTANCE = Measure("acceptance_rate", "accepted\nshare", zero=True)


@dataclass(frozen=True)
class Effect:
    """Which feature a figure is about.

    Attributes:
        axis: the axis whose levels are compared.
        title: the figure's title.
        held: an axis to hold at the baseline's level, if any.
        facets: axes that tell panels apart, besides the further ones.
        acceptance: whether the share of accepted draft tokens is drawn below the speed-up where it is known.
    """

    axis: str
    title: str
    facets: tuple[str, ...]
    held: str | None = None
    acceptance: bool = False


def draw_effect(points: pd.DataFrame, settings: Settings, effect: Effect) -> Figure:
    """Speed-up of every level of `effect.axis` over its reference level, in panels by `effect.facets`."""
    with styled():
        rows, held = prepare_points(points, settings.all_axes), ""
        if effect.held:
            rows, held = hold(rows, effect.held, settings, drawable_rows(rows, "time_s"))
        reference = reference_level(rows, effect.axis, settings)
        match = tuple(axis for axis in settings.all_axes if axis != effect.axis)
        rows = speedups(rows, effect.axis, reference, match)
        gaps = not_drawn(rows, "time_s", settings.all_axes)
        drawn = drawable_rows(rows, SPEEDUP.value) & (rows[effect.axis] != reference)
        if not drawn.any():
            return say(effect.title, _nothing(rows, effect, reference), gaps)
        chosen, dropped = _levels(rows[drawn], effect, reference)
        panels, left_out = split(rows, (*effect.facets, *settings.axes), settings, drawn)
        figure = _Drawing(panels, effect, chosen, reference)
        orphans = _orphans(rows[rows[effect.axis] != reference], effect, reference)
        doubts = [*partial(rows[drawn], SPEEDUP.value), *_limited(rows[drawn], settings)]
        notes = [_bars(rows[drawn]), held, *doubts, *gaps, orphans, dropped, left_out]
        return figure.finish(in_common(rows[drawn], match), notes)


class _Drawing:
    """The panels of one effect figure."""

    def __init__(self, panels: list[Panel], effect: Effect, chosen: list[str], reference: str) -> None:
        self.effect, self.reference, self.panels = effect, reference, panels
        self.looks = level_looks([reference, *(level for level in chosen if level != reference)])
        every = pd.concat([panel.points for panel in panels])
        compared = every[effect.axis].isin(self.looks) & (every[effect.axis] != reference)
        self.shown = every[drawable_rows(every, SPEEDUP.value) & compared]
        self.threads: list[float] = sorted(self.shown["threads"].dropna().unique())
        self.strip = effect.acceptance and bool(drawable_rows(self.shown, ACCEPTANCE.value, zero=True).any())
        self.sheet = Sheet(
            len(panels),
            columns_for(panels),
            height_in=3.4 if self.strip else None,
            ratios=(3, 1) if self.strip else (1,),
        )
        for number in range(len(panels)):
            self._panel(number)

    def finish(self, subtitle: str, notes: list[str]) -> Figure:
        """Add the words around the panels."""
        legend: dict[str, Artist] = {clip(level, 60): legend_handle(look) for level, look in self.looks.items()}
        legend[f"{clip(self.reference, 60)} (reference)"] = Line2D([], [], color=GREY, linestyle=(0, (4, 2)))
        del legend[clip(self.reference, 60)]
        return self.sheet.finish(self.effect.title, subtitle, legend, notes, heading=self.effect.axis)

    def _panel(self, number: int) -> None:
        upper, *strip = self.sheet.cells[number]
        panel, left = self.panels[number], self.sheet.is_left(number)
        upper.axhline(1, color=GREY, linestyle=(0, (4, 2)), linewidth=1)
        upper.set_title(textwrap.fill(panel.title, self.sheet.panel_characters), loc="left")
        self._curves(upper, panel, SPEEDUP)
        ratio_axis(upper, *extent(self.shown, SPEEDUP))
        upper.set_ylabel(SPEEDUP.words if left else "")
        for axes in strip:
            self._acceptance(axes, panel)
            axes.set_ylim(0, 1.05)
            axes.set_ylabel(ACCEPTANCE.words if left else "")
        for axes in (upper, *strip):
            self._x_axis(axes)
            axes.tick_params(
                labelleft=left, labelbottom=axes is (strip or [upper])[-1] and self.sheet.is_lowest(number)
            )
        if self.sheet.is_lowest(number):
            (strip or [upper])[-1].set_xlabel(THREADS if len(self.threads) > 1 else self.effect.axis)

    def _acceptance(self, axes: Axes, panel: Panel) -> None:
        compared = panel.points[panel.points.index.isin(self.shown.index)]
        told = panel.points[ACCEPTANCE.value].where(panel.points.index.isin(compared.index))
        self._curves(axes, Panel(panel.place, panel.points.assign(**{ACCEPTANCE.value: told})), ACCEPTANCE)
        if not drawable_rows(compared, ACCEPTANCE.value, zero=True).any():
            text = axes.text(0.5, 0.5, "not reported", color=GREY, style="italic", transform=axes.transAxes)
            text.set(ha="center", va="center")

    def _curves(self, axes: Axes, panel: Panel, measure: Measure) -> None:
        for place, (level, look) in enumerate(self.looks.items()):
            if level == self.reference:
                continue
            rows = panel.points[panel.points[self.effect.axis] == level]
            x = "threads" if len(self.threads) > 1 else "place"
            draw_curve(axes, rows.assign(place=float(place)), measure, look, x)

    def _x_axis(self, axes: Axes) -> None:
        if len(self.threads) > 1:
            threads_axis(axes, self.threads, self.sheet.panel_characters)
            return
        room = max(5, self.sheet.panel_characters // len(self.looks) - 2)
        axes.set_xlim(0.4, len(self.looks) - 0.4)
        axes.xaxis.set_major_locator(FixedLocator(list(range(1, len(self.looks)))))
        axes.set_xticks(range(1, len(self.looks)), [clip(level, room) for level in list(self.looks)[1:]])


def _levels(drawn: pd.DataFrame, effect: Effect, reference: str) -> tuple[list[str], str]:
    found = axis_levels(drawn, effect.axis)
    kept = found[: MAX_SERIES - 1]
    note = f"Shown: the first {len(kept)} of {len(found)} levels besides {reference}; the table has all."
    return kept, note if len(found) > len(kept) else ""


def _bars(drawn: pd.DataFrame) -> str:
    if drawn["speedup_low"].isna().all():
        return "No error bars: no point has two sessions beside two of the reference."
    return " ".join(error_bars(drawn, SPEEDUP.value, "95 % t-interval of the ratio, over {} sessions each"))


def _limited(drawn: pd.DataFrame, settings: Settings) -> list[str]:
    return limited(drawn, SPEEDUP.value, settings.all_axes, "there or at the reference")


def _orphans(rows: pd.DataFrame, effect: Effect, reference: str) -> str:
    orphans = int((drawable_rows(rows, "time_s") & ~drawable_rows(rows, SPEEDUP.value)).sum())
    why = f"with no complete point at {at(effect.axis, reference)} to compare with"
    return f"Not drawn: {count(orphans)} {why}." if orphans else ""


def _nothing(rows: pd.DataFrame, effect: Effect, reference: str) -> str:
    measured = axis_levels(rows[drawable_rows(rows, "time_s")], effect.axis)
    if not measured:
        return "No point has a measured time."
    if measured == [reference]:
        return f"Nothing to compare: {at(effect.axis, reference)} is the only level measured."
    return f"Nothing to compare: no other level was measured where {at(effect.axis, reference)} is complete."
