"""Interactive plots of the page, as plotly's JSON (traces and layout). Values are shown on hover, dragging zooms."""

from dataclasses import replace

import pandas as pd

from servegrid.report.drawing.curves import THREADS, TIME, thin_levels
from servegrid.report.page.acceptance import acceptance_plots
from servegrid.report.page.heatmap import heatmap_plots
from servegrid.report.page.pareto import pareto_plots
from servegrid.report.page.percentiles import percentile_plots
from servegrid.report.page.plotly_marks import Plot, axes_layout, error_bars, marks, marks_note, set_scale
from servegrid.report.page.series import MAX_SERIES, build_series
from servegrid.report.settings import Settings
from servegrid.results.columns import LATENCY_COLUMNS
from servegrid.results.points import PUBLISHED, drawable_rows

COLUMNS_WITH_INTERVAL = (
    *("time_s", "output_tokens_per_s", "output_tokens_per_s_per_gpu", "acceptance_rate", "acceptance_length"),
    *LATENCY_COLUMNS,
)
"""Columns whose interval over the sessions the plots show, see `sweep_model.with_intervals`."""
_MAX_TICKS = 9
_LATENCIES = (("ttft", "Time to first token"), ("itl", "Time between tokens"))


def plots(rows: pd.DataFrame, settings: Settings) -> list[Plot]:
    """All plots that these points can fill: `id`, `title`, `note`, `data`, `layout`."""
    measured = rows[drawable_rows(rows, "time_s")]
    measured_here = measured[measured["status"] != PUBLISHED]
    page_plots = [*_threads_plots(measured, settings), *pareto_plots(measured, settings)]
    page_plots += [plot for name, title in _LATENCIES for plot in percentile_plots(measured, settings, name, title)]
    return [*page_plots, *heatmap_plots(measured_here, settings), *acceptance_plots(measured_here)]


def _threads_plots(rows: pd.DataFrame, settings: Settings) -> list[Plot]:
    """Plot of time over client threads; none with planned arrivals, which have no client threads."""
    rows = rows[rows["threads"].notna()]
    if rows.empty:
        return []
    axes = [axis for axis in settings.all_axes if axis != "threads"]
    series, names_note = build_series(rows, axes, MAX_SERIES)
    traces = []
    for curve in series:
        ordered = curve.rows.sort_values("threads")
        line = marks(replace(curve, rows=ordered), ordered["threads"], TIME.value)
        line |= {"mode": "lines+markers", "line": {"color": curve.colour, "dash": curve.dash}}
        traces.append(line | {"error_y": error_bars(ordered, TIME.value, curve.colour)})
    note = "Click a name to hide its curve, twice to see it alone." + marks_note(rows, traces) + names_note
    layout = axes_layout(THREADS, TIME.axis_label)
    ticks = thin_levels(sorted(rows["threads"].unique().tolist()), _MAX_TICKS)
    layout["xaxis"] |= {"type": "log", "tickvals": ticks}
    set_scale(layout["yaxis"], rows[["time_s", "time_s_low", "time_s_high"]])
    title = "Time to complete against client threads"
    return [{"id": "threads", "title": title, "note": note, "data": traces, "layout": layout}]
