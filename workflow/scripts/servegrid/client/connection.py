"""One connection and the request on it: the hot path. It stamps and keeps what comes; what it means is worked out later."""

import errno
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any, Protocol

from servegrid.client.exchange import Exchange, Request
from servegrid.client.framing import HEAD_BYTES, REFUSALS, Reader, refusal
from servegrid.client.kernel_stamps import SPACE, ask_for_stamps, read_stamp
from servegrid.client.loop import READ, WRITE, Loop
from servegrid.client.shape import Timeouts
from servegrid.records.request import RequestStatus

READ_BYTES = 64 * 1024
_KEPT_OF_MALFORMED = 64 * 1024


Receive = Callable[[int, int], tuple[bytes, Any, int, Any]]
"""As socket.recvmsg: data, and with it the kernel's stamp if there is one. Raises BlockingIOError when there is nothing."""


def _closed(_size: int, _space: int) -> tuple[bytes, Any, int, Any]:
    raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))


class TlsError(Exception):
    """The server cannot be spoken to under TLS; says why."""


class Owner(Protocol):
    """Who is told what happens on a connection."""

    loop: Loop
    timeouts: Timeouts
    room: Callable[[Request], int]  # bytes that the answer to a request may have
    lead: tuple[int, float]  # of the wall clock, see arrival_clock

    def connected(self, connection: "Connection") -> None:
        """The connection is ready for its first request."""

    def not_connected(self, connection: "Connection", error: Exception) -> None:
        """There is no connection to be had."""

    def ended(self, connection: "Connection", exchange: Exchange, reusable: bool) -> None:
        """The request on it has ended."""

    def lost(self, connection: "Connection") -> None:
        """The connection is gone, and there was no request on it."""


