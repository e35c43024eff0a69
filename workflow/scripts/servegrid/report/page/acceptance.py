"""Speculation's yield against the number of tokens drafted at once: the share accepted, and tokens per step."""

from collections.abc import Iterator

import pandas as pd

from servegrid.report.page.plotly_marks import Plot, axes_layout, error_bars, json_numbers, marks, marks_note
from servegrid.report.page.series import Series, build_series
from servegrid.report.settings import Settings

DRAFTED = "tokens drafted at once"
_MEASURES = (
    ("acceptance", "Acceptance against draft length", "acceptance_rate", "drafted tokens accepted (0 to 1)"),
    ("acceptance-length", "Tokens per step against draft length", "acceptance_length", "tokens per step with a draft"),
)


def acceptance_plots(rows: pd.DataFrame, settings: Settings) -> list[Plot]:
    """A figure each for the rate and the length, where it is known at two draft lengths at least."""
    drafted = pd.to_numeric(rows["speculation"].str.extract(r"(?:^|:)(\d+)$")[0], errors="coerce").astype("float64")
    kinds = rows["speculation"].str.replace(r":?\d+$", "", regex=True).replace("", "the engine's own kind")
    rows = rows.assign(drafted=drafted, kind=kinds)
    found = ((plot, rows[(rows["drafted"] > 0) & rows[plot[2]].notna()]) for plot in _MEASURES)
    return [_figure(known, *plot) for plot, known in found if known["drafted"].nunique() > 1]


def _figure(rows: pd.DataFrame, id: str, title: str, column: str, words: str) -> Plot:
    lengths = sorted(rows["drafted"].unique())
    series, told = build_series(rows, ["engine", "kind"])
    traces = [trace for one, shift in _shifted(series) for trace in _traces(one, column, lengths, shift)]
    found = axes_layout(DRAFTED, words)
    found["xaxis"] |= {"zeroline": False, "range": [-0.5, len(lengths) - 0.5]}
    found["xaxis"] |= {"tickvals": list(range(len(lengths))), "ticktext": [f"{length:g}" for length in lengths]}
    found["yaxis"] |= {"range": [0, 1.03]} if column == "acceptance_rate" else {"rangemode": "tozero"}
    note = "A mark per point; the line joins the medians at each length." + marks_note(rows, traces) + told
    return {"id": id, "title": title, "note": note, "data": traces, "layout": found}


def _shifted(series: list[Series]) -> Iterator[tuple[Series, float]]:
    """Each engine and kind of speculation, beside the others at the same length."""
    step = min(0.08, 0.6 / len(series))
    for place, one in enumerate(series):
        yield one, (place - (len(series) - 1) / 2) * step


def _traces(one: Series, column: str, lengths: list[float], shift: float) -> list[Plot]:
    place = one.rows["drafted"].map(lengths.index) + shift
    hover = "point %{customdata}<br>%{yaxis.title.text}: %{y:.3g}%{text}"
    dots = marks(one, place, column) | {"opacity": 0.7, "legendgroup": one.name, "hovertemplate": hover}
    dots["error_y"] = error_bars(one.rows, column, one.colour)
    medians = one.rows.groupby(place)[column].median()
    line: Plot = {
        "type": "scatter",
        "mode": "lines",
        "x": json_numbers(medians.index.to_series()),
        "y": json_numbers(medians),
    }
    line |= {"line": {"color": one.colour, "dash": one.dash, "width": 2}, "hoverinfo": "skip", "showlegend": False}
    return [line | {"name": one.name, "legendgroup": one.name}, dots]
