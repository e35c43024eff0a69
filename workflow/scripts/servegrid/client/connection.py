"""One connection and the request on it: the hot path. It stamps and keeps what comes; what it means is worked out later."""

import asyncio
import os
from time import monotonic
from typing import Any, Protocol

from servegrid.client.exchange import Exchange
from servegrid.client.framing import Framing, MalformedError
from servegrid.client.shape import Timeouts
from servegrid.request_record import RequestStatus

IDLE_S = 0.05
_CR = 13
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
        "_fed",
        "_framing",
        "_log",
        "_owner",
        "_room",
        "_total_s",
        "deadline_s",
        "exchange",
        "transport",
        "used",
    )

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self.transport: Any = None
        self.exchange: Exchange | None = None
        self.used = False  # has carried a request before the present one
        self.deadline_s = 0.0
        self._fd: int | None = None
        self._log: list[Any] = []
        self._fed = 0  # entries of the log whose framing was read
        self._framing = Framing(0)
        self._room = -1  # bytes that may come before the next look
        self._total_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready to send."""
        self.transport = transport
        if transport.get_extra_info("sslcontext") is None:
            self._fd = transport.get_extra_info("socket").fileno()
        self._owner.connected(self)

    def send(self, exchange: Exchange, wire: bytes) -> None:
        """Send a request and wait for its answer."""
        request = exchange.request
        self.exchange = exchange
        self._log = exchange.log
        self._framing = Framing(self._owner.answer_bytes or answer_limit(request.max_tokens))
        self._fed = 0
        self._room = 0
        now = monotonic()
        timeouts = self._owner.timeouts
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
        """Stamp, keep, and look closer only when the answer could have ended or grown too large."""
        now = monotonic()
        log = self._log
        log.append(now)
        log.append(data)
        room = self._room = self._room - len(data)
        try:
            if data[-4] == _CR or room < 0:  # the last chunk ends in CR LF CR LF
                self._look()
        except IndexError:
            self._look()

    def _look(self) -> None:
        """Read the framing of what came since the last look."""
        exchange, log, fed = self.exchange, self._log, self._fed
        if exchange is None:
            self.transport.abort()  # an answer that nobody asked for
            return
        self._fed = len(log)
        framing = self._framing
        try:
            complete = framing.feed(log[-1] if len(log) - fed == 2 else b"".join(log[fed + 1 :: 2]))
        except MalformedError as error:
            self.give_up("malformed", str(error))
            return
        if complete:
            self._end(self._reusable())
            return
        self._room = framing.room()
        self.deadline_s = self._total_s

    def _reusable(self) -> bool:
        """Whether the connection is clean: nothing beyond the answer, all of the request gone, and not about to close."""
        head, framing, transport = self._framing.head, self._framing, self.transport
        clean = head is not None and head.keep_alive and framing.fed == framing.offset
        return clean and not transport.is_closing() and transport.get_write_buffer_size() == 0

    def tick(self, now: float) -> None:
        """Called now and then: end what is overdue, and look at what may have ended unnoticed."""
        if now >= self.deadline_s:
            self._overdue()
        elif self._fed < len(self._log) and self._log[-2] < now - IDLE_S:
            self._look()

    def _overdue(self) -> None:
        timeouts = self._owner.timeouts
        if self._log:
            self.give_up("timeout", f"no end of the answer within {timeouts.total_s:g} s")
        else:
            limit_s = min(timeouts.first_byte_s or timeouts.total_s, timeouts.total_s)
            self.give_up("timeout", f"no first byte within {limit_s:g} s")

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
        if self.exchange is not None and self._fed < len(self._log):
            self._look()
        exchange = self.exchange
        if exchange is None:
            self._owner.lost(self)
        elif exc is None and self._framing.end_of_stream():
            self._end(reusable=False)
        else:
            where = "within the answer" if self._log else "before the answer"
            what = "the server closed the connection" if exc is None else _words(exc)
            self.give_up("disconnected", f"{what} {where}")

    def _end(self, reusable: bool) -> None:
        exchange = self.exchange
        assert exchange is not None
        exchange.end_s = monotonic()
        self.exchange = None
        self._log = []
        self._room = -1
        self.deadline_s = 0.0
        self._owner.ended(self, exchange, reusable)
        self.used = True

    @property
    def received(self) -> int:
        """Bytes read of the present answer, as far as they were looked at."""
        return self._framing.fed


def answer_limit(max_tokens: int) -> int:
    """Body bytes allowed by default: room for 8 KiB per token asked for, at least 1 MiB."""
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
