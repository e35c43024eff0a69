"""The spread of a latency over the requests of a point: median, 90th and 99th percentile, one point under the other."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from servegrid.report.drawing.style import engine_looks
from servegrid.report.page.plotly_marks import Plot, Row, ends_of, known, layout, remarks, scale, span
from servegrid.report.page.series_names import Names
from servegrid.report.settings import Settings
from servegrid.results.columns import PERCENTILE_LABELS, PERCENTILES, latency_column
from servegrid.results.points import hollow_rows

MOST_POINTS = 40
_LINE_PX = 21
_MARKS = ("circle", "diamond", "line-ns-open")
_BANDS_PX = (14, 9, 5)


@dataclass(frozen=True)
class _Line:
    """One point: its columns of the percentiles, its name on the axis, its number, and how it is drawn."""

    row: Row
    columns: tuple[str, ...]
    name: str
    number: int
    colour: str
    hollow: bool


def percentiles(rows: pd.DataFrame, settings: Settings, metric: str, words: str) -> list[Plot]:
    """At most MOST_POINTS points in the order of the table; empty where the metric is nowhere known."""
    columns = tuple(latency_column(metric, percent) for percent in PERCENTILES)
    rows = rows[rows[columns[0]] > 0]
    if rows.empty:
        return []
    shown, left_out = _chosen(rows)
    names = Names(shown, settings.all_axes)
    lines = list(_lines(shown, columns, names))
    bands = list(_bands(lines))
    found = layout(f"{words.lower()} (ms)", "")
    found["yaxis"] |= {"range": [len(lines) - 0.5, -0.5], "type": "category", "dtick": 1, "tickfont": {"size": 11}}
    found["height"] = 130 + _LINE_PX * len(lines)
    scale(found["xaxis"], shown[list(columns)])
    note = "Circle: median; diamond: p90; bar: p99, each where enough requests stand behind it."
    note += " Pale bands: the range of each over the sessions, that of the median the widest." if bands else ""
    data = [*bands, *map(_percentiles, lines)]
    return [
        {
            "id": metric,
            "title": words,
            "note": note + remarks(shown, []) + names.note + left_out,
            "data": data,
            "layout": found,
        }
    ]


def _chosen(rows: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The points to draw, in the order of the table; of too many the fastest of each engine, device and load."""
    if len(rows) <= MOST_POINTS:
        return rows, ""
    by_rate = rows.sort_values("output_tokens_per_s", ascending=False, kind="stable")
    best = by_rate.drop_duplicates(["engine", "gpu", "threads"])
    kept = best.head(MOST_POINTS).sort_index()
    most = f"{len(kept)} " if len(best) > MOST_POINTS else ""
    note = (
        f" Shown: of {len(rows):,} points the {most}fastest, at most one of each engine, device and number of threads; "
    )
    return kept, note + "the table has all."


def _lines(shown: pd.DataFrame, columns: tuple[str, ...], names: Names) -> Iterator[_Line]:
    looks, records = engine_looks(shown["engine"]), shown.to_dict("records")
    for place, row, hollow in zip(shown.index, records, hollow_rows(shown), strict=True):
        name = f"{place + 1}: {names.name(row)}"
        yield _Line(row, columns, name, place + 1, looks[str(row["engine"])].colour, hollow)


def _percentiles(line: _Line) -> Plot:
    symbols = [f"{mark}-open" if line.hollow and not mark.endswith("-open") else mark for mark in _MARKS]
    marker = {"color": line.colour, "symbol": symbols, "size": [9, 8, 13], "opacity": 1, "line": {"width": [1, 1, 2]}}
    said = zip(PERCENTILE_LABELS, line.columns, strict=True)
    return {
        "type": "scatter",
        "x": [known(line.row[column]) for column in line.columns],
        "y": [line.name] * len(line.columns),
        "mode": "lines+markers",
        "text": [", ".join([percentile, *span(line.row, column)]) for percentile, column in said],
        "customdata": [line.number] * len(line.columns),
        "connectgaps": True,
        "marker": marker,
        "line": {"color": line.colour, "width": 1.5},
        "hovertemplate": "%{y}<br>%{x:.4g} ms: %{text}<extra></extra>",
        "showlegend": False,
        "name": line.name,
    }


def _bands(lines: list[_Line]) -> Iterator[Plot]:
    """From the lowest to the highest over the sessions, under each percentile; for all points of an engine at once.

    Widths tell percentiles apart where sessions differ so much that their bands run into each other.
    """
    for colour in dict.fromkeys(line.colour for line in lines):
        own = [line for line in lines if line.colour == colour]
        for place, width in enumerate(_BANDS_PX):
            ends = [(line.name, found) for line in own if (found := ends_of(line.row, line.columns[place]))]
            look = {"line": {"color": colour, "width": width}, "opacity": 0.4, "hoverinfo": "skip", "mode": "lines"}
            x, y = [x for _, found in ends for x in (*found, None)], [name for name, _ in ends for _ in range(3)]
            if x:
                yield {"type": "scatter", "x": x, "y": y, "showlegend": False, **look}
