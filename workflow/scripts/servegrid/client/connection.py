"""A connection and the request on it: the hot path. It stamps and keeps what is read; parsing comes after the load."""

import errno
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any, Protocol

from servegrid.client.exchange import Exchange, Request
from servegrid.client.framing import MAX_HEAD_BYTES, PARSE_ERRORS, ResponseReader, parse_error_text
from servegrid.client.kernel_stamps import ANCILLARY_BYTES, enable_stamps, read_stamp
from servegrid.client.loop import READ, WRITE, Loop
from servegrid.client.shape import Timeouts
from servegrid.records.request import RequestStatus

READ_BYTES = 64 * 1024
_KEPT_BYTES_OF_MALFORMED = 64 * 1024


Receive = Callable[[int, int], tuple[bytes, Any, int, Any]]
"""Function like socket.recvmsg: data, with the kernel's stamp if there is one; BlockingIOError when there is nothing to read."""


def _read_unconnected(_size: int, _space: int) -> tuple[bytes, Any, int, Any]:
    raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))


class TlsError(Exception):
    """TLS with the server failed; says why."""


class ConnectionOwner(Protocol):
    """Receiver of a connection's events."""

    loop: Loop
    timeouts: Timeouts
    answer_limit_bytes: Callable[[Request], int]  # of the answer to a request
    wall_clock_lead: tuple[int, float]  # see kernel_stamps

    def connected(self, connection: "Connection") -> None:
        """Handle a connection that is ready for its first request."""

    def not_connected(self, connection: "Connection", error: Exception) -> None:
        """Handle a connection that could not be made."""

    def ended(self, connection: "Connection", exchange: Exchange, reusable: bool) -> None:
        """Handle the end of the request on a connection; `reusable` if that may carry another."""

    def lost(self, connection: "Connection") -> None:
        """Handle the loss of a connection without a request."""


