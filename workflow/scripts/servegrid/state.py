"""What is already on disk: which loads of a session are settled, so that nothing is measured twice."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from servegrid.files import read_json
from servegrid.grid import Load, Session


def session_folder(results: Path, session: Session) -> Path:
    """Where the records of a session lie."""
    return results / "sessions" / session.id


def load_folder(session: Path, load: Load) -> Path:
    """Where the records of a load lie, inside its session's folder."""
    return session / "loads" / load.id


def load_folder_by_ids(results: Path, server: str, rep: int, load: str) -> Path:
    """The same, where only a table's `server_id`, `rep` and `load_id` are known."""
    return results / "sessions" / server / f"rep{rep}" / "loads" / load


def launch_folder(session: Path, number: int) -> Path:
    """Where log and telemetry of a launch lie: in the session's folder, unless a later launch set them aside."""
    aside = session / "launches" / str(number)
    return aside if aside.exists() else session


def missing(session: Session, results: Path, retry: Iterable[str] = ()) -> list[Load]:
    """The loads of the session that have still to be measured, in order.

    A load is settled when its load.json is there (ok or failed), or when its server failed to start. Outcomes named in
    `retry` count as not settled.
    """
    folder = session_folder(results, session)
    retry = set(retry)
    if "failed" not in retry and failed_at_start(folder):
        return []
    return [load for load in session.loads if not _settled(load_folder(folder, load), retry)]


def launches(session: Session, results: Path) -> int:
    """How often the session's server was launched so far."""
    path = session_folder(results, session) / "session.json"
    return len(read_json(path)["launches"]) if path.exists() else 0


def failed_at_start(folder: Path) -> dict[str, Any] | None:
    """The session's record if its last launch never became ready, else None."""
    path = folder / "session.json"
    if not path.exists():
        return None
    record: dict[str, Any] = read_json(path)
    return record if record["status"] == "failed" else None


def _settled(folder: Path, retry: set[str]) -> bool:
    path = folder / "load.json"
    if not path.exists():
        return False
    return not retry or read_json(path)["status"] not in retry
