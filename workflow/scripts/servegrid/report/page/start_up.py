"""Start-up of the slowest servers by phase, from the sessions' records."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

import pandas as pd

from servegrid.report.page.plotly_marks import Plot, axes_layout, bars_between
from servegrid.report.page.series_names import RowNames
from servegrid.report.settings import Settings
from servegrid.report.timeline.phases import BEFORE_LOADS, LAUNCH_TO_READY, LOOKS, Phase, start_up_phases
from servegrid.report.timeline.recording import read_recording
from servegrid.results.points import varying_axes

MAX_SERVERS = 30
_LINE_PX = 26
_BAR_OUTLINE = {"color": "#333", "width": 0.6}


def start_up_plots(rows: pd.DataFrame, sessions: Path, settings: Settings) -> list[Plot]:
    """Plot with one bar per server, the slowest first; none without a launch. `sessions`: folder of the records."""
    rows = rows[rows["server_id"] != ""]
    servers = rows[rows["startup_s"] > 0].drop_duplicates("server_id")
    servers = servers.sort_values("startup_s", ascending=False, kind="stable")
    launched = (
        (place, launches)
        for place, id in servers["server_id"].items()
        if (launches := list(_launch_phases(sessions / id)))
    )
    slowest = dict(itertools.islice(launched, MAX_SERVERS))
    return (
        [_start_up_plot(servers.loc[list(slowest)], servers, list(slowest.values()), rows, settings)] if slowest else []
    )


def _launch_phases(server: Path) -> Iterator[list[Phase]]:
    """Yield the phases of every launch of a server that became ready; records that cannot be read are skipped."""
    for path in sorted(server.glob("rep*/session.json")):
        try:
            launches = read_recording(path.parent, samples=False).launches
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            continue
        yield from (phases for launch in launches if (phases := start_up_phases(launch)))


def _start_up_plot(
    slowest: pd.DataFrame,
    servers: pd.DataFrame,
    launches: list[list[list[Phase]]],
    rows: pd.DataFrame,
    settings: Settings,
) -> Plot:
    row_names = RowNames(servers, ["engine", *_server_axes(rows, varying_axes(servers, settings.all_axes))])
    numbers = (slowest.index + 1).tolist()
    labels = [row_names.name(row) for row in slowest.to_dict("records")]
    # with its point's number: bars of one name would be added up
    names = [f"{place}: {label}" for place, label in zip(numbers, labels, strict=True)]
    mean_seconds = [_mean_seconds(server_launches) for server_launches in launches]
    traces = [
        _phase_bars(kind, names, numbers, mean_seconds)
        for kind in BEFORE_LOADS
        if any(kind in seconds for seconds in mean_seconds)
    ]
    traces.append(_ready_range(names, launches))
    layout = axes_layout("seconds since launch", "")
    layout["yaxis"] |= {"range": [len(names) - 0.5, -0.5], "type": "category", "dtick": 1, "tickfont": {"size": 11}}
    layout |= {"barmode": "stack", "height": 170 + _LINE_PX * len(names), "bargap": 0.3}
    note = (
        "Means over the sessions; black: launch to ready, from the lowest to the highest. The warm-up is that of the "
    )
    note += "first load. Some engines open their port at once, others when the model is loaded."
    note += row_names.note
    note += f" Shown: the {len(names)} slowest of {len(servers):,} servers." if len(servers) > len(names) else ""
    return {"id": "start-up", "title": "Start-up by phase", "note": note, "data": traces, "layout": layout}


def _server_axes(rows: pd.DataFrame, axes: list[str]) -> list[str]:
    """Those of `axes` that can tell servers apart: within some server they are the same."""
    by_server = rows.groupby("server_id")
    return [axis for axis in axes if by_server[axis].nunique(dropna=False).min() == 1]


def _mean_seconds(launches: list[list[Phase]]) -> dict[str, float]:
    """Mean seconds of each kind of phase over the launches of a server."""
    seconds: dict[str, float] = {}
    for phases in launches:
        for phase in phases:
            seconds[phase.kind] = seconds.get(phase.kind, 0) + phase.end_s - phase.start_s
    return {kind: total / len(launches) for kind, total in seconds.items()}


def _phase_bars(kind: str, names: list[str], numbers: list[int], mean_seconds: list[dict[str, float]]) -> Plot:
    colour, hatch = LOOKS[kind]
    marker = {"color": colour, "line": _BAR_OUTLINE, "pattern": {"shape": hatch[:1]}}
    positions = {"x": [seconds.get(kind, 0) for seconds in mean_seconds], "y": names, "customdata": numbers}
    hover = f"%{{y}}<br>{kind}: %{{x:.3g}} s<extra></extra>"
    return {"type": "bar", "orientation": "h", "name": kind, **positions, "marker": marker, "hovertemplate": hover}


def _ready_range(names: list[str], launches: list[list[list[Phase]]]) -> Plot:
    """Trace of the time from launch to ready, lowest to highest; drawn above the bars, which would hide half of it."""
    totals = [[_ready_s(phases) for phases in server_launches] for server_launches in launches]
    middle, low, high = (pd.Series([pick(ready_s) for ready_s in totals]) for pick in (fmean, min, max))
    bars = bars_between(middle, low, high, "#000000")
    positions = {
        "x": middle.tolist(),
        "y": names,
        "marker": {"color": "#000", "symbol": "line-ns-open", "size": 12, "line": {"width": 1.5}},
    }
    ready = {"name": "launch to ready", "hovertemplate": "%{y}<br>launch to ready: %{x:.3g} s<extra></extra>"}
    return {"type": "scatter", "mode": "markers", **positions, **ready, "showlegend": False, "error_x": bars}


def _ready_s(phases: list[Phase]) -> float:
    return max(phase.end_s for phase in phases if phase.kind in LAUNCH_TO_READY)
