"""The raw records of a session: what is measured, as it lies on disk. Everything else is derived from these.

    <session>/session.json            what ran, where, how it started and ended          (a dict, `FORMAT` says its version)
    <session>/telemetry.parquet       TELEMETRY: one row per sample and device
    <session>/server_metrics.parquet  SERVER_METRICS: one row per sample and series of the server's own /metrics
    <session>/loads/<load>/requests.parquet   REQUESTS: one row per request
    <session>/loads/<load>/texts.parquet      TEXTS: what the model answered, apart because it is large
    <session>/loads/<load>/load.json          window, settings, client cost; written last: its presence means the load ended

All `_s` columns that name an instant are seconds of the host's monotonic clock (`clock.now_s`).
"""

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from servegrid.files import replacing

FORMAT = 1

RequestStatus = Literal["ok", "short", "rejected", "error", "timeout", "disconnected", "malformed", "cancelled"]
"""ok: answered as asked. short: fewer tokens than asked. rejected: 429 or 503. error: any other HTTP or in-stream error.
timeout: no end within the limit. disconnected: refused, reset or closed early. malformed: not HTTP or not the protocol.
cancelled: still in flight when the load was broken off."""

REQUESTS = pa.schema(
    [
        ("request_id", pa.string()),
        ("prompt_id", pa.string()),
        ("thread", pa.int32()),  # which of the N threads of work carried it; null with planned arrivals
        ("planned_s", pa.float64()),  # when it should have been sent; null in a closed loop
        ("sent_s", pa.float64()),  # just before the first byte went to the socket; null if never sent
        ("first_byte_s", pa.float64()),  # first byte of the answer (status line)
        ("first_token_s", pa.float64()),  # first event that carries output; null if none
        ("last_token_s", pa.float64()),  # last event that carries output
        ("end_s", pa.float64()),  # answer complete, or given up
        ("chunk_offsets_s", pa.list_(pa.float64())),  # arrival of every event that carries output, after sent_s
        ("chunk_tokens", pa.list_(pa.int32())),  # output tokens so far at each chunk, where the server says; else null
        ("bytes_received", pa.int64()),
        ("prompt_tokens", pa.int32()),
        ("output_tokens", pa.int32()),
        ("max_tokens", pa.int32()),  # output tokens asked for
        ("tokens_from", pa.string()),  # usage | tokenizer | null
        ("drafted_tokens", pa.int32()),  # speculation, where the server says it per request
        ("accepted_tokens", pa.int32()),
        ("finish_reason", pa.string()),
        ("http_status", pa.int32()),
        ("status", pa.string()),  # RequestStatus
        ("error", pa.string()),
        ("text_sha256", pa.string()),  # of the UTF-8 text, null if there is none
    ]
)
TEXTS = pa.schema([("request_id", pa.string()), ("prompt_id", pa.string()), ("text", pa.string())])

TELEMETRY = pa.schema(
    [
        ("t_s", pa.float64()),
        ("device", pa.string()),  # "host", "server" (the server's process tree) or a GPU's UUID
        ("cpu_percent", pa.float64()),  # of one core: 200 = two cores busy, over the interval before t_s
        ("memory_bytes", pa.int64()),  # host: used; server: sum of RSS over the tree; GPU: used
        ("memory_total_bytes", pa.int64()),  # host and GPU
        ("processes", pa.int32()),  # server only
        ("gpu_percent", pa.float64()),
        ("gpu_memory_percent", pa.float64()),  # share of time the memory was read or written
        ("power_w", pa.float64()),
        ("energy_j", pa.float64()),  # counter since the driver was loaded
        ("sm_clock_mhz", pa.float64()),
        ("memory_clock_mhz", pa.float64()),
        ("temperature_c", pa.float64()),
        ("throttle_reasons", pa.int64()),  # NVML bit mask
        ("pcie_tx_bytes_per_s", pa.float64()),
        ("pcie_rx_bytes_per_s", pa.float64()),
        ("error", pa.string()),  # why this sample of this device has holes
    ]
)
SERVER_METRICS = pa.schema(
    [("t_s", pa.float64()), ("name", pa.string()), ("labels", pa.string()), ("value", pa.float64())]
)


@dataclass(slots=True)
class RequestRecord:
    """One request, as sent and as answered. Fields are the columns of REQUESTS, plus the text."""

    request_id: str
    prompt_id: str
    max_tokens: int
    status: RequestStatus
    thread: int | None = None
    planned_s: float | None = None
    sent_s: float | None = None
    first_byte_s: float | None = None
    first_token_s: float | None = None
    last_token_s: float | None = None
    end_s: float | None = None
    chunk_offsets_s: list[float] = field(default_factory=list)
    chunk_tokens: list[int] | None = None
    bytes_received: int = 0
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    tokens_from: Literal["usage", "tokenizer"] | None = None
    drafted_tokens: int | None = None
    accepted_tokens: int | None = None
    finish_reason: str | None = None
    http_status: int | None = None
    error: str | None = None
    text: str | None = None

    @property
    def text_sha256(self) -> str | None:
        """SHA-256 of the answer's UTF-8 text, in hex."""
        return None if self.text is None else hashlib.sha256(self.text.encode()).hexdigest()


def write_requests(folder: Path, records: Iterable[RequestRecord]) -> None:
    """Write requests.parquet and texts.parquet of one load into `folder`."""
    rows = [asdict(record) | {"text_sha256": record.text_sha256} for record in records]
    write_table(folder / "texts.parquet", pa.Table.from_pylist(rows, schema=TEXTS))
    write_table(folder / "requests.parquet", pa.Table.from_pylist(rows, schema=REQUESTS))


def write_table(path: Path, table: pa.Table) -> None:
    """Write a table as zstd-compressed Parquet, whole or not at all."""
    with replacing(path) as beside:
        pq.write_table(table, beside, compression="zstd")
