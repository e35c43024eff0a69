"""Time to complete the prompt set against client threads, a curve per engine: the article's figure."""

import textwrap

import pandas as pd
from matplotlib.figure import Figure

from servegrid.report.drawing.curves import (
    THREADS,
    TIME,
    draw_curve,
    extent,
    legend_handle,
    quickest,
    threads_axis,
    value_axis,
)
from servegrid.report.drawing.footnotes import error_bars, limited, not_drawn, partial
from servegrid.report.drawing.panels import Panel, columns_for, hold, in_common, split
from servegrid.report.drawing.sheet import Sheet, say
from servegrid.report.drawing.style import Look, engine_looks, styled
from servegrid.report.settings import Settings
from servegrid.results.points import drawable_rows, prepare_points

TITLE = "Time against client threads"
_NOTHING = ("No point has a measured time.", "Nothing to draw: with planned arrivals there are no client threads.")


def draw(points: pd.DataFrame, settings: Settings) -> Figure:
    """Panels by GPU, quantization and further axes; speculation held at the baseline's."""
    with styled():
        rows = prepare_points(points, settings.all_axes)
        looks = engine_looks(rows["engine"])
        rows, held = hold(rows, "speculation", settings, drawable_rows(rows, TIME.value))
        drawn = drawable_rows(rows, TIME.value) & rows["threads"].notna()
        gaps = not_drawn(rows, TIME.value, settings.all_axes)
        if not drawn.any():
            return say(TITLE, _NOTHING[bool(drawable_rows(rows, TIME.value).any())], gaps)
        kept, dropped = quickest(rows[drawn], "time_s", "times")
        panels, left_out = split(
            rows[rows["engine"].isin(kept)], ("gpu", "quantization", *settings.axes), settings, drawn
        )
        sheet = Sheet(len(panels), columns_for(panels))
        _fill(sheet, panels, {engine: looks[engine] for engine in kept})
        legend = {engine: legend_handle(looks[engine]) for engine in kept}
        doubts = [*partial(rows, TIME.value), *limited(rows, TIME.value, settings.all_axes)]
        notes = [*error_bars(rows, TIME.value), held, *doubts, *gaps, dropped, left_out]
        return sheet.finish(TITLE, in_common(rows, settings.all_axes), legend, notes)


def _fill(sheet: Sheet, panels: list[Panel], looks: dict[str, Look]) -> None:
    shown = pd.concat([panel.points for panel in panels])
    shown = shown[drawable_rows(shown, TIME.value) & shown["threads"].notna()]
    threads = sorted(shown["threads"].unique())
    for number, (axes, panel) in enumerate(zip(sheet.axes, panels, strict=True)):
        for engine, look in looks.items():
            draw_curve(axes, panel.points[panel.points["engine"] == engine], TIME, look)
        axes.set_title(textwrap.fill(panel.title, sheet.panel_characters), loc="left")
        threads_axis(axes, threads, sheet.panel_characters)
        value_axis(axes, *extent(shown, TIME))
        axes.tick_params(labelleft=sheet.is_left(number), labelbottom=sheet.is_lowest(number))
        axes.set_ylabel(TIME.words if sheet.is_left(number) else "")
        axes.set_xlabel(THREADS if sheet.is_lowest(number) else "")
