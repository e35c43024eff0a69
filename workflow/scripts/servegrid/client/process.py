"""A load, or one worker's share of it, carried out in this process."""

import asyncio
import gc
import resource
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import uvloop

from servegrid.client.driver import Driver, Target, broken_off_by
from servegrid.client.endpoint import Endpoint
from servegrid.client.exchange import Exchange, Request, Spool
from servegrid.client.pacing import pacing
from servegrid.client.shape import Shape, Timeouts
from servegrid.clock import now_s


@dataclass(frozen=True, slots=True)
class Job:
    """All that a worker has to know."""

    endpoint: Endpoint
    address: tuple[str, int]
    requests: Sequence[Request]
    shape: Shape
    timeouts: Timeouts
    answer_bytes: int | None = None
    worker: int = 0
    workers: int = 1


@dataclass(slots=True)
class Carried:
    """What came of it."""

    exchanges: list[Exchange]
    spool: Spool
    cpu_s: float
    interrupted_by: BaseException | None = None


Watch = Callable[[Driver], str | None]
"""Called every 0.05 s; words end the load at once."""


Start = Callable[[], Awaitable[float]]
"""Awaited when all is prepared; gives the instant to begin, in s of the monotonic clock."""


async def at_once() -> float:
    """Begin now."""
    return now_s()


def carry_out(job: Job, watch: Watch, start: Start = at_once) -> Carried:
    """Carry the job out. An exception from a signal handler ends it at once; what was recorded until then is kept, and the
    exception handed back.
    """
    target = Target(job.address, job.endpoint.head(), job.endpoint.tls(), job.endpoint.host)
    pace = pacing(job.shape, job.requests, job.worker, job.workers)
    driver = Driver(target, pace, job.timeouts, job.answer_bytes, lambda: watch(driver))
    allow_many_files()
    loop = uvloop.new_event_loop()
    try:
        with _no_collection():
            interruption = _run(loop, driver, start)
    finally:
        _close(loop)
    return Carried(driver.exchanges, driver.spool, driver.cpu_s, interruption)


def _run(loop: asyncio.AbstractEventLoop, driver: Driver, start: Start) -> BaseException | None:
    task = loop.create_task(driver.run(start))
    try:
        loop.run_until_complete(task)
    except BaseException as error:
        if task.done():
            raise
        driver.break_off("cancelled", broken_off_by(error))
        loop.run_until_complete(task)
        return error
    return driver.failure


def _close(loop: asyncio.AbstractEventLoop) -> None:
    """Let closed connections finish closing, then close the loop."""

    async def settle() -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _ in range(3):
            await asyncio.sleep(0)

    loop.run_until_complete(settle())
    loop.close()


@contextmanager
def _no_collection() -> Iterator[None]:
    """No garbage collection: it would stop the clock's reading for milliseconds, and a load leaves no cycles to collect."""
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
