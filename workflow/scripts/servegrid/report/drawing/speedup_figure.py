"""Figure of a feature's effect: speed-up over client threads, a curve per level, and the acceptance if known."""

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
    legend_handle,
    ratio_axis,
    threads_axis,
    value_range,
)
from servegrid.report.drawing.footnotes import (
    client_bound_notes,
    count_points,
    error_bar_notes,
    not_drawn_notes,
    partial_notes,
)
from servegrid.report.drawing.panels import Panel, axis_level_label, columns_for, common_levels, hold_axis, split_panels
from servegrid.report.drawing.sheet import Sheet, message_figure
from servegrid.report.drawing.speedup import SPEEDUP, reference_level, speedups, time_model
from servegrid.report.drawing.style import GREY, level_looks, styled
from servegrid.report.settings import Settings
from servegrid.results.points import axis_levels, drawable_rows, prepare_points
from servegrid.util.text import clip

ACCEPTANCE = Measure("acceptance_rate", "accepted\nshare", zero=True)


@dataclass(frozen=True)
class FeatureEffect:
    """The feature that a figure is about.

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


def draw_effect(points: pd.DataFrame, settings: Settings, effect: FeatureEffect) -> Figure:
    """Figure of the speed-up of every level of `effect.axis` over its reference level, in panels by `effect.facets`."""
    with styled():
        rows, held_note = prepare_points(points, settings.all_axes), ""
        times = time_model(rows)
        if effect.held:
            rows, held_note = hold_axis(rows, effect.held, settings, drawable_rows(rows, "time_s"))
        reference = reference_level(rows, effect.axis, settings)
        match = tuple(axis for axis in settings.all_axes if axis != effect.axis)
        rows = speedups(rows, effect.axis, reference, match, times)
        gap_notes = not_drawn_notes(rows, "time_s", settings.all_axes)
        drawn = drawable_rows(rows, SPEEDUP.value) & (rows[effect.axis] != reference)
        if not drawn.any():
            return message_figure(effect.title, _no_data_text(rows, effect, reference), gap_notes)
        chosen, dropped_note = _levels_to_draw(rows[drawn], effect, reference)
        panels, left_out = split_panels(rows, (*effect.facets, *settings.axes), settings, drawn)
        figure = _EffectPanels(panels, effect, chosen, reference)
        orphan_note = _orphan_note(rows[rows[effect.axis] != reference], effect, reference)
        doubt_notes = [
            *partial_notes(rows[drawn], SPEEDUP.value),
            *client_bound_notes(rows[drawn], SPEEDUP.value, settings.all_axes, "there or at the reference"),
        ]
        notes = [_error_bar_note(rows[drawn]), held_note, *doubt_notes, *gap_notes, orphan_note, dropped_note, left_out]
        return figure.finish(common_levels(rows[drawn], match), notes)


class _EffectPanels:
    """Panels of one effect figure."""

    def __init__(self, panels: list[Panel], effect: FeatureEffect, chosen: list[str], reference: str) -> None:
        self.effect, self.reference, self.panels = effect, reference, panels
        self.looks = level_looks([reference, *(level for level in chosen if level != reference)])
        all_points = pd.concat([panel.points for panel in panels])
        compared = all_points[effect.axis].isin(self.looks) & (all_points[effect.axis] != reference)
        self.compared = all_points[drawable_rows(all_points, SPEEDUP.value) & compared]
        self.threads: list[float] = sorted(self.compared["threads"].dropna().unique())
        self.strip = effect.acceptance and bool(drawable_rows(self.compared, ACCEPTANCE.value, zero=True).any())
        self.sheet = Sheet(
            len(panels),
            columns_for(panels),
            height_in=3.4 if self.strip else None,
            ratios=(3, 1) if self.strip else (1,),
        )
        for number in range(len(panels)):
            self._draw_panel(number)

    def finish(self, subtitle: str, notes: list[str]) -> Figure:
        """Add title, legend and notes around the panels, and return the figure."""
        legend: dict[str, Artist] = {clip(level, 60): legend_handle(look) for level, look in self.looks.items()}
        legend[f"{clip(self.reference, 60)} (reference)"] = Line2D([], [], color=GREY, linestyle=(0, (4, 2)))
        del legend[clip(self.reference, 60)]
        return self.sheet.finish(self.effect.title, subtitle, legend, notes, heading=self.effect.axis)

    def _draw_panel(self, number: int) -> None:
        upper, *strip = self.sheet.cells[number]
        panel, left = self.panels[number], self.sheet.is_left(number)
        upper.axhline(1, color=GREY, linestyle=(0, (4, 2)), linewidth=1)
        upper.set_title(textwrap.fill(panel.title, self.sheet.panel_characters), loc="left")
        self._draw_curves(upper, panel, SPEEDUP)
        ratio_axis(upper, *value_range(self.compared, SPEEDUP))
        upper.set_ylabel(SPEEDUP.axis_label if left else "")
        for axes in strip:
            self._draw_acceptance(axes, panel)
            axes.set_ylim(0, 1.05)
            axes.set_ylabel(ACCEPTANCE.axis_label if left else "")
        for axes in (upper, *strip):
            self._format_x_axis(axes)
            axes.tick_params(
                labelleft=left, labelbottom=axes is (strip or [upper])[-1] and self.sheet.is_lowest(number)
            )
        if self.sheet.is_lowest(number):
            (strip or [upper])[-1].set_xlabel(THREADS if len(self.threads) > 1 else self.effect.axis)

    def _draw_acceptance(self, axes: Axes, panel: Panel) -> None:
        compared_points = panel.points[panel.points.index.isin(self.compared.index)]
        compared_rates = panel.points[ACCEPTANCE.value].where(panel.points.index.isin(compared_points.index))
        self._draw_curves(
            axes, Panel(panel.place, panel.points.assign(**{ACCEPTANCE.value: compared_rates})), ACCEPTANCE
        )
        if not drawable_rows(compared_points, ACCEPTANCE.value, zero=True).any():
            text = axes.text(0.5, 0.5, "not reported", color=GREY, style="italic", transform=axes.transAxes)
            text.set(ha="center", va="center")

    def _draw_curves(self, axes: Axes, panel: Panel, measure: Measure) -> None:
        for place, (level, look) in enumerate(self.looks.items()):
            if level == self.reference:
                continue
            rows = panel.points[panel.points[self.effect.axis] == level]
            x = "threads" if len(self.threads) > 1 else "place"
            draw_curve(axes, rows.assign(place=float(place)), measure, look, x)

    def _format_x_axis(self, axes: Axes) -> None:
        if len(self.threads) > 1:
            threads_axis(axes, self.threads, self.sheet.panel_characters)
            return
        room = max(5, self.sheet.panel_characters // len(self.looks) - 2)
        axes.set_xlim(0.4, len(self.looks) - 0.4)
        axes.xaxis.set_major_locator(FixedLocator(list(range(1, len(self.looks)))))
        axes.set_xticks(range(1, len(self.looks)), [clip(level, room) for level in list(self.looks)[1:]])


def _levels_to_draw(drawn_rows: pd.DataFrame, effect: FeatureEffect, reference: str) -> tuple[list[str], str]:
    """The first levels besides the reference, and a note if there are more."""
    measured_levels = axis_levels(drawn_rows, effect.axis)
    kept = measured_levels[: MAX_SERIES - 1]
    note = f"Shown: the first {len(kept)} of {len(measured_levels)} levels besides {reference}; the table has all."
    return kept, note if len(measured_levels) > len(kept) else ""


def _error_bar_note(drawn_rows: pd.DataFrame) -> str:
    if drawn_rows["speedup_low"].isna().all():
        return "No error bars: no point has two sessions beside two of the reference."
    return " ".join(error_bar_notes(drawn_rows, SPEEDUP.value))


def _orphan_note(rows: pd.DataFrame, effect: FeatureEffect, reference: str) -> str:
    """Note on measured points without a complete reference."""
    orphans = int((drawable_rows(rows, "time_s") & ~drawable_rows(rows, SPEEDUP.value)).sum())
    reason = f"with no complete point at {axis_level_label(effect.axis, reference)} to compare with"
    return f"Not drawn: {count_points(orphans)} {reason}." if orphans else ""


def _no_data_text(rows: pd.DataFrame, effect: FeatureEffect, reference: str) -> str:
    """Why nothing can be compared."""
    measured = axis_levels(rows[drawable_rows(rows, "time_s")], effect.axis)
    if not measured:
        return "No point has a measured time."
    if measured == [reference]:
        return f"Nothing to compare: {axis_level_label(effect.axis, reference)} is the only level measured."
    return (
        f"Nothing to compare: no other level was measured where {axis_level_label(effect.axis, reference)} is complete."
    )
