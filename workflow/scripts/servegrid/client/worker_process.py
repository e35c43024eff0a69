"""A worker process: reads its job from standard input, prints `ready`, waits for `start <time>`, and writes its records to a file.

It stops on `stop`, or at the end of standard input: then the parent is gone.
"""

import os
import pickle
import sys
from pathlib import Path
from time import monotonic
from typing import Any

from servegrid.client.driver import Begin
from servegrid.client.job_runners import job_runner
from servegrid.client.loop import READ, Loop
from servegrid.client.run import PROGRESS_EVERY_S, STOP_REASON, make_records
from servegrid.client.stream_client import Job, LoadCounts, gc_paused
from servegrid.protocols.base import Protocol


class ParentPipe:
    """Pipes to and from the parent."""

    def __init__(self) -> None:
        self._incomplete = b""
        self._begin: Begin | None = None
        self._loop: Loop
        self._stopped = False
        self._next_s = 0.0

    def read_job(self) -> tuple[Job, Protocol, Path]:
        """Read the job, the protocol, and the path of the result."""
        size = int.from_bytes(sys.stdin.buffer.read(8), "big")
        task: Any = pickle.loads(sys.stdin.buffer.read(size))
        return task[0], task[1], task[2]

    def start(self, loop: Loop, begin: Begin) -> None:
        """Send `ready` and wait for the time to begin."""
        self._loop, self._begin = loop, begin
        loop.watch(0, READ, self._receive)
        self.send("ready")

    def _receive(self, _mask: int) -> None:
        received = os.read(0, 4096)
        *lines, self._incomplete = (self._incomplete + received).split(b"\n")
        self._stopped |= not received or b"stop" in lines
        if not received:
            self._loop.unwatch(0)
        for line in lines:
            if line.startswith(b"start ") and self._begin:
                self._begin(float(line[6:]))
                self._begin = None

    def watch(self, counts: LoadCounts) -> str | None:
        """Report the counts; return the reason to stop if the parent wants so."""
        now = monotonic()
        if now >= self._next_s:
            self._next_s = now + PROGRESS_EVERY_S
            self.send(f"counts {counts.sent} {len(counts.exchanges)} {counts.failed}")
        return STOP_REASON if self._stopped else None

    def send(self, line: str) -> None:
        """Send one line to the parent."""
        try:
            os.write(1, line.encode() + b"\n")
        except OSError:
            self._stopped = True


def main() -> None:
    """Run one job."""
    parent = ParentPipe()
    job, protocol, result = parent.read_job()
    with gc_paused():
        job_result = job_runner(job.kind, job.transport)(job, parent.watch, parent.start)
        result.write_bytes(pickle.dumps((make_records(job_result, protocol), job_result.cpu_s), protocol=5))
    parent.send("done")


if __name__ == "__main__":
    main()
