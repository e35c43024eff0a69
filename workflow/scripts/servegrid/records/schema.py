"""Schemas of a session's raw records on disk. Everything else is derived from these.

    <session>/session.json            what ran, where, how it started and ended          (a dict, `FORMAT` says its version)
    <session>/telemetry.parquet       TELEMETRY: one row per sample and device
    <session>/server_metrics.parquet  SERVER_METRICS: one row per sample and series of the server's own /metrics
    <session>/loads/<load>/requests.parquet   REQUESTS: one row per request
    <session>/loads/<load>/texts.parquet      TEXTS: what the model answered, apart because it is large
    <session>/loads/<load>/load.json          window, settings, client cost; written last: its presence means the load ended

All `_s` columns that name an instant are seconds of the host's monotonic clock (`clock.now_s`).
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from servegrid.records.request import RequestRecord as RequestRecord
from servegrid.records.request import RequestStatus as RequestStatus
from servegrid.util.files import replacing

FORMAT = 1

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
        ("late_chunks", pa.int32()),  # read late, or perhaps so, with the one before
        ("bytes_received", pa.int64()),
        ("prompt_tokens", pa.int32()),
        ("cached_tokens", pa.int32()),  # of the prompt's tokens those that the server says it had cached
        (
            "own_tokens",
            pa.int32(),
        ),  # and those, at least, that no other prompt of the load begins with; null without hits
        ("output_tokens", pa.int32()),
        ("max_tokens", pa.int32()),  # output tokens asked for
        ("tokens_from", pa.string()),  # usage | tokenizer | null
        (
            "hidden_tokens",
            pa.int32(),
        ),  # of these the ones that never arrive: reasoning that the server keeps; null if unsaid
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
        ("device", pa.string()),  # "host", "server" (the server's process tree), a GPU's UUID, or an NPU's device
        ("cpu_percent", pa.float64()),  # of one core: 200 = two cores busy, since the row before; null in the first
        ("memory_bytes", pa.int64()),  # host: total less available; server: sum of RSS over the tree; GPU: used
        ("memory_total_bytes", pa.int64()),  # host and GPU
        ("processes", pa.int32()),  # server only
        ("gpu_percent", pa.float64()),
        ("gpu_memory_percent", pa.float64()),  # share of time the memory was read or written
        ("power_w", pa.float64()),
        ("energy_j", pa.float64()),  # counter since the driver was loaded; of an NPU: power integrated
        ("sm_clock_mhz", pa.float64()),
        ("memory_clock_mhz", pa.float64()),
        ("temperature_c", pa.float64()),
        ("throttle_reasons", pa.int64()),  # NVML bit mask
        ("pstate", pa.string()),  # of an NPU
        ("pcie_tx_bytes_per_s", pa.float64()),  # GPU to host; mean since the row before, or of 20 ms
        ("pcie_rx_bytes_per_s", pa.float64()),
        ("error", pa.string()),  # why this sample of this device has holes
    ]
)
SERVER_METRICS = pa.schema(
    [("t_s", pa.float64()), ("name", pa.string()), ("labels", pa.string()), ("value", pa.float64())]
)


def write_requests(folder: Path, records: Iterable[RequestRecord]) -> None:
    """Write requests.parquet and texts.parquet of one load into `folder`."""
    record_list = list(records)
    write_table(folder / "texts.parquet", requests_table(record_list, TEXTS))
    write_table(folder / "requests.parquet", requests_table(record_list, REQUESTS))


def requests_table(records: Sequence[RequestRecord], schema: pa.Schema = REQUESTS) -> pa.Table:
    """Table of these records with the columns of `schema`."""
    return pa.table({name: [getattr(record, name) for record in records] for name in schema.names}, schema=schema)


def write_table(path: Path, table: pa.Table) -> None:
    """Write a table as zstd-compressed Parquet, whole or not at all."""
    with replacing(path) as beside:
        pq.write_table(table, beside, compression="zstd")
