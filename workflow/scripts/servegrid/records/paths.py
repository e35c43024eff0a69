"""Paths of the records of sessions, loads and launches."""

from pathlib import Path
from typing import Protocol


class HasId(Protocol):
    """A session or a load of the grid, whose id is its folder's name."""

    @property
    def id(self) -> str:
        """Name of its folder."""


def session_folder(results: Path, session: HasId) -> Path:
    """Return the folder of a session's records."""
    return results / "sessions" / session.id


def load_folder(session: Path, load: HasId) -> Path:
    """Return the folder of a load's records, inside its session's folder."""
    return session / "loads" / load.id


def load_folder_by_ids(results: Path, server: str, rep: int, load: str) -> Path:
    """Return the folder of a load's records from a table's `server_id`, `rep` and `load_id`."""
    return results / "sessions" / server / f"rep{rep}" / "loads" / load


def launch_folder(session: Path, number: int) -> Path:
    """Return the folder with log and telemetry of a launch: the session's, unless a later launch moved them to launches/."""
    moved = session / "launches" / str(number)
    return moved if moved.exists() else session
