"""Time to complete the prompt set against client threads, a curve per engine: the article's figure."""

import textwrap

import pandas as pd
from matplotlib.figure import Figure

from servegrid.report.drawing.curves import (
    THREADS,
    TIME,
    draw_curve,
    fastest_engines,
    legend_handle,
    threads_axis,
    value_axis,
    value_range,
)
from servegrid.report.drawing.footnotes import client_bound_notes, error_bar_notes, not_drawn_notes, partial_notes
from servegrid.report.drawing.panels import Panel, columns_for, common_levels, hold_axis, split_panels
from servegrid.report.drawing.sheet import Sheet, message_figure
from servegrid.report.drawing.style import Look, engine_looks, styled
from servegrid.report.settings import Settings
from servegrid.results.points import drawable_rows, prepare_points

TITLE = "Time against client threads"
_NO_DATA = ("No point has a measured time.", "Nothing to draw: with planned arrivals there are no client threads.")


def draw(points: pd.DataFrame, settings: Settings) -> Figure:
    """Figure with panels by GPU, quantization and further axes; speculation held at the baseline's."""
    with styled():
        rows = prepare_points(points, settings.all_axes)
        looks = engine_looks(rows["engine"])
        rows, held_note = hold_axis(rows, "speculation", settings, drawable_rows(rows, TIME.value))
        drawn = drawable_rows(rows, TIME.value) & rows["threads"].notna()
        gap_notes = not_drawn_notes(rows, TIME.value, settings.all_axes)
        if not drawn.any():
            return message_figure(TITLE, _NO_DATA[bool(drawable_rows(rows, TIME.value).any())], gap_notes)
        engines, dropped_note = fastest_engines(rows[drawn], "time_s", "times")
        panels, left_out = split_panels(
            rows[rows["engine"].isin(engines)], ("gpu", "quantization", *settings.axes), settings, drawn
        )
        sheet = Sheet(len(panels), columns_for(panels))
        _draw_panels(sheet, panels, {engine: looks[engine] for engine in engines})
        legend = {engine: legend_handle(looks[engine]) for engine in engines}
        doubt_notes = [*partial_notes(rows, TIME.value), *client_bound_notes(rows, TIME.value, settings.all_axes)]
        notes = [*error_bar_notes(rows, TIME.value), held_note, *doubt_notes, *gap_notes, dropped_note, left_out]
        return sheet.finish(TITLE, common_levels(rows, settings.all_axes), legend, notes)


def _draw_panels(sheet: Sheet, panels: list[Panel], looks: dict[str, Look]) -> None:
    drawn_points = pd.concat([panel.points for panel in panels])
    drawn_points = drawn_points[drawable_rows(drawn_points, TIME.value) & drawn_points["threads"].notna()]
    threads = sorted(drawn_points["threads"].unique())
    for number, (axes, panel) in enumerate(zip(sheet.axes, panels, strict=True)):
        for engine, look in looks.items():
            draw_curve(axes, panel.points[panel.points["engine"] == engine], TIME, look)
        axes.set_title(textwrap.fill(panel.title, sheet.panel_characters), loc="left")
        threads_axis(axes, threads, sheet.panel_characters)
        value_axis(axes, *value_range(drawn_points, TIME))
        axes.tick_params(labelleft=sheet.is_left(number), labelbottom=sheet.is_lowest(number))
        axes.set_ylabel(TIME.axis_label if sheet.is_left(number) else "")
        axes.set_xlabel(THREADS if sheet.is_lowest(number) else "")
