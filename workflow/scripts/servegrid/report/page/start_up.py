"""The start-up of the slowest servers, broken into phases, from the sessions' records."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

import pandas as pd

from servegrid.report.page.plotly_marks import Plot, bars_between, layout
from servegrid.report.page.series_names import Names
from servegrid.report.settings import Settings
from servegrid.report.timeline.phases import BEFORE_LOADS, LAUNCH_TO_READY, LOOKS, Phase, start_up
from servegrid.report.timeline.recording import read_recording
from servegrid.results.points import varying_axes

MOST_SERVERS = 30
_LINE_PX = 26
_EDGE = {"color": "#333", "width": 0.6}


def start_ups(rows: pd.DataFrame, sessions: Path, settings: Settings) -> list[Plot]:
    """One bar per server, from the slowest; `sessions` is the folder of the records. Empty where none was launched."""
    rows = rows[rows["server_id"] != ""]
    servers = rows[rows["startup_s"] > 0].drop_duplicates("server_id")
    servers = servers.sort_values("startup_s", ascending=False, kind="stable")
    known = ((place, found) for place, id in servers["server_id"].items() if (found := list(_launches(sessions / id))))
    slowest = dict(itertools.islice(known, MOST_SERVERS))
    return [_figure(servers.loc[list(slowest)], servers, list(slowest.values()), rows, settings)] if slowest else []


def _launches(server: Path) -> Iterator[list[Phase]]:
    """The phases of every launch of a server that became ready; records that cannot be read are passed over."""
    for path in sorted(server.glob("rep*/session.json")):
        try:
            found = read_recording(path.parent, samples=False).launches
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            continue
        yield from (phases for launch in found if (phases := start_up(launch)))


def _figure(
    drawn: pd.DataFrame,
    servers: pd.DataFrame,
    launches: list[list[list[Phase]]],
    rows: pd.DataFrame,
    settings: Settings,
) -> Plot:
    naming = Names(servers, ["engine", *_server_axes(rows, varying_axes(servers, settings.all_axes))])
    numbers = (drawn.index + 1).tolist()
    rest = [naming.name(row) for row in drawn.to_dict("records")]
    # with its point's number: bars of one name would be added up
    names = [f"{place}: {words}" for place, words in zip(numbers, rest, strict=True)]
    means = [_means(each) for each in launches]
    traces = [_bars(kind, names, numbers, means) for kind in BEFORE_LOADS if any(kind in mean for mean in means)]
    traces.append(_range(names, launches))
    found = layout("seconds since launch", "")
    found["yaxis"] |= {"range": [len(names) - 0.5, -0.5], "type": "category", "dtick": 1, "tickfont": {"size": 11}}
    found |= {"barmode": "stack", "height": 170 + _LINE_PX * len(names), "bargap": 0.3}
    note = (
        "Means over the sessions; black: launch to ready, from the lowest to the highest. The warm-up is that of the "
    )
    note += "first load. Some engines open their port at once, others when the model is loaded."
    note += naming.note
    note += f" Shown: the {len(names)} slowest of {len(servers):,} servers." if len(servers) > len(names) else ""
    return {"id": "start-up", "title": "Start-up by phase", "note": note, "data": traces, "layout": found}


def _server_axes(rows: pd.DataFrame, axes: list[str]) -> list[str]:
    """Those of `axes` that can tell servers apart: within some server they are the same."""
    by_server = rows.groupby("server_id")
    return [axis for axis in axes if by_server[axis].nunique(dropna=False).min() == 1]


def _means(launches: list[list[Phase]]) -> dict[str, float]:
    """Mean seconds of each kind of phase over the launches of a server."""
    seconds: dict[str, float] = {}
    for phases in launches:
        for phase in phases:
            seconds[phase.kind] = seconds.get(phase.kind, 0) + phase.end_s - phase.start_s
    return {kind: total / len(launches) for kind, total in seconds.items()}


def _bars(kind: str, names: list[str], numbers: list[int], means: list[dict[str, float]]) -> Plot:
    colour, hatch = LOOKS[kind]
    marker = {"color": colour, "line": _EDGE, "pattern": {"shape": hatch[:1]}}
    where = {"x": [mean.get(kind, 0) for mean in means], "y": names, "customdata": numbers}
    hover = f"%{{y}}<br>{kind}: %{{x:.3g}} s<extra></extra>"
    return {"type": "bar", "orientation": "h", "name": kind, **where, "marker": marker, "hovertemplate": hover}


def _range(names: list[str], launches: list[list[list[Phase]]]) -> Plot:
    """The time from launch to ready, from the lowest to the highest; above the bars, which would hide half of it."""
    totals = [[_ready(phases) for phases in each] for each in launches]
    middle, low, high = (pd.Series([pick(each) for each in totals]) for pick in (fmean, min, max))
    bars = bars_between(middle, low, high, "#000000")
    where = {
        "x": middle.tolist(),
        "y": names,
        "marker": {"color": "#000", "symbol": "line-ns-open", "size": 12, "line": {"width": 1.5}},
    }
    ready = {"name": "launch to ready", "hovertemplate": "%{y}<br>launch to ready: %{x:.3g} s<extra></extra>"}
    return {"type": "scatter", "mode": "markers", **where, **ready, "showlegend": False, "error_x": bars}


def _ready(phases: list[Phase]) -> float:
    return max(phase.end_s for phase in phases if phase.kind in LAUNCH_TO_READY)
