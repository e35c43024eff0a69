"""A heat map over two axes, for big grids."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from servegrid.report.drawing.curves import THREADS
from servegrid.report.format import number
from servegrid.report.page.plotly_marks import Plot, Row, known, layout, span
from servegrid.report.page.series_names import as_text
from servegrid.report.settings import Settings
from servegrid.results.axes import level_label
from servegrid.results.points import axis_levels

RATE = "output_tokens_per_s"
COLOURS = ((0, "#fff0bd"), (0.5, "#9fd3b0"), (1, "#5aa3cc"))
"""From few to many tokens/s: all so light that black is read on them, and ever darker, which is seen in grey."""
_MOST_WRITTEN = 150
"""Cells up to which each has its number written in it."""


def heats(rows: pd.DataFrame, settings: Settings) -> list[Plot]:
    """The best throughput over the two axes with most levels; for grids that have two with at least three."""
    down, across = sorted(settings.all_axes, key=lambda axis: -rows[axis].nunique())[:2]
    rows = rows[rows[[RATE, down, across]].notna().all(axis=1)]
    if min(rows[axis].nunique() for axis in (down, across)) < 3:
        return []
    best = rows.loc[rows.groupby([down, across])[RATE].idxmax()]
    places = dict(zip(zip(best[down], best[across], strict=True), best.index, strict=True))
    y, x = _levels(rows[down]), _levels(rows[across])
    cells = [[places.get((row, column)) for column in x] for row in y]
    trace = _cells(best.to_dict("index"), cells, len(x) * len(y) <= _MOST_WRITTEN)
    trace |= {"x": [as_text(level) for level in x], "y": [as_text(level) for level in y]}
    trace["hovertemplate"] = (
        f"{down} %{{y}}<br>{across} %{{x}}<br>point %{{customdata}}<br>%{{hovertext}}<extra></extra>"
    )
    found = layout(_words(across), _words(down))
    found["xaxis"] |= {"type": "category"}
    found["yaxis"] |= {"type": "category"}
    title = f"Best output tokens/s over {_words(down)} and {_words(across)}"
    note = "Of all points at a place the fastest, with its range over the sessions on hover. Empty: not measured."
    return [{"id": "heat", "title": title, "note": note, "data": [trace], "layout": found}]


def _cells(rows: Mapping[Any, Row], cells: list[list[Any]], written: bool) -> Plot:
    """A heat map's values, and the numbers of their points; dark is fast, also in grey."""
    value = [[None if place is None else known(rows[place][RATE]) for place in line] for line in cells]
    trace: Plot = {"type": "heatmap", "z": value, "colorscale": COLOURS, "hoverongaps": False, "xgap": 1, "ygap": 1}
    trace["customdata"] = [[None if place is None else place + 1 for place in line] for line in cells]
    trace["hovertext"] = [["" if place is None else _said(rows[place]) for place in line] for line in cells]
    trace["colorbar"] = {"title": {"text": "output<br>tokens/s"}}
    if written:
        trace |= {
            "text": [[number(cell) for cell in line] for line in value],
            "texttemplate": "%{text}",
            "textfont": {"color": "#000"},
        }
    return trace


def _said(row: Row) -> str:
    return "<br>".join([f"{number(row[RATE])} tokens/s", *span(row, RATE)])


def _words(axis: str) -> str:
    return THREADS if axis == "threads" else axis


def _levels(values: "pd.Series[Any]") -> list[Any]:
    order = axis_levels(pd.DataFrame({"level": values}), "level")
    return sorted(values.unique(), key=lambda value: order.index(level_label(value)))
