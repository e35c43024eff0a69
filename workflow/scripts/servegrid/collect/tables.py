"""From raw records to one row per point. Repeats are pooled where requests are pooled, and averaged where sessions count."""

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
from servegrid.collect.aggregate import numbers, provenance
from servegrid.collect.distributions import COLUMNS as DISTRIBUTIONS
from servegrid.collect.distributions import of_point
from servegrid.collect.measured_load import Measured
from servegrid.collect.row_cache import RowCache
from servegrid.collect.text_comparisons import FEATURES, Comparisons
from servegrid.metrics import request_metrics
from servegrid.plan.grid import LOAD_AXES, Grid, Point, Session
from servegrid.plan.other_hosts import sessions_of_other_hosts
from servegrid.plan.repeats import expected_sessions, is_precise, sessions_by_server
from servegrid.records.paths import load_folder, session_folder
from servegrid.records.read import Damaged, read_record
from servegrid.results.axes import label
from servegrid.results.columns import COLUMNS, SESSION_COLUMNS
from servegrid.results.warnings import RowWarning, join_warnings, split_warnings

Row = dict[str, Any]
Compute = Callable[[float | None, Mapping[str, float]], Row]
LEAST_POINTS = 40
"""Points that are worth a process of their own."""
PART = 10
"""Points that a process takes at once. Small, since servers differ in how much there is to compare."""
KEPT = 4
"""Points whose requests are held in memory at once: one and those that it is compared with."""


@dataclass(frozen=True)
class Collected:
    """The result tables: one row per point, one per measured session of each point, and those of distributions.py."""

    points: pd.DataFrame
    sessions: pd.DataFrame
    distributions: pd.DataFrame


def collect(grid: Grid, results: Path) -> Collected:
    """One row per point of the grid, in its order: axes, then COLUMNS; failures and skips included.

    And one row per point and session with a number: axes, then SESSION_COLUMNS; `rep` is the round it ran in.
    What was computed before is taken from <results>/cache, as long as nothing changed that it depends on.
    """
    cache = RowCache(results / "cache" / "rows.json")
    reader = _Reader(grid, results, cache)
    fill(reader)
    points: list[Row] = []
    sessions: list[list[Row]] = []
    distributions: list[Row] = []
    for point in grid.points:
        points.append(reader.row(point))
        sessions.append([reader.session_row(point, one) for one in reader.numbered(point)])
        distributions += of_point(points[-1], sessions[-1], grid.axes)
    cache.save()
    tables = (points, COLUMNS), (list(chain(*sessions)), SESSION_COLUMNS), (distributions, DISTRIBUTIONS)
    return Collected(*(_frame(rows, grid, columns) for rows, columns in tables))


def fill(reader: "_Reader") -> None:
    """Compute what is new, neighbours one after another; where that is much, on all processors."""
    new = [place for place, point in enumerate(reader.grid.points) if reader.is_new(point)]
    new.sort(key=lambda place: _neighbourhood(reader.grid.points[place]))
    workers = min(len(os.sched_getaffinity(0)), len(new) // LEAST_POINTS)
    if workers < 2:
        _compute(reader, new)
        return
    parts = [new[begin : begin + PART] for begin in range(0, len(new), PART)]
    start = (_start, (reader.grid, reader.results))
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), *start) as pool:
        for found in pool.map(_computed, parts):
            reader.cache.add(found)


def _neighbourhood(point: Point) -> tuple[list[str], str]:
    """Points whose texts are compared lie side by side, and a server's loads, so that what they share is read once."""
    apart = [str(level) for axis, level in point.axes.items() if axis not in (*FEATURES, *LOAD_AXES)]
    return apart, point.server.id


_readers: list["_Reader"] = []
"""The one of a process of its own."""


def _start(grid: Grid, results: Path) -> None:
    _readers[:] = [_Reader(grid, results, RowCache(results / "cache" / "rows.json"))]


def _computed(places: list[int]) -> dict[str, Any]:
    """The values that the rows at these places are made of."""
    [reader] = _readers
    before = set(reader.cache.used)
    _compute(reader, places)
    return {key: value for key, value in reader.cache.used.items() if key not in before}


