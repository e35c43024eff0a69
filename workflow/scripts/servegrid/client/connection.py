"""One connection and the request on it: the hot path. It stamps and keeps what comes; what it means is worked out later."""

import asyncio
import os
from time import monotonic
from typing import Any, Protocol

from servegrid.client.exchange import Exchange
from servegrid.client.framing import HEAD_BYTES, REFUSALS, Reader, refusal
from servegrid.client.shape import Timeouts
from servegrid.request_record import RequestStatus

_KEPT_OF_MALFORMED = 64 * 1024


class Owner(Protocol):
    """Who is told what happens on a connection."""

    timeouts: Timeouts
    answer_bytes: int | None

    def connected(self, connection: "Connection") -> None:
        """The connection is ready for its first request."""

    def ended(self, connection: "Connection", exchange: Exchange, reusable: bool) -> None:
        """The request on it has ended."""

    def lost(self, connection: "Connection") -> None:
        """The connection is gone, and there was no request on it."""


class Connection(asyncio.Protocol):
    """A connection that carries one request after another."""

    __slots__ = (
        "_fd",
        "_feed",
        "_limit",
        "_log",
        "_more",
        "_owner",
        "_reader",
        "_room",
        "_total_s",
        "deadline_s",
        "exchange",
        "received",
        "transport",
        "used",
    )

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._reader = Reader()
        self._feed = self._reader.feed
        self.transport: Any = None
        self.exchange: Exchange | None = None
        self.used = False  # has carried a request before the present one
        self.deadline_s = self._total_s = 0.0
        self.received = 0  # bytes of the last answer
        self._fd: int | None = None
        self._log: list[Any] = []
        self._limit = 0  # bytes an answer may have
        self._room = -1  # bytes that may come before a closer look: at first a header's; below 0 between requests
        self._more = 0  # bytes that may come after that

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready to send."""
        self.transport = transport
        if transport.get_extra_info("sslcontext") is None:
            self._fd = transport.get_extra_info("socket").fileno()
        self._owner.connected(self)

    def send(self, exchange: Exchange, wire: bytes) -> None:
        """Send a request and wait for its answer."""
        self.exchange = exchange
        self._log = exchange.log
        self._reader.begin()
        self._limit = self._owner.answer_bytes or answer_limit(exchange.request.max_tokens)
        self._room = min(HEAD_BYTES, self._limit)
        self._more = self._limit - self._room
        timeouts = self._owner.timeouts
        now = monotonic()
        self._total_s = now + timeouts.total_s
        self.deadline_s = now + min(timeouts.first_byte_s or timeouts.total_s, timeouts.total_s)
        exchange.sent_s = now
        self._write(wire)

    def _write(self, wire: bytes) -> None:
        if self._fd is None:
            self.transport.write(wire)
            return
        # Straight to the socket: the event loop would hold it back until other events of this round are done.
        try:
            written = os.write(self._fd, wire)
        except BlockingIOError:
            written = 0
        except OSError:
            return  # broken: an answer may still be waiting to be read, else connection_lost comes
        if written < len(wire):
            self.transport.write(wire[written:])

    def data_received(self, data: bytes) -> None:
        """Stamp and keep; the parser only says where the answer ends."""
        now = monotonic()
        log = self._log
        log.append(now)
        log.append(data)
        self._room -= len(data)
        feed = self._feed
        try:
            feed(data)
        except REFUSALS as error:
            self._refused(error, data)
            return
        if self._room < 0 or self._reader.complete:
            self._look()

    def _refused(self, error: Exception, data: bytes) -> None:
        if self._reader.complete:  # the answer is good; what follows it is not
            self._end(reusable=False)
        else:
            self.give_up("malformed", refusal(error, data, self._reader))

    def _look(self) -> None:
        """The answer has ended, or is large, or nobody asked for it."""
        reader = self._reader
        if self.exchange is None:
            self.transport.abort()
        elif reader.complete:
            transport = self.transport
            clean = reader.reusable and not transport.is_closing() and transport.get_write_buffer_size() == 0
            self._end(reusable=clean)
        elif not reader.has_head:
            self.give_up("malformed", f"the header is larger than {HEAD_BYTES} bytes")
        else:
            self._room, self._more = self._room + self._more, 0
            if self._room < 0:
                self.give_up("malformed", f"the answer is larger than the limit of {self._limit} bytes")

    def tick(self, now: float) -> None:
        """Called now and then: end what is overdue."""
        if now < self.deadline_s:
            return
        timeouts = self._owner.timeouts
        if not self._log:
            limit_s = min(timeouts.first_byte_s or timeouts.total_s, timeouts.total_s)
            self.give_up("timeout", f"no first byte within {limit_s:g} s")
        elif now >= self._total_s:
            self.give_up("timeout", f"no end of the answer within {timeouts.total_s:g} s")
        else:
            self.deadline_s = self._total_s

    def give_up(self, status: RequestStatus, words: str) -> None:
        """End the request on it, and the connection."""
        if self.exchange is not None:
            self.exchange.fault = (status, words)
            if status == "malformed":
                _shorten(self.exchange.log)
            self._end(reusable=False)
        if self.transport is not None:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer has closed or reset it, or we have."""
        if self.exchange is None:
            self._owner.lost(self)
        elif exc is None and self._reader.end_of_stream():
            self._end(reusable=False)
        else:
            where = "within the answer" if self._log else "before the answer"
            what = "the server closed the connection" if exc is None else _words(exc)
            self.give_up("disconnected", f"{what} {where}")

    def _end(self, reusable: bool) -> None:
        exchange = self.exchange
        if exchange is None:
            return
        exchange.end_s = monotonic()
        self.received = self._limit - self._more - self._room
        self.exchange = None
        self._log = []
        self._room = -1
        self._owner.ended(self, exchange, reusable)
        self.used = True


def answer_limit(max_tokens: int) -> int:
    """Bytes of an answer allowed by default: room for 8 KiB per token asked for, at least 1 MiB."""
    return max(1 << 20, max_tokens * 8192)


def _shorten(log: list[Any]) -> None:
    """Keep the start of an answer that is not one: enough to see what it was."""
    kept = 0
    for at in range(1, len(log), 2):
        kept += len(log[at])
        if kept > _KEPT_OF_MALFORMED:
            del log[at + 1 :]
            return


def _words(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
    return text[:1].lower() + text[1:]
