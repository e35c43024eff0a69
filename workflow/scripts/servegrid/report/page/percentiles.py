"""Spread of a latency over the requests of a point: median, 90th and 99th percentile, one point under the other."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from servegrid.report.drawing.style import engine_looks
from servegrid.report.page.plotly_marks import (
    Plot,
    Row,
    axes_layout,
    interval_ends,
    interval_text,
    json_number,
    marks_note,
    set_scale,
)
from servegrid.report.page.series_names import RowNames
from servegrid.report.settings import Settings
from servegrid.results.columns import PERCENTILE_LABELS
from servegrid.results.points import hollow_rows

MAX_POINTS = 40
_LINE_PX = 21
_MARKS = ("circle", "diamond", "line-ns-open")
_BANDS_PX = (14, 9, 5)


@dataclass(frozen=True)
class _Line:
    """One point: its row, the columns of the percentiles, its name on the axis, its number, and how it is drawn."""

    row: Row
    columns: tuple[str, ...]
    name: str
    number: int
    colour: str
    hollow: bool


def percentile_plots(rows: pd.DataFrame, settings: Settings, metric: str, title: str) -> list[Plot]:
    """Plot of at most MAX_POINTS points in the order of the table; none where the metric is nowhere known."""
    percentile_columns = tuple(f"{metric}_ms_{percentile}" for percentile in PERCENTILE_LABELS)
    rows = rows[rows[percentile_columns[0]] > 0]
    if rows.empty:
        return []
    drawn_rows, left_out = _fastest_rows(rows)
    names = RowNames(drawn_rows, settings.all_axes)
    lines = list(_lines(drawn_rows, percentile_columns, names))
    bands = list(_interval_bands(lines))
    layout = axes_layout(f"{title.lower()} (ms)", "")
    layout["yaxis"] |= {"range": [len(lines) - 0.5, -0.5], "type": "category", "dtick": 1, "tickfont": {"size": 11}}
    layout["height"] = 130 + _LINE_PX * len(lines)
    set_scale(layout["xaxis"], drawn_rows[list(percentile_columns)])
    note = "Circle: median; diamond: p90; bar: p99, each where enough requests stand behind it."
    note += " Pale bands: the range of each over the sessions, that of the median the widest." if bands else ""
    data = [*bands, *map(_percentiles_trace, lines)]
    return [
        {
            "id": metric,
            "title": title,
            "note": note + marks_note(drawn_rows, []) + names.note + left_out,
            "data": data,
            "layout": layout,
        }
    ]


def _fastest_rows(rows: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Rows to draw, in the order of the table, and a note; of too many the fastest of each engine, device and load."""
    if len(rows) <= MAX_POINTS:
        return rows, ""
    by_rate = rows.sort_values("output_tokens_per_s", ascending=False, kind="stable")
    best = by_rate.drop_duplicates(["engine", "gpu", "threads"])
    kept = best.head(MAX_POINTS).sort_index()
    most = f"{len(kept)} " if len(best) > MAX_POINTS else ""
    note = (
        f" Shown: of {len(rows):,} points the {most}fastest, at most one of each engine, device and number of threads; "
    )
    return kept, note + "the table has all."


def _lines(drawn_rows: pd.DataFrame, columns: tuple[str, ...], names: RowNames) -> Iterator[_Line]:
    looks, records = engine_looks(drawn_rows["engine"]), drawn_rows.to_dict("records")
    for place, row, hollow in zip(drawn_rows.index, records, hollow_rows(drawn_rows), strict=True):
        name = f"{place + 1}: {names.name(row)}"
        yield _Line(row, columns, name, place + 1, looks[str(row["engine"])].colour, hollow)


def _percentiles_trace(line: _Line) -> Plot:
    symbols = [f"{mark}-open" if line.hollow and not mark.endswith("-open") else mark for mark in _MARKS]
    marker = {"color": line.colour, "symbol": symbols, "size": [9, 8, 13], "opacity": 1, "line": {"width": [1, 1, 2]}}
    labelled_columns = zip(PERCENTILE_LABELS, line.columns, strict=True)
    return {
        "type": "scatter",
        "x": [json_number(line.row[column]) for column in line.columns],
        "y": [line.name] * len(line.columns),
        "mode": "lines+markers",
        "text": [", ".join([percentile, *interval_text(line.row, column)]) for percentile, column in labelled_columns],
        "customdata": [line.number] * len(line.columns),
        "connectgaps": True,
        "marker": marker,
        "line": {"color": line.colour, "width": 1.5},
        "hovertemplate": "%{y}<br>%{x:.4g} ms: %{text}<extra></extra>",
        "showlegend": False,
        "name": line.name,
    }


def _interval_bands(lines: list[_Line]) -> Iterator[Plot]:
    """Yield bands over the interval under each percentile, for all points of an engine.

    Widths tell percentiles apart where sessions differ so much that their bands run into each other.
    """
    for colour in dict.fromkeys(line.colour for line in lines):
        engine_lines = [line for line in lines if line.colour == colour]
        for place, width in enumerate(_BANDS_PX):
            named_ends = [
                (line.name, ends) for line in engine_lines if (ends := interval_ends(line.row, line.columns[place]))
            ]
            look = {"line": {"color": colour, "width": width}, "opacity": 0.4, "hoverinfo": "skip", "mode": "lines"}
            x, y = (
                [x for _, ends in named_ends for x in (*ends, None)],
                [name for name, _ in named_ends for _ in range(3)],
            )
            if x:
                yield {"type": "scatter", "x": x, "y": y, "showlegend": False, **look}