class Connection:
    """A connection that carries one request after another."""

    __slots__ = (
        "_answer_deadline_s",
        "_bytes_after_head",
        "_bytes_left",
        "_feed",
        "_has_stamps",
        "_last_stamp_s",
        "_late_reads",
        "_limit",
        "_log",
        "_loop",
        "_owner",
        "_read",
        "_reader",
        "_unsent",
        "deadline_s",
        "exchange",
        "fd",
        "received",
        "socket",
        "used",
    )

    def __init__(self, owner: ConnectionOwner) -> None:
        self._owner, self._loop = owner, owner.loop
        self._reader = ResponseReader()
        self._feed = self._reader.feed
        self._read: Receive = _read_unconnected
        self._last_stamp_s = 0.0  # of the last read, or when the request was sent
        self.socket: socket.socket | None = None
        self.fd = -1
        self.exchange: Exchange | None = None
        self.used = False  # has sent a request before the present one
        self.deadline_s = self._answer_deadline_s = 0.0
        self.received = 0  # bytes of the last answer
        self._limit = 0  # largest size of the present answer
        self._bytes_left = -1  # until `_check_answer` is called: at first a header's; below 0 between requests
        self._bytes_after_head = 0  # that may follow the header
        self._log: list[Any] = []
        self._late_reads: list[float] = []
        self._has_stamps = False  # whether the kernel stamps what arrives
        self._unsent = b""

    # ---- connecting

    def dial(self, address: tuple[str, int]) -> None:
        """Begin to connect to a numeric address; the owner is told the outcome, never before this returns."""
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
            self._owner.loop.watch(self.fd, WRITE, self._on_connect_event)
        else:
            self._owner.loop.call_soon(lambda: self.fail_to_connect(OSError(code, os.strerror(code))))

    def _on_connect_event(self, mask: int) -> None:
        assert self.socket is not None
        if not mask & WRITE:  # an old event of the descriptor's last owner
            return
        code = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self.fail_to_connect(OSError(code, os.strerror(code)))
        else:
            self._on_tcp_connected()

    def _on_tcp_connected(self) -> None:
        """TCP is connected; start TLS if wanted, else report ready."""
        assert self.socket is not None
        self._read = self.socket.recvmsg
        self._has_stamps = enable_stamps(self.socket)
        self._report_ready()

    def _report_ready(self) -> None:
        """Read from the socket from now on, and tell the owner that requests can be sent."""
        self._owner.loop.watch(self.fd, READ, self.receive)
        self.deadline_s = float("inf")
        self._owner.connected(self)

    def fail_to_connect(self, error: Exception) -> None:
        """Close the socket and report the failure to the owner."""
        self.close()
        self._owner.not_connected(self, error)

    # ---- requests

    def send(self, exchange: Exchange, request_bytes: bytes) -> None:
        """Send a request and wait for its answer."""
        self.exchange = exchange
        self._log = exchange.log
        self._late_reads = []
        exchange.late_reads = self._late_reads if self._has_stamps else None
        self._reader.begin()
        self._limit = self._owner.answer_limit_bytes(exchange.request)
        self._bytes_left = min(MAX_HEAD_BYTES, self._limit)
        self._bytes_after_head = self._limit - self._bytes_left
        timeouts = self._owner.timeouts
        now = monotonic()
        self._answer_deadline_s = now + timeouts.total_s
        self.deadline_s = now + min(timeouts.first_byte_s or timeouts.total_s, timeouts.total_s)
        exchange.sent_s = self._last_stamp_s = now
        self._unsent = request_bytes
        self._send_unsent()
        if self._unsent:
            self._owner.loop.watch(self.fd, READ | WRITE, self._on_ready)

    def _send_unsent(self) -> None:
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
            self._send_unsent()
            if not self._unsent:
                self._owner.loop.watch(self.fd, READ, self.receive)
        if mask & ~WRITE:
            self.receive(mask)

    def receive(self, _mask: int) -> None:
        """Read, stamp and keep data; the parser only finds the answer's end. The stamp is the kernel's where it is plausible.

        The kernel stamps the last segment of a read: where several may have gathered, as the read was late, that is noted.
        """
        feed, log, loop = self._feed, self._log, self._loop
        try:
            data, extra, _, _ = self._read(READ_BYTES, ANCILLARY_BYTES)
            now = monotonic()
            if extra:
                seconds, nanoseconds = read_stamp(extra[0][2])
                lead = self._owner.wall_clock_lead
                stamp_s = seconds - lead[0] + (nanoseconds * 1e-9 - lead[1])
                if self._last_stamp_s <= stamp_s < now:
                    now = stamp_s
                if not loop.on_time_from_s < now < loop.on_time_until_s:
                    self._late_reads.append(now)
            self._last_stamp_s = now
            log.append(now)
            log.append(data)
            self._bytes_left -= len(data)
            feed(data)
        except BlockingIOError:
            return
        except OSError as error:
            self._on_disconnect(error)
            return
        except PARSE_ERRORS as error:
            self._on_parse_error(error, data)
            return
        if self._bytes_left < 0 or self._reader.complete:
            self._check_answer()
        elif not data:
            del log[-2:]
            self._on_disconnect(None)

    def _on_parse_error(self, error: Exception, data: bytes) -> None:
        """End the request after bytes that are not HTTP, or that follow the end of the answer."""
        if self._reader.complete and self.exchange is not None:  # the answer is good; what follows it is not
            self._finish_request(reusable=False)
        elif self.exchange is not None:
            self.fail_request("malformed", parse_error_text(error, data, self._reader))
        else:
            self._on_disconnect(None)

    def _check_answer(self) -> None:
        """Handle an answer that has ended, is larger than expected, or was not asked for."""
        reader = self._reader
        if self.exchange is None:
            self._on_disconnect(None)
        elif reader.complete:
            self._finish_request(reusable=reader.reusable and not self._unsent)
        elif not reader.has_head:
            self.fail_request("malformed", f"the header is larger than {MAX_HEAD_BYTES} bytes")
        else:
            self._bytes_left, self._bytes_after_head = self._bytes_left + self._bytes_after_head, 0
            if self._bytes_left < 0:
                self.fail_request("malformed", f"the answer is larger than the limit of {self._limit} bytes")

    def tick(self, now: float) -> None:
        """End what is overdue; called every TICK_S."""
        if now < self.deadline_s:
            return
        timeouts = self._owner.timeouts
        if self.exchange is None:
            self.fail_to_connect(TimeoutError())
        elif not self._log:
            limit_s = min(timeouts.first_byte_s or timeouts.total_s, timeouts.total_s)
            self.fail_request("timeout", f"no first byte within {limit_s:g} s")
        elif now >= self._answer_deadline_s:
            self.fail_request("timeout", f"no end of the answer within {timeouts.total_s:g} s")
        else:
            self.deadline_s = self._answer_deadline_s

    def fail_request(self, status: RequestStatus, reason: str) -> None:
        """End the request with this fault, and close the connection."""
        exchange = self.exchange
        assert exchange is not None
        exchange.fault = (status, reason)
        if status == "malformed":
            _truncate_log(exchange.log)
        self._finish_request(reusable=False)

    def _on_disconnect(self, error: OSError | None) -> None:
        """End the request after the peer has closed (None) or reset the connection."""
        if self.exchange is None:
            self.close()
            self._owner.lost(self)
        elif error is None and self._reader.end_of_stream():
            self._finish_request(reusable=False)
        else:
            where = "within the answer" if self._log else "before the answer"
            event = "the server closed the connection" if error is None else error_text(error)
            self.fail_request("disconnected", f"{event} {where}")

    def _finish_request(self, reusable: bool) -> None:
        """Report the request's end to the owner; close the connection unless it is reusable."""
        exchange = self.exchange
        assert exchange is not None
        exchange.end_s = monotonic()
        self.received = self._limit - self._bytes_after_head - self._bytes_left
        self.exchange = None
        self._log, self._late_reads = [], []
        self._bytes_left = -1
        self.deadline_s = float("inf")
        if not reusable:
            self.close()
        self._owner.ended(self, exchange, reusable)
        self.used = True

    def close(self) -> None:
        """Close the socket; no more events follow."""
        if self.socket is not None:
            self._owner.loop.unwatch(self.fd)
            with suppress(OSError):
                self.socket.close()
            self.socket = None


def _truncate_log(log: list[Any]) -> None:
    """Cut the log of a malformed answer to its start, enough to see what it was."""
    kept_bytes = 0
    for index in range(1, len(log), 2):
        kept_bytes += len(log[index])
        if kept_bytes > _KEPT_BYTES_OF_MALFORMED:
            del log[index + 1 :]
            return


def error_text(error: OSError) -> str:
    """Text of the error, for use within a sentence (first letter in lower case)."""
    text = error.strerror or str(error) or type(error).__name__
    return text[:1].lower() + text[1:]
