"""Interactive figures of the page, as plotly's JSON (traces and layout). Values are shown on hover, dragging zooms."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from servegrid.report.curves import TIME, Measure
from servegrid.report.points import LATENCIES, PUBLISHED, bound, drawable, label, levels, varying
from servegrid.report.settings import Settings
from servegrid.report.style import GREY, engine_looks, level_looks

MOST_SERIES = 40
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "triangle-down", "star", "hexagon")
_DASHES = ("solid", "dash", "dot", "dashdot")

Plot = dict[str, Any]


def plots(rows: pd.DataFrame, settings: Settings) -> list[Plot]:
    """All figures that these points can fill: `id`, `title`, `note`, `data`, `layout`."""
    measured = rows[drawable(rows, "time_s")]
    own = measured[measured["status"] != PUBLISHED]
    if measured.empty:
        return []
    made = [_over_threads(measured, settings, TIME, "threads", "Time to complete against client threads")]
    made += [_pareto(measured, settings)]
    made += [_percentiles(measured, settings, name, words) for name, words in _LATENCIES if name in _known(measured)]
    made += [_heat(own, settings), _acceptance(own, settings)] if len(own) else []
    return [plot for plot in made if plot["data"]]


_LATENCIES = (("ttft", "Time to first token"), ("itl", "Time between tokens"))


def _known(rows: pd.DataFrame) -> set[str]:
    return {name.partition("_ms_")[0] for name in LATENCIES if rows[name].notna().any()}


@dataclass(frozen=True)
class Series:
    """Rows that differ on no axis but one, and how they are drawn: the engine's colour, a mark and a dash of their own."""

    name: str
    rows: pd.DataFrame
    colour: str
    number: int

    @property
    def symbol(self) -> str:
        """The mark."""
        return _SYMBOLS[self.number % len(_SYMBOLS)]

    @property
    def dash(self) -> str:
        """The line's dash."""
        return _DASHES[self.number % len(_DASHES)]


def _series(rows: pd.DataFrame, axes: Sequence[str]) -> Iterator[Series]:
    apart = varying(rows, axes)
    looks = engine_looks(rows["engine"])
    groups = list(rows.groupby(apart, sort=False))[:MOST_SERIES] if apart else [("all points", rows)]
    for number, (key, group) in enumerate(groups):
        names = key if isinstance(key, tuple) else (key,)
        colour = looks[str(group["engine"].iloc[0])].colour
        yield Series(", ".join(map(label, names)), group, colour, number)


def _over_threads(rows: pd.DataFrame, settings: Settings, measure: Measure, x: str, title: str) -> Plot:
    axes = [axis for axis in settings.all_axes if axis != x]
    traces = [_line(replace(one, rows=one.rows.sort_values(x)), x, measure) for one in _series(rows, axes)]
    note = "Bars: lowest and highest over the sessions. Click a name to hide its curve, twice to see it alone."
    note += _cut(len(traces), rows, axes)
    layout = _layout("client threads", measure.words)
    layout["xaxis"] |= {"type": "log", "dtick": 0.30103, "tickvals": sorted(rows[x].dropna().unique().tolist())}
    layout["yaxis"] |= {"rangemode": "tozero"}
    return {"id": "threads", "title": title, "note": note, "data": traces, "layout": layout}


def _cut(shown: int, rows: pd.DataFrame, axes: Sequence[str]) -> str:
    """That not all series are drawn, if so."""
    apart = varying(rows, axes)
    found = len(rows.groupby(apart)) if apart else 1
    return f" Shown: the first {shown} of {found:,} series." if found > shown else ""


def _line(series: Series, x: str, measure: Measure) -> Plot:
    rows = series.rows
    value = rows[measure.value]
    trace = _points(series, rows[x], value)
    trace |= {"mode": "lines+markers", "line": {"color": series.colour, "dash": series.dash}}
    if measure.low and measure.high:
        up, down = (rows[measure.high] - value).clip(lower=0), (value - rows[measure.low]).clip(lower=0)
        trace["error_y"] = {"type": "data", "symmetric": False, "array": _plain(up), "arrayminus": _plain(down)}
    return trace


def _points(series: Series, x: "pd.Series[float]", y: "pd.Series[float]") -> Plot:
    """Markers that know the number of their point; hollow where the client may have set the pace."""
    symbols = [f"{series.symbol}-open" if is_bound else series.symbol for is_bound in bound(series.rows)]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": series.name,
        "x": _plain(x),
        "y": _plain(y),
        "customdata": (series.rows.index + 1).tolist(),
        "marker": {"color": series.colour, "symbol": symbols, "size": 8},
        "hovertemplate": "point %{customdata}<br>%{xaxis.title.text}: %{x:.4g}<br>%{yaxis.title.text}: %{y:.4g}",
    }


def _pareto(rows: pd.DataFrame, settings: Settings) -> Plot:
    """Throughput against the speed that one user sees; the front joins what no other point beats on both."""
    rows = rows[(rows["itl_ms_p50"] > 0) & (rows["output_tokens_per_s"] > 0)]
    user = 1000 / rows["itl_ms_p50"]
    axes = [axis for axis in settings.all_axes if axis != "threads"]
    series = list(_series(rows, axes)) if len(rows) else []
    traces = [_points(one, user[one.rows.index], one.rows["output_tokens_per_s"]) for one in series]
    ranked = rows[~bound(rows) & (rows["status"] != PUBLISHED)]
    if traces and len(ranked):
        traces.append(_front(user[ranked.index], ranked["output_tokens_per_s"]))
    layout = _layout("tokens/s that one user sees (1 / median time between tokens)", "output tokens/s of the server")
    note = "Up and to the right is better. The grey line is the Pareto front; hollow points are client-bound and not on it."
    return {"id": "pareto", "title": "Throughput against latency", "note": note, "data": traces, "layout": layout}


