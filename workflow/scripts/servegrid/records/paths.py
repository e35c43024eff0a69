"""Where the records of sessions, loads and launches lie."""

from pathlib import Path
from typing import Protocol


class HasId(Protocol):
    """A session or a load of the grid."""

    @property
    def id(self) -> str:
        """Its folder."""


def session_folder(results: Path, session: HasId) -> Path:
    """Return the folder of a session's records."""
    return results / "sessions" / session.id


def load_folder(session: Path, load: HasId) -> Path:
    """Return the folder of a load's records, inside its session's folder."""
    return session / "loads" / load.id


def load_folder_by_ids(results: Path, server: str, rep: int, load: str) -> Path:
    """Return the same, where only a table's `server_id`, `rep` and `load_id` are known."""
    return results / "sessions" / server / f"rep{rep}" / "loads" / load


def launch_folder(session: Path, number: int) -> Path:
    """Return the folder with log and telemetry of a launch: the session's, unless a later launch set them aside."""
    aside = session / "launches" / str(number)
    return aside if aside.exists() else session
