"""Throughput against the speed that one user sees, with the Pareto front: what no other point beats on both."""

from typing import Any

import pandas as pd

from servegrid.report.drawing.style import GREY
from servegrid.report.page.plotly_marks import Plot, bars_between, error_bars, layout, marks, plain, remarks, scale
from servegrid.report.page.series import few, series_of
from servegrid.report.settings import Settings
from servegrid.results.points import PUBLISHED, hollow_rows, varying_axes

USER = "output tokens/s per user (1 / median ITL)"
_RATES = (
    ("pareto", "output_tokens_per_s_per_gpu", "GPU"),
    ("pareto-server", "output_tokens_per_s", "server"),
)


def paretos(rows: pd.DataFrame, settings: Settings) -> list[Plot]:
    """One figure per GPU; and one per server of the points on an unknown number of GPUs, as on the CPU.

    A rate of one GPU and that of a whole server are not held against each other.
    """
    rows = rows[(rows["itl_ms_p50"] > 0) & (rows["output_tokens_per_s"] > 0)]
    per_gpu = rows["output_tokens_per_s_per_gpu"] > 0
    parts = [(rate, part) for rate, part in zip(_RATES, (rows[per_gpu], rows[~per_gpu]), strict=True) if len(part)]
    return [_pareto(part, settings, *rate, elsewhere=len(rows) - len(part)) for rate, part in parts]


def _pareto(rows: pd.DataFrame, settings: Settings, id: str, column: str, unit: str, elsewhere: int) -> Plot:
    rows, axes = _with_user(rows), [axis for axis in settings.all_axes if axis != "threads"]
    places = varying_axes(rows, settings.all_axes)
    traces = []
    series, told = series_of(rows, axes if few(rows, axes) else ["engine"])
    for one in series:
        own, colour = one.rows, one.colour
        bars = {"error_x": bars_between(own["user"], own["user_low"], own["user_high"], colour)}
        bars |= {"error_y": error_bars(own, column, colour)}
        traces.append(marks(one, own["user"], column, places) | bars)
    note = "Up and to the right is better." + remarks(rows, traces) + told
    note += _elsewhere(unit, elsewhere)
    ranked = rows[~hollow_rows(rows) & (rows["status"] != PUBLISHED)]
    if len(front := _front(ranked["user"], ranked[column])) > 1:
        traces.append(_line(ranked.loc[front, "user"], ranked.loc[front, column]))
        note += " Grey line: the Pareto front" + (" of those that are not hollow." if hollow_rows(rows).any() else ".")
    found = layout(USER, f"output tokens/s per {unit}")
    scale(found["xaxis"], rows[["user"]])
    scale(found["yaxis"], rows[[column]])
    return {"id": id, "title": f"Throughput against latency, per {unit}", "note": note, "data": traces, "layout": found}


def _with_user(rows: pd.DataFrame) -> pd.DataFrame:
    """With `user`, the tokens/s that one user sees, and its range over the sessions where that is known."""
    ends = {"user": "", "user_low": "_high", "user_high": "_low"}
    sources = {name: rows.get(f"itl_ms_p50{end}", rows["itl_ms_p50"]) for name, end in ends.items()}
    return rows.assign(**{name: 1000 / itl.where(itl > 0) for name, itl in sources.items()})


def _elsewhere(unit: str, count: int) -> str:
    if not count:
        return ""
    why = "whose GPUs are not known" if unit == "GPU" else "whose GPUs are known"
    return f" In a figure of their own: {count:,} points {why}."


def _front(x: "pd.Series[float]", y: "pd.Series[float]") -> list[Any]:
    """The points that no other beats on both, from the right to the left."""
    best, front = 0.0, []
    for place in sorted(x.index, key=lambda place: (-x[place], -y[place])):
        if y[place] > best:
            best = y[place]
            front.append(place)
    return front


def _line(x: "pd.Series[float]", y: "pd.Series[float]") -> Plot:
    look = {"line": {"color": GREY, "width": 1.5, "shape": "hv"}, "hoverinfo": "skip"}
    return {"type": "scatter", "mode": "lines", "name": "Pareto front", "x": plain(x), "y": plain(y), **look}