def _front(x: "pd.Series[float]", y: "pd.Series[float]") -> Plot:
    best, front = 0.0, []
    for place in sorted(x.index, key=lambda place: (-x[place], -y[place])):
        if y[place] > best:
            best = y[place]
            front.append(place)
    line = {"color": GREY, "width": 1.5, "shape": "hv"}
    where = {"x": _plain(x[front]), "y": _plain(y[front])}
    return where | {"type": "scatter", "mode": "lines", "name": "Pareto front", "line": line, "hoverinfo": "skip"}


def _percentiles(rows: pd.DataFrame, settings: Settings, metric: str, words: str) -> Plot:
    """p50 to p90 to p99 of each point, one under the other; at most 40 points, in the order of the table."""
    rows = rows[rows[f"{metric}_ms_p50"].notna()].head(40)
    looks = engine_looks(rows["engine"])
    axes = varying(rows, settings.all_axes) or ["engine"]
    traces: list[Plot] = []
    for place, row in rows.iterrows():
        named = f"{int(str(place)) + 1}: " + ", ".join(label(row[axis]) for axis in axes)
        values = [row[f"{metric}_ms_p{percent}"] for percent in (50, 90, 99)]
        look = looks[str(row["engine"])]
        marker: Plot = {"color": look.colour, "symbol": ["circle", "diamond", "line-ns-open"], "size": [9, 7, 12]}
        marker["line"] = {"width": [0, 0, 2], "color": look.colour}
        hover = "%{y}<br>%{text}: %{x:.4g} ms<extra></extra>"
        trace = {"type": "scatter", "mode": "lines+markers", "x": _plain(pd.Series(values)), "y": [named] * 3}
        traces.append(
            trace | {"connectgaps": True, "text": ["p50", "p90", "p99"], "marker": marker, "line": {"color": look.colour}}
            | {"hovertemplate": hover, "showlegend": False, "name": named}
        )  # fmt: skip
    layout = _layout(f"{words.lower()} (ms)", "")
    layout["yaxis"] |= {"autorange": "reversed", "automargin": True, "type": "category"}
    layout["height"] = 140 + 18 * len(rows)
    note = "Circle: median; diamond: p90; bar: p99, each where enough requests stand behind it."
    return {"id": metric, "title": words, "note": note, "data": traces, "layout": layout}


def _heat(rows: pd.DataFrame, settings: Settings) -> Plot:
    """The best throughput over the two axes with most levels; for grids that have two with at least three."""
    many = sorted(settings.all_axes, key=lambda axis: -rows[axis].nunique())[:2]
    if min(rows[axis].nunique() for axis in many) < 3:
        return {"data": []}
    down, across = many
    best = rows.groupby([down, across])["output_tokens_per_s"].max().unstack()
    y, x = _sorted(best.index), _sorted(best.columns)
    values = [[_known_value(best.loc[row, column]) for column in x] for row in y]
    heat = {
        "type": "heatmap",
        "x": [label(v) for v in x],
        "y": [label(v) for v in y],
        "z": values,
        "colorscale": "Cividis",
    }
    hover = f"{down} %{{y}}<br>{across} %{{x}}<br>%{{z:.4g}} tokens/s<extra></extra>"
    layout = _layout(across, down)
    layout["xaxis"] |= {"type": "category"}
    layout["yaxis"] |= {"type": "category", "automargin": True}
    title = f"Best output tokens/s over {down} and {across}"
    trace = heat | {"hovertemplate": hover, "colorbar": {"title": {"text": "tokens/s"}}}
    return {"id": "heat", "title": title, "note": "Empty: not measured.", "data": [trace], "layout": layout}


def _sorted(values: Any) -> list[Any]:
    frame = pd.DataFrame({"level": list(values)})
    order = levels(frame, "level")
    return sorted(values, key=lambda value: order.index(label(value)))


def _acceptance(rows: pd.DataFrame, settings: Settings) -> Plot:
    """Acceptance against the number of tokens drafted at once."""
    rows = rows[rows["acceptance_rate"].notna() & rows["speculation"].str.contains(":")].copy()
    rows["length"] = pd.to_numeric(rows["speculation"].str.replace(r"^.*:", "", regex=True), errors="coerce")
    rows = rows[rows["length"] > 0]
    if rows["length"].nunique() < 2:
        return {"data": []}
    rows["kind"] = rows["engine"] + " " + rows["speculation"].str.replace(r":.*$", "", regex=True)
    looks = level_looks(sorted(rows["kind"].unique()))
    traces = [
        _points(Series(str(kind), group, looks[str(kind)].colour, number), group["length"], group["acceptance_rate"])
        for number, (kind, group) in enumerate(rows.groupby("kind"))
    ]
    layout = _layout("tokens drafted at once", "drafted tokens that were accepted (0 to 1)")
    layout["yaxis"] |= {"range": [0, 1]}
    return {
        "id": "acceptance",
        "title": "Acceptance against draft length",
        "note": "",
        "data": traces,
        "layout": layout,
    }


def _layout(x: str, y: str) -> Plot:
    axis = {"automargin": True, "gridcolor": "#ddd", "zerolinecolor": "#bbb"}
    return {"xaxis": {**axis, "title": {"text": x}}, "yaxis": {**axis, "title": {"text": y}}}


def _plain(values: "pd.Series[float]") -> list[float | None]:
    return [_known_value(value) for value in values]


def _known_value(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)
