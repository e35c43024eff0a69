"""Decide when which request is sent: by threads of work that wait for their answers, or at planned times."""

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import count, islice
from time import monotonic

from servegrid.client.connection import Connection
from servegrid.client.driver import Driver, Pacing
from servegrid.client.exchange import Exchange, Request
from servegrid.client.shape import ClosedLoop, OpenLoop, Shape

DIAL_AHEAD_S = 0.25
MAX_DIALS = 64
STARTS_AT_ONCE = 8
_FIRST_PAUSE_S = 0.02
_MAX_PAUSE_S = 1.0


def pacing(shape: Shape, requests: Sequence[Request], worker: int = 0, workers: int = 1) -> Pacing:
    """Pacing of the share of `worker` (0 … workers-1): every workers-th thread of work, request and arrival."""
    if isinstance(shape, OpenLoop):
        return OpenPacing(shape, requests, worker, workers)
    return ClosedPacing(shape, requests, worker, workers)


def worker_exchanges(requests: Sequence[Request], total: int | None, worker: int, workers: int) -> Iterator[Exchange]:
    """Yield the worker's share of the requests in order; from the first again, under new ids, when there are more to send."""
    for index in islice(count(worker, workers), None if total is None else len(range(worker, total, workers))):
        round_number, request_index = divmod(index, len(requests))
        request = requests[request_index]
        yield Exchange(index, f"{request.id}.{round_number}" if round_number else request.id, request)


class ClosedPacing(Pacing):
    """Paces a closed loop: N threads of work that share one queue."""

    def __init__(self, shape: ClosedLoop, requests: Sequence[Request], worker: int, workers: int) -> None:
        endless = shape.duration_s is not None and shape.count is None
        total = None if endless else shape.count or len(requests)
        self._queue = worker_exchanges(requests, total, worker, workers)
        threads = range(worker, shape.threads, workers)[: len(range(worker, total, workers)) if total else None]
        self._ready: deque[tuple[int, Connection | None]] = deque((thread, None) for thread in threads)
        self._duration_s = shape.duration_s or float("inf")
        self._end_s = float("inf")
        self._active_threads = self._to_dial = self._dialling = len(self._ready)
        self._failed_connects = [0] * shape.threads  # failed connections of each thread in a row
        self._spare: list[Connection] = []

    def prepare(self, driver: Driver) -> None:
        """Open a connection for every thread, some at a time: a server's queue of new connections is short."""
        self._driver = driver
        for _ in range(min(MAX_DIALS, self._to_dial)):
            self._dial()
        if not self._dialling:
            driver.prepared()

    def _dial(self) -> None:
        self._to_dial -= 1
        self._driver.dial(None)

    def _count_dialled(self) -> None:
        self._dialling -= 1
        if self._to_dial:
            self._dial()
        elif not self._dialling:
            self._driver.prepared()

    def connected(self, connection: Connection) -> None:
        """Keep the first connection of a thread."""
        self._spare.append(connection)
        self._count_dialled()

    def lost(self, connection: Connection | None) -> None:
        """Forget a first connection that could not be made or was closed; the thread's first request dials again."""
        if connection is None:
            self._count_dialled()
        elif connection in self._spare:
            self._spare.remove(connection)
        else:
            self._ready = deque((thread, None if kept is connection else kept) for thread, kept in self._ready)

    def start(self, start_s: float) -> None:
        """Start the threads of work."""
        self._to_dial = 0
        self._end_s = start_s + self._duration_s
        if not self._ready:
            self._driver.finish()
        self._start_some_threads()

    def _start_some_threads(self) -> None:
        """Let a few threads send at a time, so that answers are read in time meanwhile."""
        for _ in range(min(STARTS_AT_ONCE, len(self._ready))):
            self._send_next(*self._ready.popleft())
        if self._ready:
            self._driver.loop.call_soon(self._start_some_threads)

    def _queue_thread(self, thread: int, connection: Connection | None) -> None:
        """Queue the thread for its next request, after what is ready to be read has been read."""
        self._ready.append((thread, connection))
        if len(self._ready) == 1:
            self._driver.loop.call_soon(self._start_some_threads)

    def ended(self, exchange: Exchange, connection: Connection | None) -> None:
        """Let the thread send its next request; after a failed connection, a moment later."""
        thread = exchange.thread
        assert thread is not None
        if exchange.sent_s is not None:
            self._failed_connects[thread] = 0
            self._queue_thread(thread, connection)
        else:
            self._failed_connects[thread] += 1
            pause_s = _pause_s(self._failed_connects[thread]) if self._end_s < float("inf") else 0.0
            self._driver.loop.call_at(monotonic() + pause_s, lambda: self._send_next(thread, None))

    def _send_next(self, thread: int, connection: Connection | None) -> None:
        exchange = next(self._queue, None) if monotonic() < self._end_s else None
        if exchange is not None:
            exchange.thread = thread
            self._driver.dispatch(exchange, connection or (self._spare.pop() if self._spare else None))
            return
        if connection is not None:
            connection.close()
        self._active_threads -= 1
        if not self._active_threads:
            self._driver.finish()

    def stop(self) -> None:
        """Send nothing more, and close connections without a request."""
        self._end_s = float("-inf")
        for connection in [*self._spare, *(kept for _, kept in self._ready if kept is not None)]:
            connection.close()
        self._spare.clear()
        self._ready.clear()


