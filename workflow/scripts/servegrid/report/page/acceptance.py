"""Acceptance of speculation against the number of tokens drafted at once: the share accepted, and tokens per step."""

from collections.abc import Iterator

import pandas as pd

from servegrid.report.page.plotly_marks import Plot, axes_layout, error_bars, json_numbers, marks, marks_note
from servegrid.report.page.series import Series, build_series

DRAFT_LENGTH_LABEL = "tokens drafted at once"
_MEASURES = (
    ("acceptance", "Acceptance against draft length", "acceptance_rate", "drafted tokens accepted (0 to 1)"),
    ("acceptance-length", "Tokens per step against draft length", "acceptance_length", "tokens per step with a draft"),
)


def acceptance_plots(rows: pd.DataFrame) -> list[Plot]:
    """Plots of acceptance rate and length, each where it is known at two draft lengths at least."""
    drafted = pd.to_numeric(rows["speculation"].str.extract(r"(?:^|:)(\d+)$")[0], errors="coerce").astype("float64")
    kinds = rows["speculation"].str.replace(r":?\d+$", "", regex=True).replace("", "the engine's own kind")
    rows = rows.assign(drafted=drafted, kind=kinds)
    rows_by_plot = ((plot, rows[(rows["drafted"] > 0) & rows[plot[2]].notna()]) for plot in _MEASURES)
    return [
        _acceptance_plot(known_rows, *plot) for plot, known_rows in rows_by_plot if known_rows["drafted"].nunique() > 1
    ]


def _acceptance_plot(rows: pd.DataFrame, id: str, title: str, column: str, axis_label: str) -> Plot:
    lengths = sorted(rows["drafted"].unique())
    series, names_note = build_series(rows, ["engine", "kind"])
    traces = [trace for curve, shift in _with_shifts(series) for trace in _traces(curve, column, lengths, shift)]
    layout = axes_layout(DRAFT_LENGTH_LABEL, axis_label)
    layout["xaxis"] |= {"zeroline": False, "range": [-0.5, len(lengths) - 0.5]}
    layout["xaxis"] |= {"tickvals": list(range(len(lengths))), "ticktext": [f"{length:g}" for length in lengths]}
    layout["yaxis"] |= {"range": [0, 1.03]} if column == "acceptance_rate" else {"rangemode": "tozero"}
    note = "A mark per point; the line joins the medians at each length." + marks_note(rows, traces) + names_note
    return {"id": id, "title": title, "note": note, "data": traces, "layout": layout}


def _with_shifts(series: list[Series]) -> Iterator[tuple[Series, float]]:
    """Series, each with its sideways shift beside the others at the same length."""
    step = min(0.08, 0.6 / len(series))
    for place, curve in enumerate(series):
        yield curve, (place - (len(series) - 1) / 2) * step


def _traces(curve: Series, column: str, lengths: list[float], shift: float) -> list[Plot]:
    """Line of medians and markers of one series."""
    x = curve.rows["drafted"].map(lengths.index) + shift
    hover = "point %{customdata}<br>%{yaxis.title.text}: %{y:.3g}%{text}"
    dots = marks(curve, x, column) | {"opacity": 0.7, "legendgroup": curve.name, "hovertemplate": hover}
    dots["error_y"] = error_bars(curve.rows, column, curve.colour)
    medians = curve.rows.groupby(x)[column].median()
    line: Plot = {
        "type": "scatter",
        "mode": "lines",
        "x": json_numbers(medians.index.to_series()),
        "y": json_numbers(medians),
    }
    line |= {"line": {"color": curve.colour, "dash": curve.dash, "width": 2}, "hoverinfo": "skip", "showlegend": False}
    return [line | {"name": curve.name, "legendgroup": curve.name}, dots]
