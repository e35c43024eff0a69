"""Heat map of throughput over two axes, for big grids."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from servegrid.report.drawing.curves import THREADS
from servegrid.report.format import format_number
from servegrid.report.page.plotly_marks import Plot, Row, axes_layout, interval_text, json_number
from servegrid.report.page.series_names import plotly_text
from servegrid.report.settings import Settings
from servegrid.results.axes import level_label
from servegrid.results.points import axis_levels

RATE = "output_tokens_per_s"
COLOURS = ((0, "#fff0bd"), (0.5, "#9fd3b0"), (1, "#5aa3cc"))
"""Colour scale from few to many tokens/s: light enough for black text, and ever darker, which also shows in grey."""
_MAX_LABELLED_CELLS = 150
"""Number of cells up to which each has its value written in it."""


def heatmap_plots(rows: pd.DataFrame, settings: Settings) -> list[Plot]:
    """Plot of the best throughput over the two axes with most levels; empty unless each of them has at least three."""
    down, across = sorted(settings.all_axes, key=lambda axis: -rows[axis].nunique())[:2]
    rows = rows[rows[[RATE, down, across]].notna().all(axis=1)]
    if min(rows[axis].nunique() for axis in (down, across)) < 3:
        return []
    best = rows.loc[rows.groupby([down, across])[RATE].idxmax()]
    places = dict(zip(zip(best[down], best[across], strict=True), best.index, strict=True))
    y, x = _ordered_levels(rows[down]), _ordered_levels(rows[across])
    cells = [[places.get((row, column)) for column in x] for row in y]
    trace = _heatmap_trace(best.to_dict("index"), cells, len(x) * len(y) <= _MAX_LABELLED_CELLS)
    trace |= {"x": [plotly_text(level) for level in x], "y": [plotly_text(level) for level in y]}
    trace["hovertemplate"] = (
        f"{down} %{{y}}<br>{across} %{{x}}<br>point %{{customdata}}<br>%{{hovertext}}<extra></extra>"
    )
    layout = axes_layout(_axis_title(across), _axis_title(down))
    layout["xaxis"] |= {"type": "category"}
    layout["yaxis"] |= {"type": "category"}
    title = f"Best output tokens/s over {_axis_title(down)} and {_axis_title(across)}"
    note = "Of all points at a place the fastest, with its 95 % interval on hover. Empty: not measured."
    return [{"id": "heat", "title": title, "note": note, "data": [trace], "layout": layout}]


def _heatmap_trace(rows: Mapping[Any, Row], cells: list[list[Any]], labelled: bool) -> Plot:
    """Heat map trace with the values, and the numbers of their points; dark is fast, also in grey."""
    values = [[None if place is None else json_number(rows[place][RATE]) for place in line] for line in cells]
    trace: Plot = {"type": "heatmap", "z": values, "colorscale": COLOURS, "hoverongaps": False, "xgap": 1, "ygap": 1}
    trace["customdata"] = [[None if place is None else place + 1 for place in line] for line in cells]
    trace["hovertext"] = [["" if place is None else _hover_text(rows[place]) for place in line] for line in cells]
    trace["colorbar"] = {"title": {"text": "output<br>tokens/s"}}
    if labelled:
        trace |= {
            "text": [[format_number(cell) for cell in line] for line in values],
            "texttemplate": "%{text}",
            "textfont": {"color": "#000"},
        }
    return trace


def _hover_text(row: Row) -> str:
    return "<br>".join([f"{format_number(row[RATE])} tokens/s", *interval_text(row, RATE)])


def _axis_title(axis: str) -> str:
    return THREADS if axis == "threads" else axis


def _ordered_levels(values: "pd.Series[Any]") -> list[Any]:
    order = axis_levels(pd.DataFrame({"level": values}), "level")
    return sorted(values.unique(), key=lambda value: order.index(level_label(value)))
