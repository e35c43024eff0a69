"""Records, read back: what is missing or damaged is said in one way, whoever reads it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from servegrid.util.text import clip, plain

if TYPE_CHECKING:
    import pyarrow as pa

_MAX_ERROR_CHARACTERS = 80


class Damaged(ValueError):
    """A record is not there or cannot be read; the text says which and why."""


def read_record(path: Path) -> dict[str, Any]:
    """Read the JSON object in a file.

    Raises:
        Damaged: there is no such file, or it holds something else.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from None
    if not isinstance(record, dict):
        raise _damaged(path, "no JSON object")
    return record


def read_start(path: Path) -> str:
    """Read the first MiB of a text, as of a log; empty if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(2**20).decode("utf-8", "replace")
    except OSError:
        return ""


def read_table(path: Path, columns: Sequence[str] | None = None, later: "pa.Schema | None" = None) -> "pa.Table":
    """Read a Parquet file, or some of its columns. Small files by the hundred: without the overhead of Arrow's data sets.

    `later`: columns that files of earlier versions lack; they are null there.

    Raises:
        Damaged: there is no such file, it is no Parquet file, or it lacks a column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = list(columns or file.schema_arrow.names)
            table = file.read(columns=[*names, *(later.names if later else ())], use_threads=False)
        for added in later or ():
            if added.name not in table.column_names:
                table = table.append_column(added, pa.nulls(len(table), added.type))
        return table.select([*names, *(later.names if later else ())])
    except (pa.ArrowException, OSError, KeyError) as error:
        raise _damaged(path, error) from None


def damage(path: Path) -> str | None:
    """Why a Parquet file cannot be read, by its footer alone; None if it can."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        pq.ParquetFile(path).close()
    except (pa.ArrowException, OSError) as error:
        return str(_damaged(path, error))
    return None


def _damaged(path: Path, error: object) -> Damaged:
    if isinstance(error, FileNotFoundError):
        return Damaged(f"there is no {path.name}")
    return Damaged(f"{path.name} cannot be read ({clip(plain(str(error)), _MAX_ERROR_CHARACTERS)})")
