"""Client `stream`: run a load, or one worker's share of it, in this process."""

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
    """A load, or a worker's share of it, with all that is needed to run it."""

    endpoint: Endpoint
    address: tuple[str, int]
    requests: Sequence[Request]
    shape: Shape
    timeouts: Timeouts
    answer_limit: Callable[[int], int]  # default largest size of an answer of so many tokens, in bytes
    answer_bytes: int | None = None  # largest size as the user wants it
    worker: int = 0
    workers: int = 1
    kind: Kind = "stream"
    transport: Transport = "http"

    def answer_limit_bytes(self, request: Request) -> int:
        """Largest size of the answer to a request, in bytes."""
        return self.answer_bytes or self.answer_limit(request.max_tokens)


class LoadCounts(Protocol):
    """Counts of a running load."""

    sent: int
    failed: int
    exchanges: list[Exchange]  # those that have ended


@dataclass(slots=True)
class JobResult:
    """Result of a job, with what interrupted it."""

    exchanges: list[Exchange]
    spool: Spool
    cpu_s: float
    interrupted_by: BaseException | None = None


Watch = Callable[[LoadCounts], str | None]
"""Function called every 0.05 s with the counts; a text that it returns ends the load at once, as the reason."""

Start = Callable[[Loop, Begin], None]
"""Function called when all is prepared; it calls back, at once or later, with the instant to begin, in s of the monotonic clock."""


def start_now(_loop: Loop, begin: Begin) -> None:
    """Begin the load now."""
    begin(now_s())


def run_job(job: Job, watch: Watch, start: Start = start_now) -> JobResult:
    """Run the job. An exception from a signal handler ends it at once; it is returned with what was recorded until then."""
    target = Target(job.address, job.endpoint.request_head(), job.endpoint.tls(), job.endpoint.host)
    raise_open_file_limit()
    loop = Loop()
    driver = Driver(
        loop,
        target,
        pacing(job.shape, job.requests, job.worker, job.workers),
        job.timeouts,
        job.answer_limit_bytes,
        watch,
    )
    interruption: BaseException | None = None
    with gc_paused():
        try:
            driver.run(lambda begin: start(loop, begin))
        except BaseException as error:
            interruption = error
            driver.break_off("cancelled", f"the load was broken off ({type(error).__name__})")
    loop.close()
    return JobResult(driver.exchanges, driver.spool, driver.cpu_s, interruption)


@contextmanager
def gc_paused() -> Iterator[None]:
    """Pause garbage collection, which would delay reads by milliseconds, and later scan all records again and again.

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


def raise_open_file_limit() -> None:
    """Raise the limit of open files, thus of connections, as far as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
