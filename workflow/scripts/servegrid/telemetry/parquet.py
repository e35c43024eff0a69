"""Write a Parquet file while its rows are measured; it appears under its name when it is complete."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from servegrid.telemetry.buffer import Row
from servegrid.util.files import replacing


@contextmanager
def streaming_writer(path: Path, schema: pa.Schema) -> Iterator[Callable[[list[Row]], None]]:
    """Yield a function that writes rows to disk at once; on success they are at `path`, on error nothing is.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    with replacing(path) as beside, pq.ParquetWriter(beside, schema, compression="zstd") as writer:

        def write(rows: list[Row]) -> None:
            if rows:
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))

        yield write