def _pause_s(failures: int) -> float:
    """Pause in s after `failures` failed connections in a row of a thread: twice as long each time, up to a limit."""
    doublings = min(failures - 1, 10)  # enough for the limit; a float's exponent ends at 1,023
    return min(_MAX_PAUSE_S, _FIRST_PAUSE_S * 2.0**doublings)


class OpenPacing(Pacing):
    """Paces planned arrivals. Connections are opened a little ahead, so that opening them delays no request."""

    def __init__(self, shape: OpenLoop, requests: Sequence[Request], worker: int, workers: int) -> None:
        self._plan = shape.arrivals_s[worker::workers]
        self._queue = worker_exchanges(requests, len(shape.arrivals_s), worker, workers)
        self._idle: deque[Connection] = deque()
        self._next_index = 0  # of the next arrival in the plan
        self._dialled_index = 0  # of the first arrival without a connection made ready
        self._dialling = 0
        self._in_flight = 0
        self._times_s: list[float] = []

    def prepare(self, driver: Driver) -> None:
        """Open connections for the first arrivals."""
        self._driver = driver
        first = sum(arrival < DIAL_AHEAD_S for arrival in self._plan)
        self._dial(min(first, MAX_DIALS))
        if not first:
            driver.prepared()

    def _dial(self, number: int) -> None:
        for _ in range(number):
            self._dialling += 1
            self._driver.dial(None)

    def start(self, start_s: float) -> None:
        """Start with the plan's first arrival."""
        self._times_s = [start_s + arrival for arrival in self._plan]
        self._send_due()

    def _send_due(self) -> None:
        """Send what is due, and set a timer for the next arrival."""
        times, now = self._times_s, monotonic()
        while self._next_index < len(times) and times[self._next_index] <= now:
            self._send(times[self._next_index])
            self._next_index += 1
        self._dial_ahead(now)
        if self._next_index < len(times):
            self._driver.loop.call_at(times[self._next_index], self._send_due)
        elif not self._in_flight:
            self._driver.finish()

    def _send(self, planned_s: float) -> None:
        exchange = next(self._queue)
        exchange.planned_s = planned_s
        self._in_flight += 1
        self._driver.dispatch(exchange, self._idle.pop() if self._idle else None)

    def _dial_ahead(self, now: float) -> None:
        times = self._times_s
        self._dialled_index = max(self._dialled_index, self._next_index)
        while self._dialled_index < len(times) and times[self._dialled_index] < now + DIAL_AHEAD_S:
            self._dialled_index += 1
        self._dial(self._dialled_index - self._next_index - len(self._idle) - self._dialling)

    def connected(self, connection: Connection) -> None:
        """Keep a connection that was dialled ahead."""
        self._idle.append(connection)
        self._count_dialled()

    def _count_dialled(self) -> None:
        self._dialling -= 1
        if not self._dialling:
            self._driver.prepared()

    def lost(self, connection: Connection | None) -> None:
        """Forget an idle connection that the server closed, or a dial that failed."""
        if connection is None:
            self._count_dialled()
        elif connection in self._idle:
            self._idle.remove(connection)

    def ended(self, exchange: Exchange, connection: Connection | None) -> None:
        """Keep the connection for the next request; end the load after the last."""
        self._in_flight -= 1
        if connection is not None:
            self._idle.append(connection)
        if not self._in_flight and self._next_index >= len(self._times_s):
            self._driver.finish()

    def tick(self, now: float) -> None:
        """Dial connections ahead of the next arrivals."""
        self._dial_ahead(now)

    def stop(self) -> None:
        """Send nothing more, and close idle connections."""
        self._next_index = self._dialled_index = len(self._times_s)
        for connection in self._idle:
            connection.close()
        self._idle.clear()
