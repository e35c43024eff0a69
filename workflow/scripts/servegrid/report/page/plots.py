"""Interactive figures of the page, as plotly's JSON (traces and layout). Values are shown on hover, dragging zooms."""

from dataclasses import replace

import pandas as pd

from servegrid.report.drawing.curves import THREADS, TIME, thin
from servegrid.report.page.acceptance import acceptances
from servegrid.report.page.heatmap import heats
from servegrid.report.page.pareto import paretos
from servegrid.report.page.percentiles import percentiles
from servegrid.report.page.plotly_marks import Plot, error_bars, layout, marks, remarks, scale
from servegrid.report.page.series import MOST_SERIES, series_of
from servegrid.report.settings import Settings
from servegrid.results.columns import LATENCY_COLUMNS
from servegrid.results.points import PUBLISHED, drawable_rows

RANGED = (
    *("output_tokens_per_s", "output_tokens_per_s_per_gpu", "acceptance_rate", "acceptance_length"),
    *LATENCY_COLUMNS,
)
"""Columns whose range over the sessions the figures draw, see `rounds.with_ranges`."""
_MOST_TICKS = 9
_LATENCIES = (("ttft", "Time to first token"), ("itl", "Time between tokens"))


def plots(rows: pd.DataFrame, settings: Settings) -> list[Plot]:
    """All figures that these points can fill: `id`, `title`, `note`, `data`, `layout`."""
    measured = rows[drawable_rows(rows, "time_s")]
    own = measured[measured["status"] != PUBLISHED]
    made = [*_over_threads(measured, settings), *paretos(measured, settings)]
    made += [plot for name, words in _LATENCIES for plot in percentiles(measured, settings, name, words)]
    return [*made, *heats(own, settings), *acceptances(own, settings)]


def _over_threads(rows: pd.DataFrame, settings: Settings) -> list[Plot]:
    """With planned arrivals there are no client threads, and nothing to draw."""
    rows = rows[rows["threads"].notna()]
    if rows.empty:
        return []
    axes = [axis for axis in settings.all_axes if axis != "threads"]
    series, told = series_of(rows, axes, MOST_SERIES)
    traces = []
    for one in series:
        ordered = one.rows.sort_values("threads")
        line = marks(replace(one, rows=ordered), ordered["threads"], TIME.value)
        line |= {"mode": "lines+markers", "line": {"color": one.colour, "dash": one.dash}}
        traces.append(line | {"error_y": error_bars(ordered, TIME.value, one.colour)})
    note = "Click a name to hide its curve, twice to see it alone." + remarks(rows, traces) + told
    found = layout(THREADS, TIME.words)
    ticks = thin(sorted(rows["threads"].unique().tolist()), _MOST_TICKS)
    found["xaxis"] |= {"type": "log", "tickvals": ticks}
    scale(found["yaxis"], rows[["time_s", "time_s_low", "time_s_high"]])
    title = "Time to complete against client threads"
    return [{"id": "threads", "title": title, "note": note, "data": traces, "layout": found}]
