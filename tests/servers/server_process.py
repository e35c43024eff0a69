"""A server started for a test, and what a test asks of it."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from servegrid.host.ports import free_port

SERVERS = Path(__file__).resolve().parents[2] / "workflow" / "scripts" / "servers"


def last_words(stderr: str) -> str:
    """The last line that the program itself wrote: under `-X dev` asyncio adds lines on steps slower than 100 ms."""
    return [line for line in stderr.splitlines() if not line.startswith("Executing <")][-1]


Serve = Callable[..., Any]


@dataclass
class Server:
    """A server process, its address and its log."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def get(self, path: str, **how: Any) -> requests.Response:
        return requests.get(self.url + path, timeout=30, **how)

    def post(self, how: dict[str, Any] | None = None, **body: Any) -> requests.Response:
        return requests.post(self.url + "/v1/completions", json=body, timeout=60, **(how or {}))

    def metric(self, name: str) -> float:
        lines = [line for line in self.get("/metrics").text.splitlines() if line.startswith(name + " ")]
        assert len(lines) == 1, f"{name}: {lines}"
        return float(lines[0].split()[1])

    def until(self, holds: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + 30
        while not holds():
            assert time.monotonic() < deadline, f"not in 30 s: {what}\n{self.log.read_text()}"
            time.sleep(0.02)

    def answers(self, status: int) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.get("/health").status_code == status
        except requests.ConnectionError:
            return False

    def end(self, number: int = signal.SIGTERM) -> int:
        """Sends a signal and gives the exit status."""
        self.process.send_signal(number)
        return self.process.wait(timeout=60)


@contextmanager
def serving(
    folder: Path, command: list[str], *flags: str | Path, ready: int = 200, **environment: str
) -> Iterator[Server]:
    """Starts a server, waits until /health has the status `ready`, and leaves none behind whatever happens."""
    port = free_port()
    log = folder / f"{port}.log"
    arguments = [*command, *map(str, flags), "--host", "127.0.0.1", "--port", str(port)]
    with log.open("wb") as out:
        process = subprocess.Popen(arguments, stdout=out, stderr=out, env=os.environ | environment)
    server = Server(process, f"http://127.0.0.1:{port}", log)
    try:
        server.until(lambda: server.answers(ready), f"/health is {ready}")
        yield server
    finally:
        process.kill()
        process.wait()


def events(response: requests.Response) -> list[str]:
    """The data of a stream's events."""
    assert response.status_code == 200, response.text
    lines = response.content.decode().split("\n\n")
    assert lines.pop() == ""
    assert all(line.startswith("data: ") for line in lines), lines
    return [line.removeprefix("data: ") for line in lines]
