"""The spread of a latency over the requests of a point: median, 90th and 99th percentile, one point under the other."""

from typing import Any

import pandas as pd

from servegrid.report.page.marks import Plot, doubtful, ends_of, known, layout, remarks, scale, span
from servegrid.report.points import PERCENTILES, label, varying
from servegrid.report.settings import Settings
from servegrid.report.style import Look, engine_looks

MOST_POINTS = 40
_LINE_PX = 21
_MARKS = ("circle", "diamond", "line-ns-open")


def percentiles(rows: pd.DataFrame, settings: Settings, metric: str, words: str) -> list[Plot]:
    """At most MOST_POINTS points in the order of the table; empty where the metric is nowhere known."""
    rows = rows[rows[f"{metric}_ms_p50"] > 0]
    if rows.empty:
        return []
    shown, cut = _chosen(rows)
    looks, axes = engine_looks(rows["engine"]), ["engine", *varying(shown, settings.all_axes)]
    traces = []
    for (_, row), hollow in zip(shown.iterrows(), doubtful(shown), strict=True):
        name = f"{_number(row)}: " + ", ".join(label(row[axis]) for axis in dict.fromkeys(axes))
        look = looks[str(row["engine"])]
        traces += [_ranges(row, metric, name, look), _line(row, metric, name, look, hollow)]
    found = layout(f"{words.lower()} (ms)", "")
    found["yaxis"] |= {"range": [len(shown) - 0.5, -0.5], "type": "category", "dtick": 1, "tickfont": {"size": 11}}
    found["height"] = 130 + _LINE_PX * len(shown)
    scale(found["xaxis"], shown[[f"{metric}_ms_{percentile}" for percentile in PERCENTILES]])
    note = "Circle: median; diamond: p90; bar: p99, each where enough requests stand behind it."
    note += " Pale: the range over the sessions." if any(trace["x"] and "text" not in trace for trace in traces) else ""
    note += remarks(shown, []) + cut
    return [{"id": metric, "title": words, "note": note, "data": traces, "layout": found}]


def _chosen(rows: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The points to draw, in the order of the table; of too many the fastest of each engine, device and load."""
    if len(rows) <= MOST_POINTS:
        return rows, ""
    by_rate = rows.sort_values("output_tokens_per_s", ascending=False, kind="stable")
    best = by_rate.drop_duplicates(["engine", "gpu", "threads"])
    kept = best.head(MOST_POINTS).sort_index()
    most = f" the {len(kept)} fastest" if len(best) > MOST_POINTS else ""
    said = (
        f" Shown:{most} of {len(rows):,} points, of each engine, device and number of client threads the one with most"
    )
    return kept, f"{said} output tokens/s; the table has all."


def _line(row: "pd.Series[Any]", metric: str, name: str, look: Look, hollow: bool) -> Plot:
    symbols = [f"{mark}-open" if hollow and not mark.endswith("-open") else mark for mark in _MARKS]
    marker = {"color": look.colour, "symbol": symbols, "size": [9, 8, 13], "opacity": 1, "line": {"width": [1, 1, 2]}}
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": [known(row[f"{metric}_ms_{percentile}"]) for percentile in PERCENTILES],
        "y": [name] * len(PERCENTILES),
        "text": [", ".join([percentile, *span(row, f"{metric}_ms_{percentile}")]) for percentile in PERCENTILES],
        "customdata": [_number(row)] * len(PERCENTILES),
        "connectgaps": True,
        "marker": marker,
        "line": {"color": look.colour, "width": 1.5},
        "hovertemplate": "%{y}<br>%{x:.4g} ms: %{text}<extra></extra>",
        "showlegend": False,
        "name": name,
    }


def _number(row: "pd.Series[Any]") -> int:
    return int(str(row.name)) + 1


def _ranges(row: "pd.Series[Any]", metric: str, name: str, look: Look) -> Plot:
    """A pale band from the lowest to the highest over the sessions, under each percentile."""
    ends = [ends for percentile in PERCENTILES if (ends := ends_of(row, f"{metric}_ms_{percentile}"))]
    line = {"color": look.colour, "width": 11}
    where = {"x": [x for low, high in ends for x in (low, high, None)], "y": [name] * 3 * len(ends)}
    return {
        "type": "scatter",
        "mode": "lines",
        **where,
        "line": line,
        "opacity": 0.3,
        "hoverinfo": "skip",
        "showlegend": False,
    }
