"""Carries requests over connections and keeps what comes back. When which request is sent is the pacing's part."""

import asyncio
import ssl
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic

from servegrid.client.connection import Connection
from servegrid.client.exchange import Exchange, Spool
from servegrid.client.shape import Timeouts
from servegrid.request_record import RequestStatus

TICK_S = 0.05
PREPARE_S = 1.0  # the longest wait for first connections: a server that is slow to accept is measured, not waited for


@dataclass(frozen=True, slots=True)
class Target:
    """A resolved endpoint."""

    address: tuple[str, int]
    head: bytes  # the request up to the value of x-request-id
    tls: ssl.SSLContext | None
    host: str

    def wire(self, exchange: Exchange) -> bytes:
        """The request's bytes."""
        body = exchange.request.body
        return b"%b%b\r\nContent-Length: %d\r\n\r\n%b" % (self.head, exchange.id.encode("ascii"), len(body), body)


class Pacing(ABC):
    """Says when which request is sent. It starts exchanges with `Driver.dispatch` and ends the load with `Driver.finish`."""

    @abstractmethod
    def prepare(self, driver: "Driver") -> None:
        """Dial the first connections; call `driver.prepared` when they are there."""

    @abstractmethod
    def start(self, start_s: float) -> None:
        """Begin to send."""

    @abstractmethod
    def ended(self, exchange: Exchange, connection: Connection | None) -> None:
        """An exchange has ended; its connection, if it may carry another request."""

    @abstractmethod
    def connected(self, connection: Connection) -> None:
        """A connection dialled ahead of its request is ready."""

    @abstractmethod
    def lost(self, connection: Connection | None) -> None:
        """A connection without a request is gone, or (None) could not be made."""

    def tick(self, now: float) -> None:
        """Called every TICK_S."""
        return

    @abstractmethod
    def stop(self) -> None:
        """Send nothing more, and close connections that wait for requests."""


