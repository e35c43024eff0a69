"""The client that most scripts are: threads and the `requests` library. For sweeps that ask what a client's kind costs.

It sends, stamps and keeps in the library's ways; what was kept is read after the load, as with every kind. A stamp is taken when
the library hands a piece of the body out, which is when a script could have seen it. Closed loops only.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Any

import requests
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ReadTimeoutError

from servegrid.client import thread_crew
from servegrid.client.connection import READ_BYTES
from servegrid.client.endpoint import DEFAULTS
from servegrid.client.exchange import Exchange
from servegrid.client.framing import reframed
from servegrid.client.stream_client import Carried, Job, Start, Watch, at_once
from servegrid.records.request import RequestStatus

LIBRARY_ERRORS = (requests.RequestException, HTTPError, OSError)


def carry_out(job: Job, watch: Watch, start: Start = at_once) -> Carried:
    """Carry a closed loop out with one Python thread and one `requests` session per thread of work; see `crew.carry_out`."""
    return thread_crew.carry_out(job, watch, start, _Session)


class _Session(thread_crew.Caller):
    """A session of the library's: one kept connection."""

    def __init__(self, job: Job) -> None:
        self._job, self._used = job, False
        self._session = requests.Session()
        self._session.trust_env = False  # neither proxies nor .netrc: straight to the server, as the other kinds
        self._session.verify = str(job.endpoint.ca_file or "") or job.endpoint.verify
        self._session.headers.update({**DEFAULTS, **job.endpoint.headers})

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def carry(self, exchange: Exchange) -> None:
        """One request, and once more if its kept connection was closed before the server saw it."""
        self._once(exchange)
        if self._used and _closed_before(exchange):
            exchange.retried, exchange.fault = True, None
            self._session.close()  # drops its connections; the session goes on with fresh ones
            self._once(exchange)
        self._used = True

    @staticmethod
    def seal(exchange: Exchange) -> None:
        """The body comes without framing: give it its length, or more where some is missing."""
        if log := exchange.log:
            log[1] = reframed(log[1], sum(map(len, log[3::2])) + (exchange.fault is not None))

    def _once(self, exchange: Exchange) -> None:
        """Faults are put into the words of the other kinds."""
        timeouts, request = self._job.timeouts, exchange.request
        limit_s = min(timeouts.first_byte_s or timeouts.total_s, timeouts.total_s)
        exchange.sent_s = monotonic()
        try:
            with self._session.post(
                self._job.endpoint.url,
                data=request.body,
                headers={"x-request-id": exchange.id},
                stream=True,
                timeout=(timeouts.connect_s, limit_s),
                allow_redirects=False,
            ) as answer:
                self._read(exchange, answer)
        except LIBRARY_ERRORS as error:
            exchange.fault = _fault(error, exchange, timeouts.connect_s, limit_s)
        exchange.end_s = monotonic()

    def _read(self, exchange: Exchange, answer: requests.Response) -> None:
        log, timeouts = exchange.log, self._job.timeouts
        log += [monotonic(), _head(answer)]
        room = self._job.room(exchange.request)
        assert exchange.sent_s is not None
        for data in _pieces(answer):
            log += [monotonic(), data]
            room -= len(data)
            if room < 0:
                exchange.fault = ("malformed", "the answer is larger than its limit")
                return
            if log[-2] > exchange.sent_s + timeouts.total_s:
                exchange.fault = ("timeout", f"no end of the answer within {timeouts.total_s:g} s")
                return
        if answer.raw.length_remaining:  # read1 of urllib3 does not complain
            exchange.fault = ("disconnected", "the server closed the connection within the answer")


def _closed_before(exchange: Exchange) -> bool:
    """A kept connection that the server closed before it saw the request says nothing about the server: once more."""
    return exchange.fault is not None and exchange.fault[0] == "disconnected" and not exchange.log


def _pieces(answer: requests.Response) -> Iterator[bytes]:
    """The body as it comes: chunk by chunk, or, of what is larger or has no chunks, read by read.

    The library's own `iter_content` waits for a whole chunk, however large the server says it is.
    """
    return iter(partial(answer.raw.read1, READ_BYTES), b"")


def _head(answer: requests.Response) -> bytes:
    fields: Mapping[str, Any] = answer.raw.headers
    lines = [f"HTTP/1.1 {answer.status_code} {answer.reason or ''}", *(f"{key}: {fields[key]}" for key in fields)]
    return "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n"


def _fault(error: Exception, exchange: Exchange, connect_s: float, limit_s: float) -> tuple[RequestStatus, str]:
    causes = list(_causes(error))
    if any(isinstance(cause, NewConnectionError) for cause in causes):
        return _unsent(exchange, "disconnected", f"no connection: {_words(causes)}")
    if any(isinstance(cause, (ConnectTimeoutError, requests.ConnectTimeout)) for cause in causes):
        return _unsent(exchange, "timeout", f"no connection within {connect_s:g} s")
    if any(isinstance(cause, (ReadTimeoutError, requests.ReadTimeout, TimeoutError)) for cause in causes):
        return "timeout", f"nothing came for {limit_s:g} s"
    if isinstance(error, (requests.exceptions.SSLError, requests.exceptions.InvalidHeader)):
        return _unsent(exchange, "error", f"{_words(causes)}")
    where = "within the answer" if exchange.log else "before the answer"
    return "disconnected", f"{_words(causes)} {where}"


def _unsent(exchange: Exchange, status: RequestStatus, words: str) -> tuple[RequestStatus, str]:
    exchange.sent_s = None
    return status, words


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what is wrapped in it, outermost first."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        inner = error.__cause__ or error.__context__
        with suppress(StopIteration):
            inner = inner or next(arg for arg in error.args if isinstance(arg, BaseException))
        if inner is None:
            return
        error = inner


def _words(causes: list[BaseException]) -> str:
    """The innermost error, which says what happened."""
    last = causes[-1]
    text = getattr(last, "strerror", None) or str(last) or type(last).__name__
    return f"{text[:1].lower()}{text[1:200]}"
