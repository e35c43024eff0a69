"""The result tables from raw records: repeats are pooled where requests are pooled, and averaged where sessions count."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from servegrid.collect import warning_rules
from servegrid.collect.aggregate import aggregate_loads, provenance
from servegrid.collect.distributions import DISTRIBUTION_COLUMNS, distribution_rows
from servegrid.collect.measured_load import MeasuredLoad
from servegrid.collect.row_cache import RowCache
from servegrid.collect.text_comparisons import FEATURES, TextComparisons
from servegrid.metrics import request_metrics
from servegrid.plan.cache_policy import cache_policy
from servegrid.plan.grid import LOAD_AXES, Grid, Point, Session
from servegrid.plan.other_hosts import sessions_of_other_hosts
from servegrid.plan.repeats import expected_sessions, is_precise, sessions_by_server
from servegrid.records.paths import load_folder, session_folder
from servegrid.records.read import Damaged, read_record
from servegrid.results.axes import level_label
from servegrid.results.columns import POINT_COLUMNS, SESSION_COLUMNS
from servegrid.results.warnings import RowWarning, join_warnings, split_warnings

Row = dict[str, Any]
Compute = Callable[[float | None, Mapping[str, float]], Row]
POINTS_PER_WORKER = 40
"""Least number of new points for each process that computes rows."""
POINTS_PER_TASK = 10
"""Points that a process takes at once. Small, since servers differ in how much there is to compare."""
POINTS_IN_MEMORY = 4
"""Points whose requests are held in memory at once: one and those that it is compared with."""


@dataclass(frozen=True)
class Collected:
    """The result tables.

    Attributes:
        points: one row per point.
        sessions: one row per measured session of each point.
        distributions: one row per point, latency and percentile; see distributions.py.
    """

    points: pd.DataFrame
    sessions: pd.DataFrame
    distributions: pd.DataFrame


def collect(grid: Grid, results: Path) -> Collected:
    """Collect the tables of the points of the grid, in its order, from the records in the folder `results`.

    Points have one row each: axes, then POINT_COLUMNS; failures and skips included. Sessions have one row per point and session
    with a number: axes, then SESSION_COLUMNS; `rep` is the round it ran in. Distributions: axes, then DISTRIBUTION_COLUMNS.
    What was computed before is taken from <results>/cache, as long as nothing changed that it depends on.
    """
    cache = RowCache(results / "cache" / "rows.json")
    reader = _Reader(grid, results, cache)
    fill_cache(reader)
    points: list[Row] = []
    sessions: list[list[Row]] = []
    distributions: list[Row] = []
    for point in grid.points:
        points.append(reader.row(point))
        sessions.append([reader.session_row(point, load) for load in reader.numbered(point)])
        distributions += distribution_rows(points[-1], sessions[-1], grid.axes)
    cache.save()
    tables = (points, POINT_COLUMNS), (list(chain(*sessions)), SESSION_COLUMNS), (distributions, DISTRIBUTION_COLUMNS)
    return Collected(*(_frame(rows, grid, columns) for rows, columns in tables))


def fill_cache(reader: "_Reader") -> None:
    """Compute what is not in the cache yet, neighbours one after another; where that is much, in several processes."""
    new = [index for index, point in enumerate(reader.grid.points) if reader.is_new(point)]
    new.sort(key=lambda index: _neighbourhood(reader.grid.points[index]))
    workers = min(len(os.sched_getaffinity(0)), len(new) // POINTS_PER_WORKER)
    if workers < 2:
        _compute_rows(reader, new)
        return
    tasks = [new[begin : begin + POINTS_PER_TASK] for begin in range(0, len(new), POINTS_PER_TASK)]
    initializer = (_start_worker, (reader.grid, reader.results))
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), *initializer) as pool:
        for values in pool.map(_compute_values, tasks):
            reader.cache.add(values)


def _neighbourhood(point: Point) -> tuple[list[str], str]:
    """Sort key that puts points side by side whose texts are compared, and a server's loads: what they share is read once."""
    levels = [str(level) for axis, level in point.axes.items() if axis not in (*FEATURES, *LOAD_AXES)]
    return levels, point.server.id


_worker_reader: list["_Reader"] = []
"""The reader of a worker process, and nothing else."""


def _start_worker(grid: Grid, results: Path) -> None:
    _worker_reader[:] = [_Reader(grid, results, RowCache(results / "cache" / "rows.json"))]


def _compute_values(indices: list[int]) -> dict[str, Any]:
    """Compute, in a worker process, the cached values of the points with these indices."""
    [reader] = _worker_reader
    before = set(reader.cache.used)
    _compute_rows(reader, indices)
    return {key: value for key, value in reader.cache.used.items() if key not in before}


