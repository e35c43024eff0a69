"""What the interactive plots share: marks with their error bars, and axes. All as plotly's JSON."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from servegrid.report.drawing.curves import needs_log_axis
from servegrid.report.format import DASH, format_number
from servegrid.report.page.series import Series
from servegrid.report.page.series_names import plotly_level
from servegrid.results.points import hollow_rows

_TICKS_AT_2_AND_5_UP_TO = 3000
_ALPHA = "B0"  # seen through a little, as the end of a colour's hexadecimal digits

Plot = dict[str, Any]
Row = Mapping[Any, Any]
"""A point: column -> value; a series of pandas, too."""


def marks(series: Series, x: "pd.Series[float]", column: str, axes: Sequence[str] = ()) -> Plot:
    """Scatter trace of `column`; each mark has the number of its point and is hollow where that is `doubtful`.

    Hover also shows the point's values on `axes` and the range of the column over the sessions.
    """
    rows = series.rows
    hover_rows = rows.reindex(columns=[*axes, "status", "client_bound", f"{column}_low", f"{column}_high"])
    is_open = series.symbol.endswith("-open")
    symbols = [
        f"{series.symbol}-open" if is_doubtful and not is_open else series.symbol for is_doubtful in hollow_rows(rows)
    ]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": series.name,
        "x": json_numbers(x),
        "y": json_numbers(rows[column]),
        "customdata": (rows.index + 1).tolist(),
        "text": [
            "".join(f"<br>{line}" for line in _hover_lines(row, column, axes)) for row in hover_rows.to_dict("records")
        ],
        "marker": {"color": series.colour, "symbol": symbols, "size": 8},
        "hovertemplate": "point %{customdata}<br>%{xaxis.title.text}: %{x:.4g}<br>%{yaxis.title.text}: %{y:.4g}%{text}",
    }


def marks_note(rows: pd.DataFrame, traces: Sequence[Plot]) -> str:
    """What bars and hollow marks mean, where there are any."""
    bar_lengths = [trace[name]["array"] for trace in traces for name in ("error_x", "error_y") if name in trace]
    any_bar = any(length is not None for lengths in bar_lengths for length in lengths)
    bars_note = " Bars: 95 % interval over the sessions." if any_bar else ""
    return bars_note + (" Hollow: client-bound, or measured in part." if hollow_rows(rows).any() else "")


def _hover_lines(row: Row, column: str, axes: Sequence[str]) -> Iterator[str]:
    if axes:
        yield ", ".join(plotly_level(axis, row[axis]) for axis in axes)
    if row["status"] == "partial":
        yield "measured in part"
    if str(row["client_bound"]).lower() in ("true", "1"):
        yield "client-bound"
    yield from interval_text(row, column)


def interval_text(row: Row, column: str) -> list[str]:
    """Interval of a column over the sessions, as text; empty where there is none."""
    ends = interval_ends(row, column)
    return [f"95 % interval {format_number(ends[0])}{DASH}{format_number(ends[1])}"] if ends else []


def interval_ends(row: Row, column: str) -> tuple[float, float] | None:
    """Ends of a column's interval over the sessions; None where there is none."""
    low, high = row.get(f"{column}_low"), row.get(f"{column}_high")
    return None if pd.isna(low) or pd.isna(high) or not low < high else (float(low), float(high))


def error_bars(rows: pd.DataFrame, column: str, colour: str) -> Plot:
    """Error bars over a column's interval, none where there is none."""
    unknown = pd.Series(np.nan, rows.index)
    low, high = rows.get(f"{column}_low", unknown), rows.get(f"{column}_high", unknown)
    return bars_between(rows[column], low, high, colour)


def bars_between(value: "pd.Series[float]", low: "pd.Series[float]", high: "pd.Series[float]", colour: str) -> Plot:
    """Error bars around `value`, none where an end is unknown or both are the same."""
    low, high = low.where(low < high), high.where(low < high)
    ends = {
        "array": json_numbers((high - value).clip(lower=0)),
        "arrayminus": json_numbers((value - low).clip(lower=0)),
    }
    return {"type": "data", "symmetric": False, **ends, "color": colour + _ALPHA, "thickness": 1.2, "width": 3}


def axes_layout(x: str, y: str) -> Plot:
    """Layout with both axes and their titles."""
    axis = {"automargin": True, "gridcolor": "#ddd", "zerolinecolor": "#bbb", "separatethousands": True}
    return {"xaxis": {**axis, "title": {"text": x}}, "yaxis": {**axis, "title": {"text": y}}}


def set_scale(axis: Plot, values: pd.DataFrame) -> None:
    """Scale the axis from zero, or logarithmically where the `values` and the ends of their bars lie far apart, as all
    figures do.
    """
    positive = values.to_numpy(dtype=float)
    positive = positive[np.isfinite(positive) & (positive > 0)]
    low, high = (float(positive.min()), float(positive.max())) if len(positive) else (1.0, 1.0)
    ticks = "D2" if high / low < _TICKS_AT_2_AND_5_UP_TO else 1  # D2: at 1, 2 and 5 of each decade
    if needs_log_axis(low, high):
        axis |= {"type": "log", "dtick": ticks, "tickformat": ",~r"}  # else plotly writes 2 and 5 for 20 and 50
    else:
        axis |= {"rangemode": "tozero"}


def json_numbers(values: "pd.Series[float]") -> list[float | None]:
    """Values as JSON numbers: null where unknown."""
    return [json_number(value) for value in values]


def json_number(value: Any) -> float | None:
    """The value as a JSON number: None where it is unknown or infinite."""
    return float(value) if np.isfinite(value) else None
