"""Measure what the load client costs on this host, how late it stamps, and how near a load came to its ceiling.

A client spends time per request and time per chunk. Both are measured on a server with scheduled sends (scheduled_server.py), by two
loads without pauses, one of long answers and one of answers of a single chunk. Their costs solve

    cost = requests x request_s + chunks x chunk_s

where cost is the client's CPU seconds, or, for `parallel`, whose processes wait for one another, seconds of wall time. With every
chunk of a load counted so, a load's share of the ceiling is the time the client needs for it over the time it had.
"""

import json
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from servegrid import protocols
from servegrid.client.endpoint import Endpoint
from servegrid.client.exchange import Request
from servegrid.client.run import LoadResult, run
from servegrid.client.shape import ClosedLoop, Kind
from servegrid.protocols.base import GenerationSettings
from servegrid.util.identity import readable_name

SERVER = Path(__file__).resolve().parents[2] / "servers" / "scheduled_server.py"
VERSION = 1  # raise it when the client or the way it is calibrated changes what comes out
PROTOCOL = protocols.get("openai-completions")


@dataclass(frozen=True)
class LoadSizes:
    """Numbers of requests of the three calibration loads, small where a kind is slow, and threads of work."""

    long: int
    short: int
    paced: int
    threads: int = 32


SIZES: Mapping[Kind, LoadSizes] = {
    "stream": LoadSizes(1024, 4096, 256, 64),
    "requests": LoadSizes(128, 512, 64),
    "parallel": LoadSizes(32, 64, 32, 8),
}
LONG_CHUNKS, SHORT_CHUNKS, PACED_CHUNKS = 128, 1, 50  # chunks of their answers
GAP_MS = 20.0


@dataclass(frozen=True)
class Calibration:
    """Cost of one kind of client on one host, in s per request and chunk, and how late it stamps a chunk, in ms."""

    kind: str
    host: str
    request_s: float
    chunk_s: float
    stamp_late_ms_p50: float
    stamp_late_ms_p99: float
    version: int = VERSION

    def ceiling_share(self, requests: int, chunks: int, seconds: float, workers: int = 1) -> float:
        """Share of the client's ceiling that a load of so many requests and chunks in so many seconds took."""
        return (requests * self.request_s + chunks * self.chunk_s) / (seconds * workers)

    @property
    def chunks_per_s(self) -> float:
        """Ceiling of one worker: chunks per second, in answers of LONG_CHUNKS chunks."""
        return LONG_CHUNKS / (self.request_s + LONG_CHUNKS * self.chunk_s)

    @property
    def requests_per_s(self) -> float:
        """Ceiling of one worker: requests of a single chunk per second."""
        return 1 / (self.request_s + self.chunk_s)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a calibration from its file."""
        return cls(**json.loads(path.read_text()))

    @classmethod
    def read_or_none(cls, path: Path) -> Self | None:
        """Read a calibration from its file; None if there is none or it cannot be read."""
        try:
            return cls.read(path)
        except (OSError, ValueError, TypeError):
            return None

    def as_json(self) -> str:
        """Content of its file: JSON."""
        return json.dumps(asdict(self) | {"version": self.version}, indent=1) + "\n"


def calibration_file(kind: str) -> str:
    """Path of a kind's calibration on this host, below resources."""
    return f"calibration/{readable_name(platform.node())}-{kind}-{VERSION}.json"


def calibrate(kind: Kind) -> Calibration:
    """Calibrate this kind of client here; takes some seconds and needs the machine for itself.

    Raises:
        RuntimeError: when requests to the project's own server fail.
    """
    size = SIZES[kind]
    long_s, short_s = (
        _measured_cost_s(kind, size.long, LONG_CHUNKS, size),
        _measured_cost_s(kind, size.short, SHORT_CHUNKS, size),
    )
    counts = np.array([[size.long, size.long * LONG_CHUNKS], [size.short, size.short * SHORT_CHUNKS]], dtype=float)
    request_s, chunk_s = np.linalg.solve(counts, np.array([long_s, short_s]))
    lateness_ms = stamp_lateness_ms(kind, size)
    return Calibration(
        kind,
        platform.node(),
        float(max(request_s, 0.0)),
        float(max(chunk_s, 0.0)),
        float(np.percentile(lateness_ms, 50)),
        float(np.percentile(lateness_ms, 99)),
    )


def _measured_cost_s(kind: Kind, requests: int, chunks: int, size: LoadSizes) -> float:
    """Cost of a load without pauses, in s: wall time of `parallel`, CPU time of other kinds."""
    result, _ = _run_load(kind, requests, chunks, 0.0, size.threads)
    return result.end_s - result.start_s if kind == "parallel" else result.client_cpu_s


def stamp_lateness_ms(kind: Kind, size: LoadSizes) -> "np.typing.NDArray[np.float64]":
    """Stamp of every chunk minus its send time at the server, in ms, over a load of one chunk every GAP_MS per stream."""
    result, sent = _run_load(kind, size.paced, PACED_CHUNKS, GAP_MS, size.threads)
    lateness_s = []
    for record in result.records:
        assert record.sent_s is not None
        stamps = record.sent_s + np.array(record.chunk_offsets_s)
        lateness_s.append(stamps - np.array(sent[record.request_id]))
    return np.concatenate(lateness_s) * 1e3


def _run_load(kind: Kind, requests: int, chunks: int, gap_ms: float, threads: int) -> tuple[LoadResult, dict[str, Any]]:
    """Run a load against the scheduled server; return its result, and the server's send times by request id, in s."""
    body = PROTOCOL.body("calibration", GenerationSettings(max_tokens=chunks))
    requests_to_send = [Request(f"calibrate-{number}", "calibrate", body, chunks) for number in range(requests)]
    with tempfile.TemporaryDirectory(prefix="servegrid-calibrate-") as folder:
        log = Path(folder) / "sent.jsonl"
        options = ["--chunks", str(chunks), "--gap-ms", str(gap_ms), "--log", str(log)]
        pipe = subprocess.PIPE
        with subprocess.Popen([sys.executable, str(SERVER), *options], stdin=pipe, stdout=pipe) as server:
            assert server.stdout is not None
            url = f"http://127.0.0.1:{int(server.stdout.readline())}{PROTOCOL.path}"
            result = run(Endpoint(url), requests_to_send, ClosedLoop(threads), PROTOCOL, kind=kind)
        sent = {line["id"]: line["sent"] for line in map(json.loads, log.read_text().splitlines())}
    failed = [record for record in result.records if record.status != "ok"]
    if failed:
        raise RuntimeError(f"{len(failed)} of {requests} requests failed, first: {failed[0].error}")
    return result, sent
