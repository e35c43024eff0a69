"""Result folders read, and their points matched."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from servegrid.results.axes import level_label
from servegrid.results.columns import BETTER
from servegrid.results.points import client_bound_rows, pace_unknown_rows
from servegrid.util.files import read_json

AxisValues = tuple[str, ...]


class NotComparable(Exception):
    """Raised where two result folders cannot be compared; the text says why."""


@dataclass(frozen=True)
class Run:
    """One result folder: its points, its sessions, its axes, its path, and the limits of its `report.slo`."""

    points: pd.DataFrame
    sessions: pd.DataFrame
    axes: tuple[str, ...]
    folder: Path
    slo: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class PointInRun:
    """One point in one run: its row, and its whole sessions (what broke off is short, not fast).

    `folder` holds the results; None where there are only tables.
    """

    point: Mapping[Hashable, Any]
    sessions: pd.DataFrame
    folder: Path | None = None


@dataclass(frozen=True)
class PointPair:
    """One point in both runs; None in the run that does not have it."""

    axes: dict[str, str]
    before: PointInRun | None
    after: PointInRun | None


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
    return Run(
        _with_axis_labels(points, axes),
        _with_float_metrics(_with_axis_labels(sessions, axes)),
        axes,
        folder,
        _slo_limits(folder),
    )


def _slo_limits(folder: Path) -> dict[str, float]:
    """Limits of `report.slo` from the config.json beside the results; none where there are only tables."""
    path = folder / "config.json"
    report = read_json(path).get("report") if path.is_file() else None
    return dict((report or {}).get("slo") or {})


def _with_axis_labels(table: pd.DataFrame, axes: Sequence[str]) -> pd.DataFrame:
    """The table with the values of its axes as labels."""
    return table.assign(**{axis: [level_label(value) for value in table[axis]] for axis in axes})


def _with_float_metrics(sessions: pd.DataFrame) -> pd.DataFrame:
    """Sessions with their metrics as float64: a column without any value comes from Parquet as None."""
    metrics = [name for name in BETTER if name in sessions]
    return sessions.assign(**{name: pd.to_numeric(sessions[name], errors="coerce") for name in metrics})


def point_pairs(before: Run, after: Run) -> list[PointPair]:
    """Points of both runs, those of `before` first.

    Raises:
        NotComparable: when no point is in both, or when points of one run differ only on an axis that the other lacks.
    """
    axes = [axis for axis in before.axes if axis in after.axes]
    _refuse_duplicates(axes, before, after)
    points_before, points_after = (_points_by_place(run, axes) for run in (before, after))
    if not points_before.keys() & points_after.keys():
        raise NotComparable("the two runs have no point in common: " + _disjoint_axis(before, after, axes))
    return [
        PointPair(dict(zip(axes, place, strict=True)), points_before.get(place), points_after.get(place))
        for place in {**points_before, **points_after}
    ]


def _refuse_duplicates(axes: list[str], *runs: Run) -> None:
    """Raise NotComparable where points of a run are the same on the axes that both runs have."""
    for run in runs:
        if run.points.duplicated(axes).any():
            extra_axes = ", ".join(axis for axis in run.axes if axis not in axes)
            raise NotComparable(
                f"one run alone has the axes {extra_axes}, and several of its points differ on nothing else"
            )


def _points_by_place(run: Run, axes: list[str]) -> dict[AxisValues, PointInRun]:
    """Points of a run by their values on `axes`."""
    points = run.points
    if "client_bound" in points:
        is_bound, is_unknown = client_bound_rows(points), pace_unknown_rows(points)
        points = points.assign(client_bound=is_bound.astype(object).mask(is_unknown, None))
    whole = run.sessions[run.sessions["status"] == "ok"]
    sessions = {_axis_values(key): group for key, group in whole.groupby(axes, sort=False)}
    places = map(_axis_values, points[axes].to_numpy().tolist())
    rows = zip(places, points.to_dict("records"), strict=True)
    return {place: PointInRun(row, sessions.get(place, whole.iloc[:0]), run.folder) for place, row in rows}


def _axis_values(key: Any) -> AxisValues:
    return tuple(map(str, key)) if isinstance(key, tuple | list) else (str(key),)


def _disjoint_axis(before: Run, after: Run, axes: list[str]) -> str:
    """The first axis on which the runs share no value, as a text."""
    for axis in axes:
        values_before, values_after = set(before.points[axis]), set(after.points[axis])
        if not values_before & values_after:
            return f"{axis} is {', '.join(sorted(values_before))} in one and {', '.join(sorted(values_after))} in the other"
    return "no combination of their axes agrees"
