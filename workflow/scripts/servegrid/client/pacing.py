"""When which request is sent: by threads of work that wait for their answers, or at planned times."""

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import count, islice
from time import monotonic

from servegrid.client.connection import Connection
from servegrid.client.driver import Driver, Pacing
from servegrid.client.exchange import Exchange, Request
from servegrid.client.shape import ClosedLoop, OpenLoop, Shape

AHEAD_S = 0.25
DIALS = 64
STARTS = 8
_FIRST_PAUSE_S = 0.02
_MAX_PAUSE_S = 1.0


def pacing(shape: Shape, requests: Sequence[Request], worker: int = 0, workers: int = 1) -> Pacing:
    """The part of `worker` (0 … workers-1): every workers-th thread of work, request and arrival."""
    if isinstance(shape, OpenLoop):
        return OpenPacing(shape, requests, worker, workers)
    return ClosedPacing(shape, requests, worker, workers)


def exchanges(requests: Sequence[Request], total: int | None, worker: int, workers: int) -> Iterator[Exchange]:
    """The worker's share of the requests in order; from the first again, under new ids, when there are more to send."""
    for index in islice(count(worker, workers), None if total is None else len(range(worker, total, workers))):
        turn, at = divmod(index, len(requests))
        request = requests[at]
        yield Exchange(index, f"{request.id}.{turn}" if turn else request.id, request)


class ClosedPacing(Pacing):
    """N threads of work that share one queue."""

    def __init__(self, shape: ClosedLoop, requests: Sequence[Request], worker: int, workers: int) -> None:
        endless = shape.duration_s is not None and shape.count is None
        total = None if endless else shape.count or len(requests)
        self._queue = exchanges(requests, total, worker, workers)
        threads = range(worker, shape.threads, workers)[: len(range(worker, total, workers)) if total else None]
        self._ready: deque[tuple[int, Connection | None]] = deque((thread, None) for thread in threads)
        self._duration_s = shape.duration_s or float("inf")
        self._end_s = float("inf")
        self._working = self._to_dial = self._dialling = len(self._ready)
        self._refused = [0] * shape.threads  # connections in a row that a thread did not get
        self._spare: list[Connection] = []

    def prepare(self, driver: Driver) -> None:
        """Open a connection for every thread, some at a time: a server's queue of new connections is short."""
        self._driver = driver
        for _ in range(min(DIALS, self._to_dial)):
            self._dial()
        if not self._dialling:
            driver.prepared()

    def _dial(self) -> None:
        self._to_dial -= 1
        self._driver.dial(None)

    def _dialled(self) -> None:
        self._dialling -= 1
        if self._to_dial:
            self._dial()
        elif not self._dialling:
            self._driver.prepared()

    def connected(self, connection: Connection) -> None:
        """A thread's first connection."""
        self._spare.append(connection)
        self._dialled()

    def lost(self, connection: Connection | None) -> None:
        """Its first connection could not be made or was closed; its first request will see for itself."""
        if connection is None:
            self._dialled()
        elif connection in self._spare:
            self._spare.remove(connection)
        else:
            self._ready = deque((thread, None if each is connection else each) for thread, each in self._ready)

    def start(self, start_s: float) -> None:
        """Set the threads to work."""
        self._to_dial = 0
        self._end_s = start_s + self._duration_s
        if not self._ready:
            self._driver.finish()
        self._set_some_to_work()

    def _set_some_to_work(self) -> None:
        """A few at a time, so that answers are read in time while other threads begin or go on."""
        for _ in range(min(STARTS, len(self._ready))):
            self._next(*self._ready.popleft())
        if self._ready:
            self._driver.loop.call_soon(self._set_some_to_work)

    def _go_on(self, thread: int, connection: Connection | None) -> None:
        """The thread takes its next request once what is to be read now has been read."""
        self._ready.append((thread, connection))
        if len(self._ready) == 1:
            self._driver.loop.call_soon(self._set_some_to_work)

    def ended(self, exchange: Exchange, connection: Connection | None) -> None:
        """The thread takes the next request; after a connection it did not get, a moment later."""
        thread = exchange.thread
        assert thread is not None
        if exchange.sent_s is not None:
            self._refused[thread] = 0
            self._go_on(thread, connection)
        else:
            self._refused[thread] += 1
            pause_s = _pause_s(self._refused[thread]) if self._end_s < float("inf") else 0.0
            self._driver.loop.call_at(monotonic() + pause_s, lambda: self._next(thread, None))

    def _next(self, thread: int, connection: Connection | None) -> None:
        exchange = next(self._queue, None) if monotonic() < self._end_s else None
        if exchange is not None:
            exchange.thread = thread
            self._driver.dispatch(exchange, connection or (self._spare.pop() if self._spare else None))
            return
        if connection is not None:
            connection.close()
        self._working -= 1
        if not self._working:
            self._driver.finish()

    def stop(self) -> None:
        """Send nothing more."""
        self._end_s = float("-inf")
        for connection in [*self._spare, *(each for _, each in self._ready if each is not None)]:
            connection.close()
        self._spare.clear()
        self._ready.clear()


