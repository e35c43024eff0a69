"""A load, or one worker's share of it, carried out in this process."""

import gc
import resource
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from servegrid.client.driver import Begin, Driver, Target
from servegrid.client.endpoint import Endpoint
from servegrid.client.exchange import Exchange, Request, Spool
from servegrid.client.loop import Loop
from servegrid.client.pacing import pacing
from servegrid.client.shape import Kind, Shape, Timeouts
from servegrid.protocols.base import Transport
from servegrid.util.clock import now_s


@dataclass(frozen=True, slots=True)
class Job:
    """All that a worker has to know."""

    endpoint: Endpoint
    address: tuple[str, int]
    requests: Sequence[Request]
    shape: Shape
    timeouts: Timeouts
    answer_limit: Callable[[int], int]  # bytes that an answer of so many tokens may have,
    answer_bytes: int | None = None  # unless the user says how many
    worker: int = 0
    workers: int = 1
    kind: Kind = "stream"
    transport: Transport = "http"

    def room(self, request: Request) -> int:
        """Bytes that the answer to a request may have."""
        return self.answer_bytes or self.answer_limit(request.max_tokens)


class Tally(Protocol):
    """How far a load is."""

    sent: int
    failed: int
    exchanges: list[Exchange]  # those that have ended


@dataclass(slots=True)
class Carried:
    """What came of it."""

    exchanges: list[Exchange]
    spool: Spool
    cpu_s: float
    interrupted_by: BaseException | None = None


Watch = Callable[[Tally], str | None]
"""Called every 0.05 s; words end the load at once."""

Start = Callable[[Loop, Begin], None]
"""Called when all is prepared; it calls back, at once or later, with the instant to begin, in s of the monotonic clock."""


def at_once(_loop: Loop, begin: Begin) -> None:
    """Begin now."""
    begin(now_s())


def carry_out(job: Job, watch: Watch, start: Start = at_once) -> Carried:
    """Carry the job out. An exception from a signal handler ends it at once; what was recorded until then is kept, and the
    exception handed back.
    """
    target = Target(job.address, job.endpoint.head(), job.endpoint.tls(), job.endpoint.host)
    allow_many_files()
    loop = Loop()
    driver = Driver(
        loop, target, pacing(job.shape, job.requests, job.worker, job.workers), job.timeouts, job.room, watch
    )
    interruption: BaseException | None = None
    with no_collection():
        try:
            driver.run(lambda begin: start(loop, begin))
        except BaseException as error:
            interruption = error
            driver.break_off("cancelled", f"the load was broken off ({type(error).__name__})")
    loop.close()
    return Carried(driver.exchanges, driver.spool, driver.cpu_s, interruption)


@contextmanager
def no_collection() -> Iterator[None]:
    """No garbage collection: it would hold up reading for milliseconds, and afterwards go through all records again and again.
    A load leaves few cycles to collect.
    """
    was_enabled = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if was_enabled:
            gc.enable()


def allow_many_files() -> None:
    """Raise the limit of open files, thus of connections, as far as the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
