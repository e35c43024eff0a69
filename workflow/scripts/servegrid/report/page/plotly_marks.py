"""What the interactive figures share: marks with their doubt, and axes. All as plotly's JSON."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from servegrid.report.drawing.curves import is_wide
from servegrid.report.format import DASH, number
from servegrid.report.page.series import Series
from servegrid.report.page.series_names import as_words
from servegrid.results.points import hollow_rows

_MANY_DECADES = 3000
_FAINT = "B0"  # seen through a little, as the end of a colour's hexadecimal digits

Plot = dict[str, Any]
Row = Mapping[Any, Any]
"""A point: column -> value; a series of pandas, too."""


def marks(series: Series, x: "pd.Series[float]", column: str, axes: Sequence[str] = ()) -> Plot:
    """Markers at the values of `column` that know the number of their point, hollow as `hollow_rows` says.

    Hover tells the point's place on `axes`, too, and the range of the column over the sessions.
    """
    rows = series.rows
    told = rows.reindex(columns=[*axes, "status", "client_bound", f"{column}_low", f"{column}_high"])
    open_one = series.symbol.endswith("-open")
    symbols = [f"{series.symbol}-open" if odd and not open_one else series.symbol for odd in hollow_rows(rows)]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": series.name,
        "x": plain(x),
        "y": plain(rows[column]),
        "customdata": (rows.index + 1).tolist(),
        "text": ["".join(f"<br>{line}" for line in _said(row, column, axes)) for row in told.to_dict("records")],
        "marker": {"color": series.colour, "symbol": symbols, "size": 8},
        "hovertemplate": "point %{customdata}<br>%{xaxis.title.text}: %{x:.4g}<br>%{yaxis.title.text}: %{y:.4g}%{text}",
    }


def remarks(rows: pd.DataFrame, traces: Sequence[Plot]) -> str:
    """What bars and hollow marks mean, where there are any."""
    bars = [trace[name]["array"] for trace in traces for name in ("error_x", "error_y") if name in trace]
    several = any(length is not None for lengths in bars for length in lengths)
    said = " Bars: lowest to highest over the sessions." if several else ""
    return said + (" Hollow: client-bound, or measured in part." if hollow_rows(rows).any() else "")


def _said(row: Row, column: str, axes: Sequence[str]) -> Iterator[str]:
    if axes:
        yield ", ".join(as_words(axis, row[axis]) for axis in axes)
    if row["status"] == "partial":
        yield "measured in part"
    if str(row["client_bound"]).lower() in ("true", "1"):
        yield "client-bound"
    yield from span(row, column)


def span(row: Row, column: str) -> list[str]:
    """The range of a column over the sessions in words; nothing where there is none."""
    ends = ends_of(row, column)
    return [f"over the sessions: {number(ends[0])}{DASH}{number(ends[1])}"] if ends else []


def ends_of(row: Row, column: str) -> tuple[float, float] | None:
    """Lowest and highest of a column over the sessions; None where only one is known."""
    low, high = row.get(f"{column}_low"), row.get(f"{column}_high")
    return None if pd.isna(low) or pd.isna(high) or not low < high else (float(low), float(high))


def error_bars(rows: pd.DataFrame, column: str, colour: str) -> Plot:
    """Bars from the lowest to the highest over the sessions, none where only one is known."""
    unknown = pd.Series(np.nan, rows.index)
    low, high = rows.get(f"{column}_low", unknown), rows.get(f"{column}_high", unknown)
    return bars_between(rows[column], low, high, colour)


def bars_between(value: "pd.Series[float]", low: "pd.Series[float]", high: "pd.Series[float]", colour: str) -> Plot:
    """Bars around `value`, none where an end is unknown or both are the same."""
    low, high = low.where(low < high), high.where(low < high)
    ends = {"array": plain((high - value).clip(lower=0)), "arrayminus": plain((value - low).clip(lower=0))}
    return {"type": "data", "symmetric": False, **ends, "color": colour + _FAINT, "thickness": 1.2, "width": 3}


def layout(x: str, y: str) -> Plot:
    """Both axes with their titles."""
    axis = {"automargin": True, "gridcolor": "#ddd", "zerolinecolor": "#bbb", "separatethousands": True}
    return {"xaxis": {**axis, "title": {"text": x}}, "yaxis": {**axis, "title": {"text": y}}}


def scale(axis: Plot, values: pd.DataFrame) -> None:
    """From zero, or logarithmic where the `values`, with the ends of their bars, lie far apart: the rule of all figures."""
    seen = values.to_numpy(dtype=float)
    seen = seen[np.isfinite(seen) & (seen > 0)]
    low, high = (float(seen.min()), float(seen.max())) if len(seen) else (1.0, 1.0)
    ticks = "D2" if high / low < _MANY_DECADES else 1  # D2: at 1, 2 and 5 of each decade
    if is_wide(low, high):
        axis |= {"type": "log", "dtick": ticks, "tickformat": ",~r"}  # else plotly writes 2 and 5 for 20 and 50
    else:
        axis |= {"rangemode": "tozero"}


def plain(values: "pd.Series[float]") -> list[float | None]:
    """As JSON has it: null where unknown."""
    return [known(value) for value in values]


def known(value: Any) -> float | None:
    """The number; None where unknown, or no end of it is."""
    return float(value) if np.isfinite(value) else None
