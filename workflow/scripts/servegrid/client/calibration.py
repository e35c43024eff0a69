"""What the load client costs on this host, how late it stamps, and how near a load came to what it can carry.

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
class Size:
    """Requests of the three loads, small where a kind is slow; threads of work."""

    long: int
    short: int
    paced: int
    threads: int = 32


SIZES: Mapping[Kind, Size] = {
    "stream": Size(1024, 4096, 256, 64),
    "requests": Size(128, 512, 64),
    "parallel": Size(32, 64, 32, 8),
}
LONG, SHORT, PACED = 128, 1, 50  # chunks of their answers
GAP_MS = 20.0


@dataclass(frozen=True)
class Calibration:
    """What one kind of client costs on one host, in s, and how late it stamps a chunk, in ms."""

    kind: str
    host: str
    request_s: float
    chunk_s: float
    stamp_late_ms_p50: float
    stamp_late_ms_p99: float
    version: int = VERSION

    def share(self, requests: int, chunks: int, seconds: float, workers: int = 1) -> float:
        """Share of the ceiling that a load of so many requests and chunks in so many seconds took."""
        return (requests * self.request_s + chunks * self.chunk_s) / (seconds * workers)

    @property
    def chunks_per_s(self) -> float:
        """Ceiling of one worker: chunks per second, in answers of LONG chunks."""
        return LONG / (self.request_s + LONG * self.chunk_s)

    @property
    def requests_per_s(self) -> float:
        """Ceiling of one worker: requests of a single chunk per second."""
        return 1 / (self.request_s + self.chunk_s)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read it back."""
        return cls(**json.loads(path.read_text()))

    @classmethod
    def read_if_there(cls, path: Path) -> Self | None:
        """Read it back; None where there is none, or none that can be read."""
        try:
            return cls.read(path)
        except (OSError, ValueError, TypeError):
            return None

    def as_json(self) -> str:
        """As it lies on disk."""
        return json.dumps(asdict(self) | {"version": self.version}, indent=1) + "\n"


def file_name(kind: str) -> str:
    """Where a kind's calibration on this host lies, below resources."""
    return f"calibration/{readable_name(platform.node())}-{kind}-{VERSION}.json"


def calibrate(kind: Kind) -> Calibration:
    """Measure this kind of client here; takes some seconds and wants the machine for itself.

    Raises:
        RuntimeError: when requests to the project's own server fail.
    """
    size = SIZES[kind]
    long, short = _costs(kind, size.long, LONG, size), _costs(kind, size.short, SHORT, size)
    counts = np.array([[size.long, size.long * LONG], [size.short, size.short * SHORT]], dtype=float)
    request_s, chunk_s = np.linalg.solve(counts, np.array([long, short]))
    late = stamp_lateness_ms(kind, size)
    return Calibration(
        kind,
        platform.node(),
        float(max(request_s, 0.0)),
        float(max(chunk_s, 0.0)),
        float(np.percentile(late, 50)),
        float(np.percentile(late, 99)),
    )


def _costs(kind: Kind, requests: int, chunks: int, size: Size) -> float:
    result, _ = _load(kind, requests, chunks, 0.0, size.threads)
    return result.end_s - result.start_s if kind == "parallel" else result.client_cpu_s


def stamp_lateness_ms(kind: Kind, size: Size) -> "np.typing.NDArray[np.float64]":
    """Stamp of every chunk less the server's send of it, in ms, over a load of one chunk every GAP_MS per stream."""
    result, sent = _load(kind, size.paced, PACED, GAP_MS, size.threads)
    late = []
    for record in result.records:
        assert record.sent_s is not None
        stamps = record.sent_s + np.array(record.chunk_offsets_s)
        late.append(stamps - np.array(sent[record.request_id]))
    return np.concatenate(late) * 1e3


def _load(kind: Kind, requests: int, chunks: int, gap_ms: float, threads: int) -> tuple[LoadResult, dict[str, Any]]:
    """Run a load against the scheduled server: its result, and the server's send times by request id, in s."""
    body = PROTOCOL.body("calibration", GenerationSettings(max_tokens=chunks))
    todo = [Request(f"calibrate-{number}", "calibrate", body, chunks) for number in range(requests)]
    with tempfile.TemporaryDirectory(prefix="servegrid-calibrate-") as folder:
        log = Path(folder) / "sent.jsonl"
        numbers = ["--chunks", str(chunks), "--gap-ms", str(gap_ms), "--log", str(log)]
        pipe = subprocess.PIPE
        with subprocess.Popen([sys.executable, str(SERVER), *numbers], stdin=pipe, stdout=pipe) as server:
            assert server.stdout is not None
            url = f"http://127.0.0.1:{int(server.stdout.readline())}{PROTOCOL.path}"
            result = run(Endpoint(url), todo, ClosedLoop(threads), PROTOCOL, kind=kind)
        sent = {line["id"]: line["sent"] for line in map(json.loads, log.read_text().splitlines())}
    failed = [record for record in result.records if record.status != "ok"]
    if failed:
        raise RuntimeError(f"{len(failed)} of {requests} requests failed, first: {failed[0].error}")
    return result, sent