class Connection:
    """A connection that carries one request after another."""

    __slots__ = (
        "_feed",
        "_limit",
        "_log",
        "_more",
        "_owner",
        "_read",
        "_reader",
        "_room",
        "_stamp_s",
        "_total_s",
        "_unsent",
        "deadline_s",
        "exchange",
        "fd",
        "received",
        "socket",
        "used",
    )

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._reader = Reader()
        self._feed = self._reader.feed
        self._read: Receive = _closed
        self._stamp_s = 0.0  # of the last read, or when the request was sent
        self.socket: socket.socket | None = None
        self.fd = -1
        self.exchange: Exchange | None = None
        self.used = False  # has carried a request before the present one
        self.deadline_s = self._total_s = 0.0
        self.received = 0  # bytes of the last answer
        self._limit = 0  # bytes an answer may have
        self._room = -1  # bytes that may come before a closer look: at first a header's; below 0 between requests
        self._more = 0  # bytes that may come after that
        self._log: list[Any] = []
        self._unsent = b""

    # ---- connecting

    def dial(self, address: tuple[str, int]) -> None:
        """Begin to connect to a numeric address; the owner is told how it went, never before this returns."""
        self.deadline_s = monotonic() + self._owner.timeouts.connect_s
        try:
            self.socket = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_STREAM)
            self.socket.setblocking(False)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.fd = self.socket.fileno()
            code = self.socket.connect_ex(address)
        except OSError as error:
            code = error.errno or errno.EIO
        if code in (0, errno.EINPROGRESS):
            self._owner.loop.watch(self.fd, WRITE, self._on_connected)
        else:
            self._owner.loop.call_soon(lambda: self.fail_to_connect(OSError(code, os.strerror(code))))

    def _on_connected(self, mask: int) -> None:
        assert self.socket is not None
        if not mask & WRITE:  # an old event of the descriptor's last owner
            return
        code = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self.fail_to_connect(OSError(code, os.strerror(code)))
        else:
            self._open()

    def _open(self) -> None:
        """TCP stands."""
        assert self.socket is not None
        self._read = self.socket.recvmsg
        ask_for_stamps(self.socket)
        self._ready()

    def _ready(self) -> None:
        self._owner.loop.watch(self.fd, READ, self.receive)
        self.deadline_s = float("inf")
        self._owner.connected(self)

    def fail_to_connect(self, error: Exception) -> None:
        """Give up connecting."""
        self.close()
        self._owner.not_connected(self, error)

    # ---- one request

    def send(self, exchange: Exchange, wire: bytes) -> None:
        """Send a request and wait for its answer."""
        self.exchange = exchange
        self._log = exchange.log
        self._reader.begin()
        self._limit = self._owner.room(exchange.request)
        self._room = min(HEAD_BYTES, self._limit)
        self._more = self._limit - self._room
        timeouts = self._owner.timeouts
        now = monotonic()
        self._total_s = now + timeouts.total_s
        self.deadline_s = now + min(timeouts.first_byte_s or timeouts.total_s, timeouts.total_s)
        exchange.sent_s = self._stamp_s = now
        self._unsent = wire
        self._push()
        if self._unsent:
            self._owner.loop.watch(self.fd, READ | WRITE, self._on_ready)

    def _push(self) -> None:
        """Send as much as the socket takes."""
        try:
            self._unsent = self._unsent[self._write(self._unsent) :]
        except BlockingIOError:
            return
        except OSError:
            self._unsent = b""  # broken: an answer may still be waiting to be read, else the next read says so

    def _write(self, data: bytes) -> int:
        return os.write(self.fd, data)

    def _on_ready(self, mask: int) -> None:
        if mask & WRITE and self._unsent:
            self._push()
            if not self._unsent:
                self._owner.loop.watch(self.fd, READ, self.receive)
        if mask & ~WRITE:
            self.receive(mask)

    def receive(self, _mask: int) -> None:
        """Read, stamp and keep; the parser only says where the answer ends. The stamp is the kernel's, unless it cannot be."""
        feed, log = self._feed, self._log
        try:
            data, extra, _, _ = self._read(READ_BYTES, SPACE)
            now = monotonic()
            if extra:
                seconds, nanoseconds = read_stamp(extra[0][2])
                lead = self._owner.lead
                stamp_s = seconds - lead[0] + (nanoseconds * 1e-9 - lead[1])
                if self._stamp_s <= stamp_s < now:
                    now = stamp_s
            self._stamp_s = now
            log.append(now)
            log.append(data)
            self._room -= len(data)
            feed(data)
        except BlockingIOError:
            return
        except OSError as error:
            self._lost(error)
            return
        except REFUSALS as error:
            self._refused(error, data)
            return
        if self._room < 0 or self._reader.complete:
            self._look()
        elif not data:
            del log[-2:]
            self._lost(None)

    def _refused(self, error: Exception, data: bytes) -> None:
        if self._reader.complete and self.exchange is not None:  # the answer is good; what follows it is not
            self._end(reusable=False)
        elif self.exchange is not None:
            self.give_up("malformed", refusal(error, data, self._reader))
        else:
            self._lost(None)

    def _look(self) -> None:
        """The answer has ended, or is large, or nobody asked for it."""
        reader = self._reader
        if self.exchange is None:
            self._lost(None)
        elif reader.complete:
            self._end(reusable=reader.reusable and not self._unsent)
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
        if self.exchange is None:
            self.fail_to_connect(TimeoutError())
        elif not self._log:
            limit_s = min(timeouts.first_byte_s or timeouts.total_s, timeouts.total_s)
            self.give_up("timeout", f"no first byte within {limit_s:g} s")
        elif now >= self._total_s:
            self.give_up("timeout", f"no end of the answer within {timeouts.total_s:g} s")
        else:
            self.deadline_s = self._total_s

    def give_up(self, status: RequestStatus, words: str) -> None:
        """End the request on it, and the connection."""
        exchange = self.exchange
        assert exchange is not None
        exchange.fault = (status, words)
        if status == "malformed":
            _shorten(exchange.log)
        self._end(reusable=False)

    def _lost(self, error: OSError | None) -> None:
        """The peer has closed (None) or reset it."""
        if self.exchange is None:
            self.close()
            self._owner.lost(self)
        elif error is None and self._reader.end_of_stream():
            self._end(reusable=False)
        else:
            where = "within the answer" if self._log else "before the answer"
            what = "the server closed the connection" if error is None else words_of(error)
            self.give_up("disconnected", f"{what} {where}")

    def _end(self, reusable: bool) -> None:
        exchange = self.exchange
        assert exchange is not None
        exchange.end_s = monotonic()
        self.received = self._limit - self._more - self._room
        self.exchange = None
        self._log = []
        self._room = -1
        self.deadline_s = float("inf")
        if not reusable:
            self.close()
        self._owner.ended(self, exchange, reusable)
        self.used = True

    def close(self) -> None:
        """Close the socket; nothing more comes of it."""
        if self.socket is not None:
            self._owner.loop.forget(self.fd)
            with suppress(OSError):
                self.socket.close()
            self.socket = None


def _shorten(log: list[Any]) -> None:
    """Keep the start of an answer that is not one: enough to see what it was."""
    kept = 0
    for at in range(1, len(log), 2):
        kept += len(log[at])
        if kept > _KEPT_OF_MALFORMED:
            del log[at + 1 :]
            return


def words_of(error: OSError) -> str:
    """The error in words, to stand within a sentence."""
    text = error.strerror or str(error) or type(error).__name__
    return text[:1].lower() + text[1:]
