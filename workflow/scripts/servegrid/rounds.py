"""How many sessions a server gets: a number, or as many as a stated precision takes. Decided from the records alone."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from servegrid import intervals
from servegrid.config.measuring import Repeats
from servegrid.files import read_json
from servegrid.grid import Grid, Load, Session
from servegrid.state import failed_at_start, load_folder, missing, session_folder


def wanted(grid: Grid, results: Path) -> list[Session]:
    """The sessions of the grid, in the order they run, less those that a server which is precise enough does not need."""
    by_server: dict[str, list[Session]] = {}
    for session in grid.sessions:
        by_server.setdefault(session.server.id, []).append(session)
    repeats = grid.config.repeats
    needed = {one.id for sessions in by_server.values() for one in needed_of(sessions, results, repeats)}
    return [session for session in grid.sessions if session.id in needed]


def needed_of(sessions: list[Session], results: Path, repeats: Repeats) -> list[Session]:
    """The sessions of one server, given by round: those measured, if they are enough; else all that there may be."""
    if not repeats.is_open:
        return sessions
    unsettled = (place for place, session in enumerate(sessions) if missing(session, results))
    measured = sessions[: next(unsettled, len(sessions))]
    if len(measured) < repeats.at_least:
        return sessions
    folders = [session_folder(results, session) for session in measured]
    loads = (_records(load, folders) for load in sessions[0].loads)
    return measured if all(is_precise(records, repeats.precision) for records in loads) else sessions


def _records(load: Load, sessions: Iterable[Path]) -> list[dict[str, Any]]:
    """Of the load, in each of these sessions that had a server."""
    paths = [load_folder(folder, load) / "load.json" for folder in sessions if not failed_at_start(folder)]
    return [read_json(path) for path in paths if path.exists()]


def is_precise(loads: Iterable[Mapping[str, Any]], precision: float) -> bool:
    """Whether half the interval of the requests per second is at most this share of their mean; of one load in several sessions.

    One number alone has no interval. A load that has failed each time counts as precise: more sessions would tell nothing.
    """
    rates = [rate for load in loads if load["status"] != "failed" and (rate := _rate(load)) > 0]
    if not rates:
        return True
    mean = intervals.mean(rates)
    return mean.low is not None and mean.high is not None and (mean.high - mean.low) / 2 <= precision * mean.value


def _rate(load: Mapping[str, Any]) -> float:
    seconds = load["end_s"] - load["start_s"]
    return load["requests"].get("ok", 0) / seconds if seconds > 0 else 0.0