def _compute_rows(reader: "_Reader", indices: list[int]) -> None:
    """Compute the rows of the points with these indices, which leaves their values in the reader's cache."""
    for index in indices:
        point = reader.grid.points[index]
        reader.row(point)
        for load in reader.numbered(point):
            reader.session_row(point, load)


def _frame(rows: list[Row], grid: Grid, columns: Sequence[str]) -> pd.DataFrame:
    """Table of rows: axes, then `columns`.

    Axes but `threads` are labels, made before pandas sees them: it would make 1.0 of a 1 that stands with a 0.5.
    """
    labelled_axes = [axis for axis in grid.axes if axis != "threads"]
    labelled = [row | {axis: level_label(row[axis]) for axis in labelled_axes} for row in rows]
    return pd.DataFrame(labelled, columns=[*grid.axes, *columns])


class _Reader:
    """Reads the records of a grid's points, each session once, and computes their rows."""

    def __init__(self, grid: Grid, results: Path, cache: RowCache) -> None:
        self.grid, self.results, self.cache = grid, results, cache
        self._sessions = sessions_by_server(grid)
        self._other_hosts = sessions_of_other_hosts(grid, [Path(folder) for folder in grid.config.report.also_from])
        self._sessions |= {id: sessions for id, (_, sessions) in self._other_hosts.items()}
        self._records: dict[Path, dict[str, Any] | None] = {}
        self._damaged: dict[Path, str] = {}
        self._recent: dict[tuple[str, str], list[MeasuredLoad]] = {}
        self._comparisons = TextComparisons(grid, self.numbered, cache)

    def is_skipped(self, point: Point) -> bool:
        """Whether the point was not to be measured; one whose device is absent here is not skipped if another host measured it."""
        return point.skip is not None and point.server.id not in self._other_hosts

    def _folder(self, session: Session) -> Path:
        """Folder of the session, in the results of the host that measured it."""
        home = self._other_hosts[session.server.id][0] if session.server.id in self._other_hosts else self.results
        return session_folder(home, session)

    def row(self, point: Point) -> Row:
        """Row of the point in results/points, with `distributions` beside its columns if it has numbers."""
        axes = dict(point.axes)
        if point.skip and self.is_skipped(point):
            return axes | {"status": point.skip.status, "reason": point.skip.reason, "sessions": 0}
        policy = cache_policy(point.server.spec, point.load.options)
        ids = {"server_id": point.server.id, "load_id": point.load.id, "cache_policy": policy}
        row = axes | self._outcome(point) | ids
        return row | self._numbers(point, self.numbered(point))

    def session_row(self, point: Point, measured: MeasuredLoad) -> Row:
        """Row of one session of the point in results/sessions, with `distributions` beside its columns."""
        axes = dict(point.axes) | {"rep": int(measured.session["rep"]), "status": measured.load["status"]}
        ids = {"server_id": point.server.id, "load_id": point.load.id}
        numbers = self._cached(point, "session", [measured], lambda usd, slo: aggregate_loads([measured], usd, slo))
        return axes | ids | numbers

    def numbered(self, point: Point) -> list[MeasuredLoad]:
        """The point's loads that have numbers, by round; those of the last few points are kept, with what was read."""
        key = (point.server.id, point.load.id)
        if key not in self._recent:
            self._recent[key] = [measured for measured in self.measured(point) if self._has_numbers(measured)]
        self._recent = dict(list(self._recent.items())[-POINTS_IN_MEMORY:])
        return self._recent[key]

    def is_new(self, point: Point) -> bool:
        """Whether the point's numbers have to be computed."""
        measured = self.numbered(point)
        return bool(measured) and not self.cache.has(*self._key(point, "point", measured))

    def measured(self, point: Point) -> Iterator[MeasuredLoad]:
        """Yield the point's load of every session that has a record of it, by round."""
        for session in self._sessions.get(point.server.id, []) if not self.is_skipped(point) else []:
            folder = load_folder(self._folder(session), point.load)
            record, load = self._record(session), self._read(folder / "load.json")
            if record and load:
                yield MeasuredLoad(folder, record, load)

    def _has_numbers(self, measured: MeasuredLoad) -> bool:
        return measured.load["status"] != "failed" and self._requests_damage(measured) is None

    def _requests_damage(self, measured: MeasuredLoad) -> str | None:
        """Reason why the load's requests cannot be read; None if they can."""
        reason: str | None = self.cache.get("damage", measured.text_files[:1], lambda: measured.requests_damage)
        return reason

    def _record(self, session: Session) -> dict[str, Any] | None:
        return self._read(self._folder(session) / "session.json")

    def _read(self, path: Path) -> dict[str, Any] | None:
        """Record in a file; None where there is none, or none that can be read, whose reason is kept in `_damaged`."""
        if path not in self._records:
            try:
                self._records[path] = read_record(path) if path.exists() else None
            except Damaged as error:
                self._records[path], self._damaged[path] = None, str(error)
        return self._records[path]

    def _damages(self, point: Point, sessions: list[Session]) -> list[str]:
        """Reasons why records of these sessions, of the point's load, cannot be read."""
        folders = {session.rep: self._folder(session) for session in sessions}
        paths = [
            (rep, path)
            for rep, folder in folders.items()
            for path in (folder / "session.json", load_folder(folder, point.load) / "load.json")
        ]
        unread = [f"session {rep}: {self._damaged[path]}" for rep, path in paths if path in self._damaged]
        return unread + [reason for measured in self.measured(point) if (reason := self._requests_damage(measured))]

    def _outcome(self, point: Point) -> Row:
        """Status of the point: ok if every session is, failed if none has a number, else partial; with the reasons."""
        measured = list(self.measured(point))
        numbered = [load for load in measured if self._has_numbers(load)]
        ok = [load for load in numbered if load.load["status"] == "ok"]
        expected = self._expected_sessions(point)
        start_failures = self._start_failures(expected)
        reasons = [load.load["reason"] for load in measured if load.load["reason"]] + start_failures
        reasons += self._damages(point, expected)
        missing = len(expected) - len(measured) - len(start_failures)
        if missing > 0 and not reasons:
            reasons = [f"{missing} of {len(expected)} sessions not measured"]
        status = "ok" if len(ok) == len(expected) else "partial" if numbered else "failed"
        return {"status": status, "reason": "; ".join(dict.fromkeys(reasons)) or None, "sessions": len(numbered)}

    def _expected_sessions(self, point: Point) -> list[Session]:
        """Sessions that the point is to be measured in; on another host all that there are."""
        sessions = self._sessions.get(point.server.id, [])
        if point.server.id in self._other_hosts:
            return sessions
        return expected_sessions(point.load, sessions, self.results, self.grid.config.repeats)

    def _start_failures(self, sessions: list[Session]) -> list[str]:
        """Reasons of the sessions whose server did not start."""
        records = [self._record(session) for session in sessions]
        return [str(record["reason"]) for record in records if record and record["status"] == "failed"]

    def _numbers(self, point: Point, measured: list[MeasuredLoad]) -> Row:
        """Columns of the point that come from its measured loads; {} without any."""
        if not measured:
            return {}
        row = self._cached(point, "point", measured, lambda usd, slo: _with_warnings(measured, usd, slo))
        row = row | self._comparisons.columns(point, measured) | provenance(measured[0])
        warnings = split_warnings(row["warnings"]) + self._comparisons.warnings(point, row)
        return row | {"warnings": join_warnings(warnings + self._precision_warnings(measured))}

    def _precision_warnings(self, measured: list[MeasuredLoad]) -> list[RowWarning]:
        """IMPRECISE, if the number of sessions is open and they are not as precise as asked."""
        repeats = self.grid.config.repeats
        precise = not repeats.is_open or is_precise((load.load for load in measured), repeats.precision)
        return [] if precise else [RowWarning.IMPRECISE]

    def _cached(self, point: Point, kind: str, measured: list[MeasuredLoad], compute: Compute) -> Row:
        """Row of these loads from the cache, or as `compute` returns it."""
        key, files = self._key(point, kind, measured)
        row: Row = self.cache.get(key, files, lambda: compute(self._usd_per_hour(point, measured), self._slo))
        return row

    def _key(self, point: Point, kind: str, measured: list[MeasuredLoad]) -> tuple[list[Any], list[Path]]:
        """What the row of these loads (`kind`: `point` or `session`) depends on: settings and files; see RowCache.get."""
        settings = [kind, self._usd_per_hour(point, measured), self._slo]
        return settings, [path for load in measured for path in load.files]

    @property
    def _slo(self) -> dict[str, float]:
        return self.grid.config.report.slo

    def _usd_per_hour(self, point: Point, measured: list[MeasuredLoad]) -> float | None:
        """USD per hour of the GPUs that the server used: their part of the device's price."""
        device = self.grid.config.devices[point.server.gpu]
        used = len(measured[0].gpus) if measured else 0
        if device.usd_per_hour is None or not used or not device.gpu_count:
            return device.usd_per_hour
        return device.usd_per_hour * used / device.gpu_count


def _with_warnings(measured: list[MeasuredLoad], usd_per_hour: float | None, slo: Mapping[str, float]) -> Row:
    """Numbers of a point, with `client_bound` and `warnings`."""
    row = aggregate_loads(measured, usd_per_hour, slo)
    row |= {
        "client_bound": request_metrics.is_client_bound(*(row[name] for name in request_metrics.CLIENT_BOUND_INPUTS))
    }
    return row | {"warnings": join_warnings(warning_rules.point_warnings(measured, row["client_bound"]))}
