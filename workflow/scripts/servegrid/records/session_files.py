"""A session's folder, read back: what is missing or damaged is said in one way, whoever reads it."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from servegrid.records.paths import launch_folder
from servegrid.util.text import clip, plain

_MOST_OF_ERROR = 80


class Damaged(ValueError):
    """A record that is not there or cannot be read; the text says which and why."""


def read_record(path: Path) -> dict[str, Any]:
    """Read the JSON object in a file.

    Raises:
        Damaged: there is no such file, or it holds something else.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Damaged(f"there is no {path.name}") from None
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    if not isinstance(record, dict):
        raise _unreadable(path, "no JSON object")
    return record


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a Parquet file, or some of its columns. Small files by the hundred: without the overhead of Arrow's data sets.

    Raises:
        Damaged: there is no such file, it is no Parquet file, or it lacks a column.
    """
    try:
        with pq.ParquetFile(path) as file:
            return file.read(columns=list(columns) if columns else None, use_threads=False).select(
                columns or file.schema_arrow.names
            )
    except FileNotFoundError:
        raise Damaged(f"there is no {path.name}") from None
    except (pa.ArrowException, OSError, KeyError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: object) -> Damaged:
    return Damaged(f"{path.name} cannot be read ({clip(plain(str(error)), _MOST_OF_ERROR)})")


@dataclass(frozen=True)
class LoadFiles:
    """The folder of a load and its load.json."""

    folder: Path
    record: dict[str, Any]

    @property
    def requests(self) -> Path:
        """The file with one row per request."""
        return self.folder / "requests.parquet"


@dataclass(frozen=True)
class SessionFiles:
    """The folder of a session and its session.json."""

    folder: Path
    record: dict[str, Any]

    @classmethod
    def read(cls, folder: Path) -> "SessionFiles":
        """Read the record of the session in `folder`.

        Raises:
            Damaged: session.json is missing or no record.
        """
        return cls(folder, read_record(folder / "session.json"))

    @property
    def launches(self) -> list[dict[str, Any]]:
        """Its launches, the first one first."""
        return self.record.get("launches") or []

    def launch_files(self, number: int) -> Path:
        """Return the folder with log and telemetry of a launch."""
        return launch_folder(self.folder, number)

    def loads(self, damage: list[str]) -> Iterator[LoadFiles]:
        """Yield its loads by name; what cannot be read is added to `damage`."""
        for path in sorted(self.folder.glob("loads/*/load.json")):
            try:
                yield LoadFiles(path.parent, read_record(path))
            except Damaged as error:
                damage.append(f"{path.parent.name}: {error}")
