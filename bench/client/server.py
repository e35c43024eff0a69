"""The reference server for one run, and what it says was true."""

import json
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

Cores = set[int] | None


@dataclass(frozen=True)
class Sent:
    """What the server's log says: when requests came and when chunks went, in s of CLOCK_MONOTONIC."""

    arrivals: dict[str, float]
    firsts: dict[str, float]
    chunks: int
    window_s: float  # from the first request's arrival to the last chunk

    @classmethod
    def read(cls, log: Path) -> Self:
        rows = [line.split(",") for line in log.read_text().splitlines()]
        times = {row[0]: [float(cell) for cell in row[1:]] for row in rows}
        begun, ended = min(row[0] for row in times.values()), max(row[-1] for row in times.values())
        arrivals = {number: row[0] for number, row in times.items()}
        firsts = {number: row[1] for number, row in times.items()}
        return cls(arrivals, firsts, sum(len(row) - 1 for row in times.values()), ended - begun)


class Server:
    """A context manager around reference_server.c; `sent` is there when it has been left."""

    sent: Sent

    def __init__(self, program: Path, folder: Path, chunks: int, gap_ms: float, per_write: int = 1) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._log = folder / "server.csv"
        phase = {"--first-ms": gap_ms, "--phase-ms": gap_ms} if gap_ms else {}
        numbers = {"--port": self.port, "--chunks": chunks, "--gap-ms": gap_ms, "--per-write": per_write, **phase}
        arguments = [str(word) for pair in numbers.items() for word in pair]
        self._command = [str(program), *arguments, "--log", str(self._log)]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.01)
        raise TimeoutError("the reference server does not listen")

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        summary, _ = self._process.communicate()
        self.cpu_s = float(json.loads(summary)["cpu_s"])
        self.sent = Sent.read(self._log)

    @property
    def pid(self) -> int:
        return self._process.pid
