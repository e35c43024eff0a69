"""Run a job with Python threads, for clients that are libraries: which request when, the load's limits, its end.

A `RequestSender` sends one request and fills the exchange's log as the other kinds do.
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
from servegrid.client.pacing import worker_exchanges
from servegrid.client.shape import ClosedLoop, OpenLoop
from servegrid.client.stream_client import Job, JobResult, Start, Watch
from servegrid.records.request import RequestStatus

PAUSE_AFTER_REFUSAL_S = 0.05  # before the next request of a thread that got no connection


class RequestSender(ABC):
    """One connection to the server, used by one thread at a time."""

    @abstractmethod
    def send(self, exchange: Exchange) -> None:
        """Send the request and log the answer; whatever goes wrong ends up as the exchange's fault."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection."""

    @staticmethod
    def finish_log(exchange: Exchange) -> None:
        """Bring the log into its final form; called once for each exchange that is kept."""
        return


def run_job(job: Job, watch: Watch, start: Start, new_sender: Callable[[Job], RequestSender]) -> JobResult:
    """Run a job with one Python thread and one sender per thread of work, or per request in flight where arrivals are planned.

    When broken off, requests that are stuck in the library are recorded as they stand, and their threads are abandoned:
    run this in a process that ends soon.
    """
    loop = Loop()
    crew = _Crew(job, watch, loop, new_sender)
    interruption: BaseException | None = None
    try:
        loop.call_soon(crew.tick)
        start(loop, crew.begin)
        loop.run()
    except BaseException as error:
        interruption = error
        crew.break_off("cancelled", f"the load was broken off ({type(error).__name__})")
    loop.close()
    return JobResult(crew.exchanges, Spool(), crew.cpu_s, interruption)


class _Crew:
    """The threads of a job and the exchanges they have made."""

    def __init__(self, job: Job, watch: Watch, loop: Loop, new_sender: Callable[[Job], RequestSender]) -> None:
        self.exchanges: list[Exchange] = []
        self.sent = self.failed = 0
        self.cpu_s = 0.0
        self._job, self._watch, self._loop, self._new_sender = job, watch, loop, new_sender
        self._queue = worker_exchanges(job.requests, _request_count(job), job.worker, job.workers)
        self._lock = threading.Lock()
        self._in_flight: dict[int, tuple[Exchange, RequestSender]] = {}
        self._idle_senders: list[RequestSender] = []
        self._active_threads = len(self._arrivals_s() or self._threads())
        self._begun_cpu_s = process_time()
        self._ended = False
        self._end_s = self._limit_s = float("inf")

    def _arrivals_s(self) -> list[float]:
        """Planned times of this worker's share, in s; empty in a closed loop."""
        shape = self._job.shape
        return list(shape.arrivals_s[self._job.worker :: self._job.workers]) if isinstance(shape, OpenLoop) else []

    def _threads(self) -> range:
        shape = self._job.shape
        return range(self._job.worker, shape.threads if isinstance(shape, ClosedLoop) else 0, self._job.workers)

    def begin(self, start_s: float) -> None:
        """Start all threads at `start_s` of the monotonic clock."""
        self._begun_cpu_s = process_time()
        self._limit_s = start_s + (self._job.timeouts.load_s or float("inf"))
        if isinstance(self._job.shape, ClosedLoop):
            self._end_s = start_s + (self._job.shape.duration_s or float("inf"))
            threads = [threading.Thread(target=self._run_thread, args=(n,), daemon=True) for n in self._threads()]
            self._loop.call_at(start_s, lambda: _start_all(threads))
        for arrival_s in self._arrivals_s():
            self._loop.call_at(start_s + arrival_s, partial(self._start_planned, start_s + arrival_s))

    def _start_planned(self, planned_s: float) -> None:
        exchange = next(self._queue)
        exchange.planned_s = planned_s
        threading.Thread(target=self._send_planned, args=(exchange,), daemon=True).start()

    def tick(self) -> None:
        """End the load when it is stopped, at its time limit, or when all is done; called every TICK_S."""
        stop_reason = self._watch(self)
        if stop_reason is not None:
            self.break_off("cancelled", stop_reason)
        elif monotonic() >= self._limit_s:
            self.break_off("timeout", f"the load's time limit of {self._job.timeouts.load_s:g} s was over")
        elif not self._active_threads:
            self._finish()
        else:
            self._loop.call_at(monotonic() + TICK_S, self.tick)

    def break_off(self, status: RequestStatus, reason: str) -> None:
        """End the load; requests in flight are recorded with this fault, whatever their threads do afterwards."""
        with self._lock:
            self._ended = True
            for exchange, sender in self._in_flight.values():
                snapshot = replace(exchange, log=list(exchange.log), fault=(status, reason), end_s=monotonic())
                self._keep(snapshot, sender)
        self._finish()

    def _finish(self) -> None:
        self.cpu_s = process_time() - self._begun_cpu_s
        self._loop.stop()

    def _keep(self, exchange: Exchange, sender: RequestSender) -> None:
        sender.finish_log(exchange)
        self.failed += exchange.fault is not None
        self.exchanges.append(exchange)

    # ---- in the threads

    def _run_thread(self, thread: int) -> None:
        sender = self._new_sender(self._job)
        while (exchange := self._next_exchange()) is not None:
            exchange.thread = thread
            self._send(exchange, sender)
            if exchange.sent_s is None and self._end_s < float("inf"):
                sleep(PAUSE_AFTER_REFUSAL_S)
        sender.close()
        with self._lock:
            self._active_threads -= 1

    def _send_planned(self, exchange: Exchange) -> None:
        with self._lock:
            sender = self._idle_senders.pop() if self._idle_senders else None
        sender = sender or self._new_sender(self._job)
        self._send(exchange, sender)
        with self._lock:
            self._idle_senders.append(sender)
            self._active_threads -= 1

    def _next_exchange(self) -> Exchange | None:
        with self._lock:
            return None if self._ended or monotonic() >= self._end_s else next(self._queue, None)

    def _send(self, exchange: Exchange, sender: RequestSender) -> None:
        with self._lock:
            if self._ended:
                return
            self.sent += 1
            self._in_flight[exchange.index] = exchange, sender
        try:
            sender.send(exchange)
        except Exception as error:  # of the library's, not foreseen: the thread goes on
            exchange.fault = ("error", f"{type(error).__name__}: {error}")
        exchange.end_s = exchange.end_s or monotonic()
        with self._lock:
            if not self._ended:
                self._keep(exchange, sender)
            self._in_flight.pop(exchange.index)


def _request_count(job: Job) -> int | None:
    """Requests of the whole load; None: as many as its duration allows."""
    if isinstance(job.shape, OpenLoop):
        return len(job.shape.arrivals_s)
    endless = job.shape.duration_s is not None and job.shape.count is None
    return None if endless else job.shape.count or len(job.requests)


def _start_all(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