def _compute(reader: "_Reader", places: list[int]) -> None:
    for place in places:
        point = reader.grid.points[place]
        reader.row(point)
        for one in reader.numbered(point):
            reader.session_row(point, one)


def _frame(rows: list[Row], grid: Grid, columns: Sequence[str]) -> pd.DataFrame:
    """Axes but `threads` as labels, made before pandas sees them: it would make 1.0 of a 1 that stands with a 0.5."""
    texts = [axis for axis in grid.axes if axis != "threads"]
    labelled = [row | {axis: label(row[axis]) for axis in texts} for row in rows]
    return pd.DataFrame(labelled, columns=[*grid.axes, *columns])


class _Reader:
    """Reads each session once; sessions are found by server."""

    def __init__(self, grid: Grid, results: Path, cache: RowCache) -> None:
        self.grid, self.results, self.cache = grid, results, cache
        self._sessions = sessions_by_server(grid)
        self._merged = sessions_of_other_hosts(grid, [Path(folder) for folder in grid.config.report.also_from])
        self._sessions |= {id: sessions for id, (_, sessions) in self._merged.items()}
        self._records: dict[Path, dict[str, Any] | None] = {}
        self._damaged: dict[Path, str] = {}
        self._kept: dict[tuple[str, str], list[Measured]] = {}
        self._comparisons = Comparisons(grid, self.numbered, cache)

    def skipped(self, point: Point) -> bool:
        """A point whose device is absent here is a row like any other where another host has measured it."""
        return point.skip is not None and point.server.id not in self._merged

    def _folder(self, session: Session) -> Path:
        home = self._merged[session.server.id][0] if session.server.id in self._merged else self.results
        return session_folder(home, session)

    def row(self, point: Point) -> Row:
        axes = dict(point.axes)
        if point.skip and self.skipped(point):
            return axes | {"status": point.skip.status, "reason": point.skip.reason, "sessions": 0}
        row = axes | self._outcome(point) | {"server_id": point.server.id, "load_id": point.load.id}
        return row | self._numbers(point, self.numbered(point))

    def session_row(self, point: Point, one: Measured) -> Row:
        """The same numbers of one session."""
        axes = dict(point.axes) | {"rep": int(one.session["rep"]), "status": one.load["status"]}
        ids = {"server_id": point.server.id, "load_id": point.load.id}
        return axes | ids | self._cached(point, "session", [one], lambda price, slo: numbers([one], price, slo))

    def numbered(self, point: Point) -> list[Measured]:
        """The point's sessions that have numbers, by round. Those of the last few points are kept, with what was read."""
        key = (point.server.id, point.load.id)
        if key not in self._kept:
            self._kept[key] = [measured for measured in self.measured(point) if self._has_numbers(measured)]
        self._kept = dict(list(self._kept.items())[-KEPT:])
        return self._kept[key]

    def is_new(self, point: Point) -> bool:
        """Whether the point's numbers have to be computed."""
        measured = self.numbered(point)
        return bool(measured) and not self.cache.has(*self._key(point, "point", measured))

    def measured(self, point: Point) -> Iterator[Measured]:
        for session in self._sessions.get(point.server.id, []) if not self.skipped(point) else []:
            folder = load_folder(self._folder(session), point.load)
            record, load = self._record(session), self._load(folder)
            if record and load:
                yield Measured(folder, record, load)

    def _has_numbers(self, measured: Measured) -> bool:
        return measured.load["status"] != "failed" and self._damage_of(measured) is None

    def _damage_of(self, measured: Measured) -> str | None:
        reason: str | None = self.cache.get("damage", measured.text_files[:1], lambda: measured.requests_damage)
        return reason

    def _record(self, session: Session) -> dict[str, Any] | None:
        return self._read(self._folder(session) / "session.json")

    def _load(self, folder: Path) -> dict[str, Any] | None:
        return self._read(folder / "load.json")

    def _read(self, path: Path) -> dict[str, Any] | None:
        """The record in a file; None where there is none, or none that can be read, which is kept in `_damaged`."""
        if path not in self._records:
            try:
                self._records[path] = read_record(path) if path.exists() else None
            except Damaged as error:
                self._records[path], self._damaged[path] = None, str(error)
        return self._records[path]

    def _damages(self, point: Point, sessions: list[Session]) -> list[str]:
        """What of these sessions cannot be read, of the point's load."""
        folders = {session.rep: self._folder(session) for session in sessions}
        paths = [(rep, path) for rep, folder in folders.items() for path in self._records_of(folder, point)]
        unread = [f"session {rep}: {self._damaged[path]}" for rep, path in paths if path in self._damaged]
        return unread + [reason for one in self.measured(point) if (reason := self._damage_of(one))]

    @staticmethod
    def _records_of(folder: Path, point: Point) -> tuple[Path, Path]:
        return folder / "session.json", load_folder(folder, point.load) / "load.json"

    def _outcome(self, point: Point) -> Row:
        """Status of the point: ok if every session is, failed if none has a number, else partial; with the reasons."""
        measured = list(self.measured(point))
        some = [one for one in measured if self._has_numbers(one)]
        good = [one for one in some if one.load["status"] == "ok"]
        wanted = self._expected(point)
        reasons = [one.load["reason"] for one in measured if one.load["reason"]] + self._start_failures(wanted)
        reasons += self._damages(point, wanted)
        missing = len(wanted) - len(measured) - len(self._start_failures(wanted))
        if missing > 0 and not reasons:
            reasons = [f"{missing} of {len(wanted)} sessions not measured"]
        status = "ok" if len(good) == len(wanted) else "partial" if some else "failed"
        return {"status": status, "reason": "; ".join(dict.fromkeys(reasons)) or None, "sessions": len(some)}

    def _expected(self, point: Point) -> list[Session]:
        """Sessions that the point is to be measured in; on another host all that there are."""
        sessions = self._sessions.get(point.server.id, [])
        elsewhere = point.server.id in self._merged
        return (
            sessions if elsewhere else expected_sessions(point.load, sessions, self.results, self.grid.config.repeats)
        )

    def _start_failures(self, sessions: list[Session]) -> list[str]:
        records = [self._record(session) for session in sessions]
        return [str(record["reason"]) for record in records if record and record["status"] == "failed"]

    def _numbers(self, point: Point, measured: list[Measured]) -> Row:
        if not measured:
            return {}
        row = self._cached(point, "point", measured, lambda price, slo: _with_warnings(measured, price, slo))
        row = row | self._comparisons.columns(point, measured) | provenance(measured[0])
        found = split_warnings(row["warnings"]) + self._comparisons.warnings(point, row) + self._imprecise(measured)
        return row | {"warnings": join_warnings(found)}

    def _imprecise(self, measured: list[Measured]) -> list[RowWarning]:
        repeats = self.grid.config.repeats
        precise = not repeats.is_open or is_precise((one.load for one in measured), repeats.precision)
        return [] if precise else [RowWarning.IMPRECISE]

    def _cached(self, point: Point, what: str, measured: list[Measured], compute: Compute) -> Row:
        key, files = self._key(point, what, measured)
        row: Row = self.cache.get(key, files, lambda: compute(self._price(point, measured), self._slo))
        return row

    def _key(self, point: Point, what: str, measured: list[Measured]) -> tuple[list[Any], list[Path]]:
        return [what, self._price(point, measured), self._slo], [path for one in measured for path in one.files]

    @property
    def _slo(self) -> dict[str, float]:
        return self.grid.config.report.slo

    def _price(self, point: Point, measured: list[Measured]) -> float | None:
        """USD per hour of the GPUs that the server used: their part of the device's price."""
        device = self.grid.config.devices[point.server.gpu]
        used = len(measured[0].gpus) if measured else 0
        if device.usd_per_hour is None or not used or not device.gpu_count:
            return device.usd_per_hour
        return device.usd_per_hour * used / device.gpu_count


def _with_warnings(measured: list[Measured], price: float | None, slo: Mapping[str, float]) -> Row:
    row = numbers(measured, price, slo)
    row |= {"client_bound": request_metrics.client_bound(*(row[name] for name in request_metrics.PACE))}
    return row | {"warnings": join_warnings(warning_rules.of_point(measured, row["client_bound"]))}
