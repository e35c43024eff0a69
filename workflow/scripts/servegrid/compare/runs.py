"""Result folders, read, and their points put side by side."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from servegrid.results.axes import level_label
from servegrid.results.columns import BETTER
from servegrid.results.points import client_bound_rows
from servegrid.util.files import read_json

Place = tuple[str, ...]


class NotComparable(Exception):
    """The two folders cannot be held against each other; the text says why."""


@dataclass(frozen=True)
class Run:
    """One result folder: its points, its sessions, the names of its axes, where it lies, and the limits of its `report.slo`."""

    points: pd.DataFrame
    sessions: pd.DataFrame
    axes: tuple[str, ...]
    folder: Path
    slo: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Side:
    """One point in one run: its row, and its sessions in which every request was answered (what broke off is short, not fast).

    `folder` holds the results; None where there are only tables.
    """

    point: Mapping[Hashable, Any]
    sessions: pd.DataFrame
    folder: Path | None = None


@dataclass(frozen=True)
class Pair:
    """One point in both runs; None in the run that does not have it."""

    axes: dict[str, str]
    before: Side | None
    after: Side | None


def read_run(folder: Path) -> Run:
    """Read a folder of results.

    Raises:
        NotComparable: when it has no result tables.
    """
    tables = folder / "points.parquet", folder / "sessions.parquet"
    if missing := [path for path in tables if not path.is_file()]:
        raise NotComparable(f"{missing[0]} is not there: give folders in which a run has collected its results")
    points, sessions = map(pd.read_parquet, tables)
    axes = tuple(points.columns[: list(points.columns).index("status")])
    return Run(_labelled(points, axes), _numbered(_labelled(sessions, axes)), axes, folder, _limits(folder))


def _limits(folder: Path) -> dict[str, float]:
    """Those of the config that the results lie with; none where there are only tables."""
    path = folder / "config.json"
    report = read_json(path).get("report") if path.is_file() else None
    return dict((report or {}).get("slo") or {})


def _labelled(table: pd.DataFrame, axes: Sequence[str]) -> pd.DataFrame:
    return table.assign(**{axis: [level_label(value) for value in table[axis]] for axis in axes})


def _numbered(sessions: pd.DataFrame) -> pd.DataFrame:
    """Metrics as float64: a column that no session knows comes from Parquet as None."""
    known = [name for name in BETTER if name in sessions]
    return sessions.assign(**{name: pd.to_numeric(sessions[name], errors="coerce") for name in known})


def pairs(before: Run, after: Run) -> list[Pair]:
    """The points of both runs, those of `before` first.

    Raises:
        NotComparable: when no point is in both, or when what tells points of one run apart is no axis of the other.
    """
    axes = [axis for axis in before.axes if axis in after.axes]
    _refuse_doubled(axes, before, after)
    first, second = (_sides(run, axes) for run in (before, after))
    if not first.keys() & second.keys():
        raise NotComparable("the two runs have no point in common: " + _apart(before, after, axes))
    return [
        Pair(dict(zip(axes, place, strict=True)), first.get(place), second.get(place)) for place in {**first, **second}
    ]


def _refuse_doubled(axes: list[str], *runs: Run) -> None:
    for run in runs:
        if run.points.duplicated(axes).any():
            extra = ", ".join(axis for axis in run.axes if axis not in axes)
            raise NotComparable(f"one run alone has the axes {extra}, and several of its points differ on nothing else")


def _sides(run: Run, axes: list[str]) -> dict[Place, Side]:
    points = (
        run.points.assign(client_bound=client_bound_rows(run.points)) if "client_bound" in run.points else run.points
    )
    whole = run.sessions[run.sessions["status"] == "ok"]
    sessions = {_place(key): group for key, group in whole.groupby(axes, sort=False)}
    places = map(_place, points[axes].to_numpy().tolist())
    rows = zip(places, points.to_dict("records"), strict=True)
    return {place: Side(row, sessions.get(place, whole.iloc[:0]), run.folder) for place, row in rows}


def _place(key: Any) -> Place:
    return tuple(map(str, key)) if isinstance(key, tuple | list) else (str(key),)


def _apart(before: Run, after: Run, axes: list[str]) -> str:
    """The axes on which nothing agrees, in words."""
    for axis in axes:
        first, second = set(before.points[axis]), set(after.points[axis])
        if not first & second:
            return f"{axis} is {', '.join(sorted(first))} in one and {', '.join(sorted(second))} in the other"
    return "no combination of their axes agrees"