class Driver:
    """All connections of one process."""

    def __init__(
        self,
        target: Target,
        pacing: Pacing,
        timeouts: Timeouts,
        answer_bytes: int | None,
        watch: Callable[[], str | None],
    ) -> None:
        self.timeouts = timeouts
        self.answer_bytes = answer_bytes
        self.spool = Spool()
        self.exchanges: list[Exchange] = []
        self.sent = self.failed = 0
        self.begun_cpu_s = time.process_time()
        self.cpu_s = 0.0  # of this process, while the load ran
        self._target = target
        self._pacing = pacing
        self._watch = watch
        self._active: set[Connection] = set()
        self._dials: dict[asyncio.Task[None], Exchange | None] = {}
        self._waiting: dict[Connection, Exchange] = {}
        self._broken_off = False
        self.failure: BaseException | None = None  # what ended the load that should not have
        self._load_limit_s = float("inf")

    async def run(self, start: Callable[[], Awaitable[float]]) -> None:
        """Carry the load out. `start` is awaited when all is prepared; it says when to begin, in s of the monotonic clock."""
        self.loop = asyncio.get_running_loop()
        self._prepared, self._done = self.loop.create_future(), self.loop.create_future()
        self.loop.set_exception_handler(self._unexpected)
        self.loop.call_later(TICK_S, self._tick)
        try:
            self._pacing.prepare(self)
            await asyncio.wait([self._prepared, self._done], timeout=PREPARE_S, return_when=asyncio.FIRST_COMPLETED)
            if not self._done.done():
                self._begin(await start())
            await self._done
        finally:
            self._pacing.stop()

    def prepared(self) -> None:
        """The pacing is ready to send."""
        if not self._prepared.done():
            self._prepared.set_result(None)

    def _begin(self, start_s: float) -> None:
        self.begun_cpu_s = time.process_time()
        if self.timeouts.load_s is not None:
            self._load_limit_s = start_s + self.timeouts.load_s
        self.loop.call_later(max(0.0, start_s - monotonic()), self._pacing.start, start_s)

    def dispatch(self, exchange: Exchange, connection: Connection | None) -> None:
        """Send a request, on a new connection if none is given."""
        if connection is None:
            self.dial(exchange)
            return
        self._active.add(connection)
        self.sent += 1
        connection.send(exchange, self._target.wire(exchange))

    def dial(self, exchange: Exchange | None) -> None:
        """Open a connection, for this request or for one to come."""
        task = self.loop.create_task(self._dial(exchange))
        self._dials[task] = exchange
        task.add_done_callback(self._dialled)

    async def _dial(self, exchange: Exchange | None) -> None:
        connection = Connection(self)
        if exchange is not None:
            self._waiting[connection] = exchange
        host, port = self._target.address
        name = self._target.host if self._target.tls else None
        try:
            async with asyncio.timeout(self.timeouts.connect_s):
                await self.loop.create_connection(
                    lambda: connection, host, port, ssl=self._target.tls, server_hostname=name
                )
        except (OSError, asyncio.CancelledError) as error:
            if self._waiting.pop(connection, None) is exchange:
                self._not_connected(exchange, error)

    def _not_connected(self, exchange: Exchange | None, error: BaseException) -> None:
        if exchange is None:
            self._pacing.lost(None)
            return
        exchange.fault = exchange.fault or connect_fault(error, self.timeouts.connect_s)
        exchange.end_s = monotonic()
        self._keep(exchange, 0)
        self._pacing.ended(exchange, None)

    def connected(self, connection: Connection) -> None:
        """A connection is ready: send what waits for it."""
        exchange = self._waiting.pop(connection, None)
        if exchange is not None:
            self.dispatch(exchange, connection)
        else:
            self._pacing.connected(connection)

    def ended(self, connection: Connection, exchange: Exchange, reusable: bool) -> None:
        """Keep a finished exchange and let the pacing go on."""
        self._active.discard(connection)
        if self._may_retry(connection, exchange):
            exchange.retried, exchange.fault, exchange.end_s = True, None, None
            self.sent -= 1
            self.dial(exchange)
            return
        self._keep(exchange, connection.received)
        if not reusable:
            connection.transport.close()
        self._pacing.ended(exchange, connection if reusable else None)

    def _may_retry(self, connection: Connection, exchange: Exchange) -> bool:
        """A kept connection that the server closed before it saw the request says nothing about the server: once more."""
        closed = exchange.fault is not None and exchange.fault[0] == "disconnected"
        return closed and connection.used and not exchange.log and not exchange.retried and not self._broken_off

    def lost(self, connection: Connection) -> None:
        """A connection without a request is gone."""
        self._pacing.lost(connection)

    def _keep(self, exchange: Exchange, size: int) -> None:
        self.failed += exchange.fault is not None
        self.exchanges.append(exchange)
        self.spool.keep(exchange, size)

    def _tick(self) -> None:
        now = monotonic()
        for connection in list(self._active):
            connection.tick(now)
        self._pacing.tick(now)
        words = self._watch()
        if words is not None:
            self.break_off("cancelled", words)
        elif now >= self._load_limit_s:
            self.break_off("timeout", f"the load's time limit of {self.timeouts.load_s:g} s was over")
        else:
            self.loop.call_later(TICK_S, self._tick)

    def break_off(self, status: RequestStatus, words: str) -> None:
        """End everything now; what is in flight is recorded so."""
        self._broken_off = True
        self._pacing.stop()
        for exchange in self._dials.values():
            if exchange is not None:
                exchange.fault = (status, words)
        for task in self._dials:
            task.cancel()
        for connection in list(self._active):
            connection.give_up(status, words)
        self._winding_up = self.loop.create_task(self._wind_up())

    async def _wind_up(self) -> None:
        if self._dials:
            await asyncio.wait(list(self._dials))
        self.finish()

    def finish(self) -> None:
        """The load is over."""
        if not self._done.done():
            self.cpu_s = time.process_time() - self.begun_cpu_s
            self._done.set_result(None)

    def _unexpected(self, _loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        """A callback raised: a signal handler that ran in its midst, or a fault of this program. It ends the load."""
        error = context.get("exception")
        of_transport = (
            isinstance(error, OSError) and "transport" in context and "call failed" not in str(context.get("message"))
        )
        if isinstance(error, BaseException) and not of_transport:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if self.failure is None:
            self.failure = error
            self.break_off("cancelled", broken_off_by(error))

    def _dialled(self, task: asyncio.Task[None]) -> None:
        self._dials.pop(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._fail(error)


def broken_off_by(error: BaseException) -> str:
    """Words for a load that an exception ended."""
    return f"the load was broken off ({type(error).__name__})"


def connect_fault(error: BaseException, connect_s: float) -> tuple[RequestStatus, str]:
    """What a failed connection is recorded as."""
    if isinstance(error, TimeoutError) and error.errno is None:
        return "timeout", f"no connection within {connect_s:g} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        return "error", f"TLS: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return "error", f"TLS: {error.reason or error}"
    if isinstance(error, (ConnectionError, TimeoutError)):
        return "disconnected", f"no connection: {(error.strerror or str(error) or type(error).__name__).lower()}"
    return "error", f"no connection: {error}"
