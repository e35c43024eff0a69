"""Which loads of a session are still to be measured, judged by the records on disk, so that nothing is measured twice."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from servegrid.plan.grid import Load, Session
from servegrid.records.paths import load_folder, session_folder
from servegrid.records.read import Damaged, read_record


def pending_loads(session: Session, results: Path, retry: Iterable[str] = ()) -> list[Load]:
    """The loads of the session that are still to be measured, in order.

    A load is settled when its load.json is there (ok or failed), or when its server failed to start. Outcomes named in
    `retry` count as not settled.
    """
    folder = session_folder(results, session)
    retry = set(retry)
    if "failed" not in retry and failed_at_start(folder):
        return []
    return [load for load in session.loads if not _is_settled(load_folder(folder, load), retry)]


def launch_count(session: Session, results: Path) -> int:
    """Number of launches of the session's server so far."""
    path = session_folder(results, session) / "session.json"
    return len(_record(path)["launches"]) if path.exists() else 0


def failed_at_start(folder: Path) -> dict[str, Any] | None:
    """The session's record if its server's last launch never became ready, else None."""
    path = folder / "session.json"
    if not path.exists():
        return None
    record = _record(path)
    return record if record["status"] == "failed" else None


def _is_settled(folder: Path, retry: set[str]) -> bool:
    path = folder / "load.json"
    if not path.exists():
        return False
    return not retry or _record(path)["status"] not in retry


def _record(path: Path) -> dict[str, Any]:
    try:
        return read_record(path)
    except Damaged as error:
        raise Damaged(f"{path.parent}: {error}; restore it, or move the folder away to measure anew") from None
