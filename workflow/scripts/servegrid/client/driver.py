"""Send requests over connections and keep what comes back; the pacing decides when which request is sent."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, Optional

from servegrid.client.connection import Connection, TlsError, error_text
from servegrid.client.exchange import Exchange, Request, Spool
from servegrid.client.kernel_stamps import HAS_STAMPS, wall_clock_lead
from servegrid.client.loop import Loop
from servegrid.client.shape import Timeouts
from servegrid.records.request import RequestStatus

if TYPE_CHECKING:
    import ssl

TICK_S = 0.05
MAX_PAUSE_S = 0.003
PAUSE_WITHOUT_STAMPS_S = 0.0005
"""Where the time of the read is the stamp: late by a quarter of a millisecond on average."""
PREPARE_LIMIT_S = 1.0  # longest wait for first connections: a server that is slow to accept is measured, not waited for

Begin = Callable[[float], None]
"""Starts a load at this time of the monotonic clock, in s."""


@dataclass(frozen=True, slots=True)
class Target:
    """A resolved endpoint: numeric address, request head and TLS settings."""

    address: tuple[str, int]
    head: bytes  # the request up to the value of x-request-id
    tls: Optional["ssl.SSLContext"]
    host: str

    def request_bytes(self, exchange: Exchange) -> bytes:
        """Bytes of the whole HTTP request."""
        body = exchange.request.body
        return b"%b%b\r\nContent-Length: %d\r\n\r\n%b" % (self.head, exchange.id.encode("ascii"), len(body), body)


class Pacing(ABC):
    """Decides when which request is sent: starts exchanges with `Driver.dispatch`, ends the load with `Driver.finish`."""

    @abstractmethod
    def prepare(self, driver: "Driver") -> None:
        """Dial the first connections; call `driver.prepared` when they are there."""

    @abstractmethod
    def start(self, start_s: float) -> None:
        """Start sending at `start_s` of the monotonic clock."""

    @abstractmethod
    def ended(self, exchange: Exchange, connection: Connection | None) -> None:
        """Handle the end of an exchange; `connection` is its own if that may carry another request."""

    @abstractmethod
    def connected(self, connection: Connection) -> None:
        """Handle a connection that was dialled ahead of its request and is ready."""

    @abstractmethod
    def lost(self, connection: Connection | None) -> None:
        """Handle a connection without a request that was closed or (None) could not be made."""

    def tick(self, now: float) -> None:
        """Do periodic work; called every TICK_S."""
        return

    @abstractmethod
    def stop(self) -> None:
        """Send nothing more, and close connections that wait for requests."""


class Driver:
    """Drives all connections of one process."""

    def __init__(
        self,
        loop: Loop,
        target: Target,
        pacing: Pacing,
        timeouts: Timeouts,
        answer_limit_bytes: Callable[[Request], int],
        watch: Callable[[Any], str | None],
    ) -> None:
        self.loop = loop
        self.timeouts = timeouts
        self.answer_limit_bytes = answer_limit_bytes
        self.spool = Spool()
        self.exchanges: list[Exchange] = []
        self.sent = self.failed = 0
        self.cpu_s = 0.0  # of this process, while the load ran
        self._begun_cpu_s = time.process_time()
        self._begun_s = monotonic()
        self._busy_s = 0.0  # sum of the durations of what has ended
        self.wall_clock_lead = wall_clock_lead()
        self._target = target
        self._pacing = pacing
        self._watch = watch
        self._active: set[Connection] = set()
        self._dials: dict[Connection, Exchange | None] = {}
        self._on_prepared: Callable[[], None] | None = None
        self._load_limit_s = float("inf")
        self._finished = False

    def run(self, start: Callable[[Begin], None]) -> None:
        """Run the load. `start` is called when all is prepared; it calls back with the time to begin (monotonic clock)."""
        self._on_prepared = lambda: start(self._begin)
        self.loop.call_at(monotonic() + TICK_S, self._tick)
        self.loop.call_at(monotonic() + PREPARE_LIMIT_S, self.prepared)
        self._pacing.prepare(self)
        self.loop.run()

    def prepared(self) -> None:
        """Start the load; called when the pacing is ready, or after PREPARE_LIMIT_S."""
        on_prepared, self._on_prepared = self._on_prepared, None
        if on_prepared is not None:
            on_prepared()

    def _begin(self, start_s: float) -> None:
        self._begun_cpu_s, self._begun_s = time.process_time(), start_s
        if self.timeouts.load_s is not None:
            self._load_limit_s = start_s + self.timeouts.load_s
        self.loop.call_at(start_s, lambda: self._pacing.start(start_s))

    def dispatch(self, exchange: Exchange, connection: Connection | None) -> None:
        """Send a request, on a new connection if none is given."""
        if connection is None:
            self.dial(exchange)
            return
        self._active.add(connection)
        self.sent += 1
        connection.send(exchange, self._target.request_bytes(exchange))

    def dial(self, exchange: Exchange | None) -> None:
        """Open a connection, for this request or for one to come."""
        target = self._target
        if target.tls is None:
            connection = Connection(self)
        else:
            from servegrid.client.tls import TlsConnection

            connection = TlsConnection(self, target.tls, target.host)
        self._dials[connection] = exchange
        connection.dial(target.address)

    def connected(self, connection: Connection) -> None:
        """Send the request that waits for this connection, or hand it to the pacing."""
        exchange = self._dials.pop(connection)
        if exchange is not None:
            self.dispatch(exchange, connection)
        else:
            self._pacing.connected(connection)

    def not_connected(self, connection: Connection, error: Exception) -> None:
        """Record the fault of the request that waited for this connection, or tell the pacing."""
        if connection not in self._dials:  # the load was broken off meanwhile
            return
        exchange = self._dials.pop(connection)
        if exchange is None:
            self._pacing.lost(None)
        else:
            exchange.fault = connect_fault(error, self.timeouts.connect_s)
            exchange.end_s = monotonic()
            self._keep(exchange, 0)
            self._pacing.ended(exchange, None)

    def ended(self, connection: Connection, exchange: Exchange, reusable: bool) -> None:
        """Keep a finished exchange, or retry it, and tell the pacing."""
        self._active.discard(connection)
        if self._may_retry(connection, exchange):
            exchange.retried, exchange.fault, exchange.end_s = True, None, None
            self.sent -= 1
            self.dial(exchange)
            return
        self._keep(exchange, connection.received)
        self._pacing.ended(exchange, connection if reusable else None)

    def _may_retry(self, connection: Connection, exchange: Exchange) -> bool:
        """Whether a reused connection was closed before the server saw the request, which says nothing about the server."""
        closed = exchange.fault is not None and exchange.fault[0] == "disconnected"
        return closed and connection.used and not exchange.log and not exchange.retried

    def lost(self, connection: Connection) -> None:
        """Tell the pacing that a connection without a request was closed."""
        self._pacing.lost(connection)

    def _keep(self, exchange: Exchange, size: int) -> None:
        self.failed += exchange.fault is not None
        self.exchanges.append(exchange)
        if exchange.sent_s is not None and exchange.end_s is not None:
            self._busy_s += exchange.end_s - exchange.sent_s
        self.spool.keep(exchange, size)

    def _tick(self) -> None:
        now = monotonic()
        self.wall_clock_lead = wall_clock_lead()
        self.loop.count_reads(now)
        self.loop.set_pause(self._pause_s(now))
        for connection in [*self._active, *self._dials]:
            connection.tick(now)
        self._pacing.tick(now)
        stop_reason = self._watch(self)
        if stop_reason is not None:
            self.break_off("cancelled", stop_reason)
        elif now >= self._load_limit_s:
            self.break_off("timeout", f"the load's time limit of {self.timeouts.load_s:g} s was over")
        elif not self._finished:
            self.loop.call_at(now + TICK_S, self._tick)

    def _pause_s(self, now: float) -> float:
        """Pause of the loop, in s, in which reads may gather.

        Stamps are the kernel's, so a pause delays the next request of a thread of work, here by less than a thousandth of a
        request's duration on average; and it merges chunks of one answer that come closer together than it lasts, which is
        why it is a tenth of their mean distance.
        """
        if self._target.tls is not None or not HAS_STAMPS:
            return PAUSE_WITHOUT_STAMPS_S
        duration_s = self._busy_s / len(self.exchanges) if self.exchanges else now - self._begun_s
        distance_s = len(self._active) / max(1.0, self.loop.reads_per_s)
        return min(MAX_PAUSE_S, duration_s / 500, distance_s / 10)

    def break_off(self, status: RequestStatus, reason: str) -> None:
        """End the load now; requests in flight are recorded with this fault."""
        self._pacing.stop()
        for connection in list(self._active):
            connection.fail_request(status, reason)
        dials, self._dials = self._dials, {}
        for connection, exchange in dials.items():
            connection.close()
            if exchange is not None:
                exchange.fault, exchange.end_s = (status, reason), monotonic()
                self._keep(exchange, 0)
        self.finish()

    def finish(self) -> None:
        """End the load: stop the loop and the pacing, close connections."""
        if not self._finished:
            self._finished = True
            self.cpu_s = time.process_time() - self._begun_cpu_s
            self.loop.stop()
            self._pacing.stop()
            for connection in self._dials:
                connection.close()


def connect_fault(error: Exception, connect_s: float) -> tuple[RequestStatus, str]:
    """Status and error recorded for a failed connection."""
    if isinstance(error, TlsError):
        return "error", str(error)
    if isinstance(error, TimeoutError) and error.errno is None:
        return "timeout", f"no connection within {connect_s:g} s"
    if isinstance(error, (ConnectionError, TimeoutError)):
        return "disconnected", f"no connection: {error_text(error)}"
    return "error", f"no connection: {error_text(error) if isinstance(error, OSError) else error}"
