"""A worker process: reads its job from standard input, says `ready`, waits for `start <time>`, and leaves its records in a file.

It stops when told `stop`, or when standard input ends: then the parent is gone.
"""

import os
import pickle
import sys
from pathlib import Path
from time import monotonic
from typing import Any

from servegrid.client.carriers import carrier
from servegrid.client.driver import Begin
from servegrid.client.loop import READ, Loop
from servegrid.client.run import PROGRESS_S, STOPPED, read_all
from servegrid.client.stream_client import Job, Tally, no_collection
from servegrid.protocols.base import Protocol


class Wire:
    """The line to the parent."""

    def __init__(self) -> None:
        self._rest = b""
        self._begin: Begin | None = None
        self._loop: Loop
        self._stopped = False
        self._next_s = 0.0

    def task(self) -> tuple[Job, Protocol, Path]:
        """What to do."""
        size = int.from_bytes(sys.stdin.buffer.read(8), "big")
        task: Any = pickle.loads(sys.stdin.buffer.read(size))
        return task[0], task[1], task[2]

    def start(self, loop: Loop, begin: Begin) -> None:
        """Say `ready` and wait for the time to begin."""
        self._loop, self._begin = loop, begin
        loop.watch(0, READ, self._hear)
        self.say("ready")

    def _hear(self, _mask: int) -> None:
        said = os.read(0, 4096)
        *lines, self._rest = (self._rest + said).split(b"\n")
        self._stopped |= not said or b"stop" in lines
        if not said:
            self._loop.forget(0)
        for line in lines:
            if line.startswith(b"start ") and self._begin:
                self._begin(float(line[6:]))
                self._begin = None

    def watch(self, tally: Tally) -> str | None:
        """Pass on how far it is, and what the parent wants."""
        now = monotonic()
        if now >= self._next_s:
            self._next_s = now + PROGRESS_S
            self.say(f"counts {tally.sent} {len(tally.exchanges)} {tally.failed}")
        return STOPPED if self._stopped else None

    def say(self, line: str) -> None:
        """Tell the parent."""
        try:
            os.write(1, line.encode() + b"\n")
        except OSError:
            self._stopped = True


def main() -> None:
    """Do one job."""
    wire = Wire()
    job, protocol, result = wire.task()
    with no_collection():
        carried = carrier(job.kind, job.transport)(job, wire.watch, wire.start)
        result.write_bytes(pickle.dumps((read_all(carried, protocol), carried.cpu_s), protocol=5))
    wire.say("done")


if __name__ == "__main__":
    main()
