"""How many sessions a server gets: a fixed number, or as many as a precision takes; decided from the records on disk."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from servegrid.config.measuring import Repeats
from servegrid.plan.grid import Grid, Load, Session
from servegrid.plan.pending import failed_at_start, pending_loads
from servegrid.records.paths import load_folder, session_folder
from servegrid.records.read import Damaged, read_record
from servegrid.stats import intervals


def needed_sessions(grid: Grid, results: Path, retry: Iterable[str] = ()) -> list[Session]:
    """The sessions of the grid that a load needs, in the order they run; records with an outcome in `retry` do not count."""
    needed = {
        session.id
        for sessions in sessions_by_server(grid).values()
        for session in needed_of_server(sessions, results, grid, retry)
    }
    return [session for session in grid.sessions if session.id in needed]


def sessions_by_server(grid: Grid) -> dict[str, list[Session]]:
    """All possible sessions, by the server's id."""
    by_server: dict[str, list[Session]] = {}
    for session in grid.sessions:
        by_server.setdefault(session.server.id, []).append(session)
    return by_server


def needed_of_server(sessions: list[Session], results: Path, grid: Grid, retry: Iterable[str] = ()) -> list[Session]:
    """The sessions of one server that any of its loads needs."""
    repeats = grid.config.repeats
    if not repeats.is_open:
        return sessions
    unsettled = {session.id: pending_loads(session, results, retry) for session in sessions}
    loads = sessions[0].loads
    needed = {session.id for load in loads for session in _needed_of_load(load, sessions, unsettled, results, repeats)}
    return [session for session in sessions if session.id in needed]


def expected_sessions(load: Load, sessions: Sequence[Session], results: Path, repeats: Repeats) -> list[Session]:
    """The sessions of a server in which this load is to be measured: those in which it was, if they suffice; else all."""
    if not repeats.is_open:
        return list(sessions)
    return _needed_of_load(
        load, sessions, {session.id: pending_loads(session, results) for session in sessions}, results, repeats
    )


def _needed_of_load(
    load: Load, sessions: Sequence[Session], unsettled: Mapping[str, list[Load]], results: Path, repeats: Repeats
) -> list[Session]:
    settled = [session for session in sessions if load not in unsettled[session.id]]
    if len(settled) < repeats.at_least:
        return list(sessions)
    return settled if is_precise(_load_records(load, settled, results), repeats.precision) else list(sessions)


def _load_records(load: Load, sessions: Iterable[Session], results: Path) -> list[dict[str, Any]]:
    """The load's records in these sessions, without sessions whose server failed to start; a damaged one is no evidence."""
    folders = [session_folder(results, session) for session in sessions]
    paths = [load_folder(folder, load) / "load.json" for folder in folders if not failed_at_start(folder)]
    return [record for path in paths if (record := _read_if_sound(path))]


def _read_if_sound(path: Path) -> dict[str, Any] | None:
    with suppress(Damaged):
        return read_record(path)
    return None


def is_precise(loads: Iterable[Mapping[str, Any]], precision: float) -> bool:
    """Whether half the 95 % interval of a load's requests per second over its sessions is at most this share of their mean.

    A single session has no interval. A load that failed each time counts as precise: more sessions would add nothing.
    """
    rates = [rate for load in loads if load["status"] != "failed" and (rate := _requests_per_s(load)) > 0]
    if not rates:
        return True
    mean = intervals.mean(rates)
    return mean.low is not None and mean.high is not None and (mean.high - mean.low) / 2 <= precision * mean.value


def _requests_per_s(load: Mapping[str, Any]) -> float:
    seconds = load["end_s"] - load["start_s"]
    return load["requests"].get("ok", 0) / seconds if seconds > 0 else 0.0
