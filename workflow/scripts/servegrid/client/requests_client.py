"""Client `requests`: threads and the `requests` library, as in most scripts; for sweeps that ask what a kind of client costs.

The library sends and reads; what was read is parsed after the load, as with every kind. A stamp is taken when the library
returns a piece of the body, which is when a script could have seen it. Closed loops only.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from time import monotonic
from typing import Any

import requests
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ReadTimeoutError

from servegrid.client import thread_crew
from servegrid.client.connection import READ_BYTES
from servegrid.client.endpoint import DEFAULT_HEADERS
from servegrid.client.exchange import Exchange
from servegrid.client.framing import with_content_length
from servegrid.client.stream_client import Job, JobResult, Start, Watch, start_now
from servegrid.records.request import RequestStatus
from servegrid.util.errors import causes, tls_fault
from servegrid.util.tls_trust import direct_session

LIBRARY_ERRORS = (requests.RequestException, HTTPError, OSError)


def run_job(job: Job, watch: Watch, start: Start = start_now) -> JobResult:
    """Run a closed loop with one Python thread and one `requests` session per thread of work; see `thread_crew.run_job`."""
    return thread_crew.run_job(job, watch, start, _SessionSender)


class _SessionSender(thread_crew.RequestSender):
    """Sends requests with one session of the library: one kept connection."""

    def __init__(self, job: Job) -> None:
        self._job, self._used = job, False
        self._session = direct_session(job.endpoint.tls())
        self._session.headers.update({**DEFAULT_HEADERS, **job.endpoint.headers})

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def send(self, exchange: Exchange) -> None:
        """Send one request, and again if its kept connection was closed before the server saw it."""
        self._post(exchange)
        if self._used and _may_retry(exchange):
            exchange.retried, exchange.fault = True, None
            self._session.close()  # drops its connections; the session goes on with fresh ones
            self._post(exchange)
        self._used = True

    @staticmethod
    def finish_log(exchange: Exchange) -> None:
        """Put the body's length into the head, as the library removes the framing; one byte more if some is missing."""
        if log := exchange.log:
            log[1] = with_content_length(log[1], sum(map(len, log[3::2])) + (exchange.fault is not None))

    def _post(self, exchange: Exchange) -> None:
        """Post the request and log the answer; faults have the same texts as those of the other kinds."""
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
            ) as response:
                self._read(exchange, response)
        except LIBRARY_ERRORS as error:
            exchange.fault = _fault(error, exchange, timeouts.connect_s, limit_s)
        exchange.end_s = monotonic()

    def _read(self, exchange: Exchange, response: requests.Response) -> None:
        log, timeouts = exchange.log, self._job.timeouts
        log += [monotonic(), _response_head(response)]
        bytes_left = self._job.answer_limit_bytes(exchange.request)
        assert exchange.sent_s is not None
        for data in _body_parts(response):
            log += [monotonic(), data]
            bytes_left -= len(data)
            if bytes_left < 0:
                exchange.fault = ("malformed", "the answer is larger than its limit")
                return
            if log[-2] > exchange.sent_s + timeouts.total_s:
                exchange.fault = ("timeout", f"no end of the answer within {timeouts.total_s:g} s")
                return
        if response.raw.length_remaining:  # read1 of urllib3 does not complain
            exchange.fault = ("disconnected", "the server closed the connection within the answer")


def _may_retry(exchange: Exchange) -> bool:
    """Whether a kept connection was closed before the server saw the request, which says nothing about the server."""
    return exchange.fault is not None and exchange.fault[0] == "disconnected" and not exchange.log


def _body_parts(response: requests.Response) -> Iterator[bytes]:
    """Body as it arrives: chunk by chunk, or, of what is larger or has no chunks, read by read.

    The library's own `iter_content` waits for a whole chunk, however large the server says it is.
    """
    return iter(partial(response.raw.read1, READ_BYTES), b"")


def _response_head(response: requests.Response) -> bytes:
    fields: Mapping[str, Any] = response.raw.headers
    lines = [f"HTTP/1.1 {response.status_code} {response.reason or ''}", *(f"{key}: {fields[key]}" for key in fields)]
    return "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n"


def _fault(error: Exception, exchange: Exchange, connect_s: float, limit_s: float) -> tuple[RequestStatus, str]:
    wrapped = list(causes(error))
    if any(isinstance(cause, NewConnectionError) for cause in wrapped):
        return _not_sent(exchange, "disconnected", f"no connection: {_innermost_error_text(wrapped)}")
    if any(isinstance(cause, (ConnectTimeoutError, requests.ConnectTimeout)) for cause in wrapped):
        return _not_sent(exchange, "timeout", f"no connection within {connect_s:g} s")
    if any(isinstance(cause, (ReadTimeoutError, requests.ReadTimeout, TimeoutError)) for cause in wrapped):
        return "timeout", f"nothing came for {limit_s:g} s"
    if isinstance(error, (requests.exceptions.SSLError, requests.exceptions.InvalidHeader)):
        return _not_sent(exchange, "error", tls_fault(error) or _innermost_error_text(wrapped))
    where = "within the answer" if exchange.log else "before the answer"
    return "disconnected", f"{_innermost_error_text(wrapped)} {where}"


def _not_sent(exchange: Exchange, status: RequestStatus, error: str) -> tuple[RequestStatus, str]:
    """Fault of a request that was never sent."""
    exchange.sent_s = None
    return status, error


def _innermost_error_text(wrapped: list[BaseException]) -> str:
    """Text of the innermost error, which says what happened."""
    last = wrapped[-1]
    text = getattr(last, "strerror", None) or str(last) or type(last).__name__
    return f"{text[:1].lower()}{text[1:200]}"
