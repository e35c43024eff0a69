"""A worker process: reads its job from standard input, says `ready`, waits for `start <time>`, and leaves its records in a file.

It stops when told `stop`, or when standard input ends: then the parent is gone.
"""

import asyncio
import os
import pickle
import sys
from pathlib import Path
from time import monotonic
from typing import Any

from servegrid.client.driver import Driver
from servegrid.client.load import PROGRESS_S, STOPPED, read_all
from servegrid.client.process import Job, carry_out
from servegrid.protocols.base import Protocol


class Wire:
    """The line to the parent."""

    def __init__(self) -> None:
        self._rest = b""
        self._started: asyncio.Future[float] | None = None
        self._stopped = False
        self._next_s = 0.0

    def task(self) -> tuple[Job, Protocol, Path]:
        """What to do."""
        size = int.from_bytes(sys.stdin.buffer.read(8), "big")
        task: Any = pickle.loads(sys.stdin.buffer.read(size))
        return task[0], task[1], task[2]

    async def start(self) -> float:
        """Say `ready` and wait for the time to begin."""
        loop = asyncio.get_running_loop()
        self._started = loop.create_future()
        loop.add_reader(0, self._hear)
        self.say("ready")
        return await self._started

    def _hear(self) -> None:
        said = os.read(0, 4096)
        *lines, self._rest = (self._rest + said).split(b"\n")
        self._stopped |= not said or b"stop" in lines
        if not said:
            asyncio.get_running_loop().remove_reader(0)
        for line in lines:
            if line.startswith(b"start ") and self._started and not self._started.done():
                self._started.set_result(float(line[6:]))

    def watch(self, driver: Driver) -> str | None:
        """Pass on how far it is, and what the parent wants."""
        now = monotonic()
        if now >= self._next_s:
            self._next_s = now + PROGRESS_S
            self.say(f"counts {driver.sent} {len(driver.exchanges)} {driver.failed}")
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
    carried = carry_out(job, wire.watch, wire.start)
    result.write_bytes(pickle.dumps((read_all(carried, protocol), carried.cpu_s), protocol=5))
    wire.say("done")


if __name__ == "__main__":
    main()
