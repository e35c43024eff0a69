"""Throughput against the speed that one user sees, with the Pareto front: points that no other beats on both."""

from typing import Any

import pandas as pd

from servegrid.report.drawing.style import GREY
from servegrid.report.page.plotly_marks import (
    Plot,
    axes_layout,
    bars_between,
    error_bars,
    json_numbers,
    marks,
    marks_note,
    set_scale,
)
from servegrid.report.page.series import build_series, marks_suffice
from servegrid.report.settings import Settings
from servegrid.results.points import PUBLISHED, hollow_rows, varying_axes

USER_RATE_LABEL = "output tokens/s per user (1 / median ITL)"
_RATES = (
    ("pareto", "output_tokens_per_s_per_gpu", "GPU"),
    ("pareto-server", "output_tokens_per_s", "server"),
)


def pareto_plots(rows: pd.DataFrame, settings: Settings) -> list[Plot]:
    """Plots of rates per GPU; and per server for the points on an unknown number of GPUs, as on the CPU.

    A rate of one GPU and that of a whole server are not compared.
    """
    rows = rows[(rows["itl_ms_p50"] > 0) & (rows["output_tokens_per_s"] > 0)]
    per_gpu = rows["output_tokens_per_s_per_gpu"] > 0
    parts = [(rate, part) for rate, part in zip(_RATES, (rows[per_gpu], rows[~per_gpu]), strict=True) if len(part)]
    return [_pareto_plot(part, settings, *rate, elsewhere=len(rows) - len(part)) for rate, part in parts]


def _pareto_plot(rows: pd.DataFrame, settings: Settings, id: str, column: str, unit: str, elsewhere: int) -> Plot:
    rows, axes = _with_user_rate(rows), [axis for axis in settings.all_axes if axis != "threads"]
    hover_axes = varying_axes(rows, settings.all_axes)
    traces = []
    series, names_note = build_series(rows, axes if marks_suffice(rows, axes) else ["engine"])
    for group in series:
        points, colour = group.rows, group.colour
        bars = {"error_x": bars_between(points["user"], points["user_low"], points["user_high"], colour)}
        bars |= {"error_y": error_bars(points, column, colour)}
        traces.append(marks(group, points["user"], column, hover_axes) | bars)
    note = "Up and to the right is better." + marks_note(rows, traces) + names_note
    note += _other_figure_note(unit, elsewhere)
    candidates = rows[~hollow_rows(rows) & (rows["status"] != PUBLISHED)]
    if len(front := _pareto_front(candidates["user"], candidates[column])) > 1:
        traces.append(_front_trace(candidates.loc[front, "user"], candidates.loc[front, column]))
        note += " Grey line: the Pareto front" + (" of those that are not hollow." if hollow_rows(rows).any() else ".")
    layout = axes_layout(USER_RATE_LABEL, f"output tokens/s per {unit}")
    set_scale(layout["xaxis"], rows[["user"]])
    set_scale(layout["yaxis"], rows[[column]])
    return {
        "id": id,
        "title": f"Throughput against latency, per {unit}",
        "note": note,
        "data": traces,
        "layout": layout,
    }


def _with_user_rate(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with `user`, the tokens/s that one user sees, and its range over the sessions where that is known."""
    ends = {"user": "", "user_low": "_high", "user_high": "_low"}
    sources = {name: rows.get(f"itl_ms_p50{end}", rows["itl_ms_p50"]) for name, end in ends.items()}
    return rows.assign(**{name: 1000 / itl.where(itl > 0) for name, itl in sources.items()})


def _other_figure_note(unit: str, count: int) -> str:
    if not count:
        return ""
    why = "whose GPUs are not known" if unit == "GPU" else "whose GPUs are known"
    return f" In a figure of their own: {count:,} points {why}."


def _pareto_front(x: "pd.Series[float]", y: "pd.Series[float]") -> list[Any]:
    """Index of the points that no other beats on both, from the right to the left."""
    best, front = 0.0, []
    for place in sorted(x.index, key=lambda place: (-x[place], -y[place])):
        if y[place] > best:
            best = y[place]
            front.append(place)
    return front


def _front_trace(x: "pd.Series[float]", y: "pd.Series[float]") -> Plot:
    look = {"line": {"color": GREY, "width": 1.5, "shape": "hv"}, "hoverinfo": "skip"}
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "Pareto front",
        "x": json_numbers(x),
        "y": json_numbers(y),
        **look,
    }