def _pause_s(refused: int) -> float:
    """Before the next request of a thread that got no connection `refused` times in a row: twice as long each time, to a limit."""
    doublings = min(refused - 1, 10)  # enough for the limit; a float's exponent ends at 1,023
    return min(_MAX_PAUSE_S, _FIRST_PAUSE_S * 2.0**doublings)


class OpenPacing(Pacing):
    """Requests at planned times. Connections are opened a little ahead, so that opening them delays no request."""

    def __init__(self, shape: OpenLoop, requests: Sequence[Request], worker: int, workers: int) -> None:
        self._plan = shape.arrivals_s[worker::workers]
        self._queue = exchanges(requests, len(shape.arrivals_s), worker, workers)
        self._idle: deque[Connection] = deque()
        self._next = 0  # of the plan
        self._ahead = 0  # arrivals for which connections were made ready
        self._dialling = 0
        self._open = 0
        self._times: list[float] = []

    def prepare(self, driver: Driver) -> None:
        """Open connections for the first arrivals."""
        self._driver = driver
        first = sum(arrival < AHEAD_S for arrival in self._plan)
        self._dial(min(first, DIALS))
        if not first:
            driver.prepared()

    def _dial(self, number: int) -> None:
        for _ in range(number):
            self._dialling += 1
            self._driver.dial(None)

    def start(self, start_s: float) -> None:
        """Begin with the plan's first arrival."""
        self._times = [start_s + arrival for arrival in self._plan]
        self._go_on()

    def _go_on(self) -> None:
        """Send what is due, and set the alarm for what comes next."""
        times, now = self._times, monotonic()
        while self._next < len(times) and times[self._next] <= now:
            self._send(times[self._next])
            self._next += 1
        self._make_ready(now)
        if self._next < len(times):
            self._driver.loop.call_at(times[self._next], self._go_on)
        elif not self._open:
            self._driver.finish()

    def _send(self, planned_s: float) -> None:
        exchange = next(self._queue)
        exchange.planned_s = planned_s
        self._open += 1
        self._driver.dispatch(exchange, self._idle.pop() if self._idle else None)

    def _make_ready(self, now: float) -> None:
        times = self._times
        self._ahead = max(self._ahead, self._next)
        while self._ahead < len(times) and times[self._ahead] < now + AHEAD_S:
            self._ahead += 1
        self._dial(self._ahead - self._next - len(self._idle) - self._dialling)

    def connected(self, connection: Connection) -> None:
        """A connection made ahead is ready."""
        self._idle.append(connection)
        self._dialled()

    def _dialled(self) -> None:
        self._dialling -= 1
        if not self._dialling:
            self._driver.prepared()

    def lost(self, connection: Connection | None) -> None:
        """The server closed a connection in waiting, or there was none to be had."""
        if connection is None:
            self._dialled()
        elif connection in self._idle:
            self._idle.remove(connection)

    def ended(self, exchange: Exchange, connection: Connection | None) -> None:
        """Keep the connection for the next."""
        self._open -= 1
        if connection is not None:
            self._idle.append(connection)
        if not self._open and self._next >= len(self._times):
            self._driver.finish()

    def tick(self, now: float) -> None:
        """Have connections ready."""
        self._make_ready(now)

    def stop(self) -> None:
        """Send nothing more."""
        self._next = self._ahead = len(self._times)
        for connection in self._idle:
            connection.close()
        self._idle.clear()
