"""A crew of Python threads that carry requests, for clients that are libraries: which request when, the load's limits, its end.

How one request is carried is the part of a `Caller`; it fills the exchange's log as the other kinds do.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from time import monotonic, process_time, sleep

from servegrid.client.driver import TICK_S
from servegrid.client.exchange import Exchange, Spool
from servegrid.client.loop import Loop
from servegrid.client.pacing import exchanges
from servegrid.client.shape import ClosedLoop, OpenLoop
from servegrid.client.stream_client import Carried, Job, Start, Watch
from servegrid.records.request import RequestStatus

REFUSED_S = 0.05  # before the next request of a thread that got no connection


class Caller(ABC):
    """One connection to the server, used by one thread at a time."""

    @abstractmethod
    def carry(self, exchange: Exchange) -> None:
        """Send the request and log the answer; whatever goes wrong ends up as the exchange's fault."""

    @abstractmethod
    def close(self) -> None:
        """Give the connection back."""

    @staticmethod
    def seal(exchange: Exchange) -> None:
        """Put the log into its last form; called once for each exchange that is kept."""
        return


def carry_out(job: Job, watch: Watch, start: Start, caller: Callable[[Job], Caller]) -> Carried:
    """Carry a job out with one Python thread and one caller per thread of work, or per request in flight where arrivals are planned.

    When broken off, requests that are stuck in the library are recorded as they stand, and their threads left to themselves:
    to be run in a process that ends soon.
    """
    loop = Loop()
    crew = _Crew(job, watch, loop, caller)
    interruption: BaseException | None = None
    try:
        loop.call_soon(crew.tick)
        start(loop, crew.begin)
        loop.run()
    except BaseException as error:
        interruption = error
        crew.break_off("cancelled", f"the load was broken off ({type(error).__name__})")
    loop.close()
    return Carried(crew.exchanges, Spool(), crew.cpu_s, interruption)


class _Crew:
    """The threads and what they have done."""

    def __init__(self, job: Job, watch: Watch, loop: Loop, caller: Callable[[Job], Caller]) -> None:
        self.exchanges: list[Exchange] = []
        self.sent = self.failed = 0
        self.cpu_s = 0.0
        self._job, self._watch, self._loop, self._caller = job, watch, loop, caller
        self._queue = exchanges(job.requests, _total(job), job.worker, job.workers)
        self._lock = threading.Lock()
        self._busy: dict[int, tuple[Exchange, Caller]] = {}
        self._idle: list[Caller] = []
        self._working = len(self._arrivals_s() or self._threads())
        self._begun_cpu_s = process_time()
        self._over = False
        self._end_s = self._limit_s = float("inf")

    def _arrivals_s(self) -> list[float]:
        """The share of the plan; empty in a closed loop."""
        shape = self._job.shape
        return list(shape.arrivals_s[self._job.worker :: self._job.workers]) if isinstance(shape, OpenLoop) else []

    def _threads(self) -> range:
        shape = self._job.shape
        return range(self._job.worker, shape.threads if isinstance(shape, ClosedLoop) else 0, self._job.workers)

    def begin(self, start_s: float) -> None:
        """Set all to work at `start_s` of the monotonic clock."""
        self._begun_cpu_s = process_time()
        self._limit_s = start_s + (self._job.timeouts.load_s or float("inf"))
        if isinstance(self._job.shape, ClosedLoop):
            self._end_s = start_s + (self._job.shape.duration_s or float("inf"))
            threads = [threading.Thread(target=self._work, args=(n,), daemon=True) for n in self._threads()]
            self._loop.call_at(start_s, lambda: _start(threads))
        for arrival_s in self._arrivals_s():
            self._loop.call_at(start_s + arrival_s, partial(self._arrive, start_s + arrival_s))

    def _arrive(self, planned_s: float) -> None:
        exchange = next(self._queue)
        exchange.planned_s = planned_s
        threading.Thread(target=self._carry_alone, args=(exchange,), daemon=True).start()

    def tick(self) -> None:
        """Look after the load's limits."""
        words = self._watch(self)
        if words is not None:
            self.break_off("cancelled", words)
        elif monotonic() >= self._limit_s:
            self.break_off("timeout", f"the load's time limit of {self._job.timeouts.load_s:g} s was over")
        elif not self._working:
            self._finish()
        else:
            self._loop.call_at(monotonic() + TICK_S, self.tick)

    def break_off(self, status: RequestStatus, words: str) -> None:
        """Record what is in flight as it stands; nothing that its thread does afterwards counts."""
        with self._lock:
            self._over = True
            for exchange, caller in self._busy.values():
                cut = replace(exchange, log=list(exchange.log), fault=(status, words), end_s=monotonic())
                self._keep(cut, caller)
        self._finish()

    def _finish(self) -> None:
        self.cpu_s = process_time() - self._begun_cpu_s
        self._loop.stop()

    def _keep(self, exchange: Exchange, caller: Caller) -> None:
        caller.seal(exchange)
        self.failed += exchange.fault is not None
        self.exchanges.append(exchange)

    # ---- in the threads

    def _work(self, thread: int) -> None:
        caller = self._caller(self._job)
        while (exchange := self._next()) is not None:
            exchange.thread = thread
            self._carry(exchange, caller)
            if exchange.sent_s is None and self._end_s < float("inf"):
                sleep(REFUSED_S)
        caller.close()
        with self._lock:
            self._working -= 1

    def _carry_alone(self, exchange: Exchange) -> None:
        with self._lock:
            caller = self._idle.pop() if self._idle else None
        caller = caller or self._caller(self._job)
        self._carry(exchange, caller)
        with self._lock:
            self._idle.append(caller)
            self._working -= 1

    def _next(self) -> Exchange | None:
        with self._lock:
            return None if self._over or monotonic() >= self._end_s else next(self._queue, None)

    def _carry(self, exchange: Exchange, caller: Caller) -> None:
        with self._lock:
            if self._over:
                return
            self.sent += 1
            self._busy[exchange.index] = exchange, caller
        try:
            caller.carry(exchange)
        except Exception as error:  # of the library's, not foreseen: the thread goes on
            exchange.fault = ("error", f"{type(error).__name__}: {error}")
        exchange.end_s = exchange.end_s or monotonic()
        with self._lock:
            if not self._over:
                self._keep(exchange, caller)
            self._busy.pop(exchange.index)


def _total(job: Job) -> int | None:
    """Requests of the whole load; None: as many as its duration allows."""
    if isinstance(job.shape, OpenLoop):
        return len(job.shape.arrivals_s)
    endless = job.shape.duration_s is not None and job.shape.count is None
    return None if endless else job.shape.count or len(job.requests)


def _start(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
