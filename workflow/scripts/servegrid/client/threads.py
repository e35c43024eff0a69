"""The client that most scripts are: threads and the `requests` library. For sweeps that ask what a client's kind costs.

It sends, stamps and keeps in the library's ways; what was kept is read after the load, as with every kind. A stamp is taken when
the library hands a piece of the body out, which is when a script could have seen it. Closed loops only.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from time import monotonic, process_time
from typing import Any

import requests
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ReadTimeoutError

from servegrid.client.connection import answer_limit
from servegrid.client.driver import TICK_S
from servegrid.client.endpoint import DEFAULTS
from servegrid.client.exchange import Exchange, Spool
from servegrid.client.framing import reframed
from servegrid.client.loop import Loop
from servegrid.client.pacing import exchanges
from servegrid.client.process import Carried, Job, Start, Watch, at_once
from servegrid.client.shape import ClosedLoop
from servegrid.request_record import RequestStatus

LIBRARY_ERRORS = (requests.RequestException, HTTPError, OSError)


def carry_out(job: Job, watch: Watch, start: Start = at_once) -> Carried:
    """Carry a closed loop out with one Python thread and one `requests` session per thread of work.

    When broken off, requests that are stuck in the library are recorded as they stand, and their threads left to themselves:
    to be run in a process that ends soon.
    """
    loop = Loop()
    crew = _Crew(job, watch, loop)
    interruption: BaseException | None = None
    try:
        loop.call_soon(crew.tick)
        start(loop, crew.begin)
        loop.run()
    except BaseException as error:
        interruption = error
        crew.break_off("cancelled", f"the load was broken off ({type(error).__name__})")
    loop.close()
    return Carried(crew.exchanges, Spool(), crew.cpu_s, interruption)


class _Crew:
    """The threads of work and what they have done."""

    def __init__(self, job: Job, watch: Watch, loop: Loop) -> None:
        assert isinstance(job.shape, ClosedLoop)
        self.exchanges: list[Exchange] = []
        self.sent = self.failed = 0
        self.cpu_s = 0.0
        self._job, self._watch, self._loop, self._shape = job, watch, loop, job.shape
        endless = job.shape.duration_s is not None and job.shape.count is None
        self._queue = exchanges(job.requests, None if endless else job.shape.count or len(job.requests), 0, 1)
        self._lock = threading.Lock()
        self._busy: dict[int, Exchange] = {}
        self._working = job.shape.threads
        self._begun_cpu_s = process_time()
        self._over = False
        self._end_s = self._limit_s = float("inf")

    def begin(self, start_s: float) -> None:
        """Set all threads to work at `start_s` of the monotonic clock."""
        self._begun_cpu_s = process_time()
        self._end_s = start_s + (self._shape.duration_s or float("inf"))
        self._limit_s = start_s + (self._job.timeouts.load_s or float("inf"))
        threads = [threading.Thread(target=self._work, args=(n,), daemon=True) for n in range(self._shape.threads)]
        self._loop.call_at(start_s, lambda: _start(threads))

    def tick(self) -> None:
        words = self._watch(self)
        if words is not None:
            self.break_off("cancelled", words)
        elif monotonic() >= self._limit_s:
            self.break_off("timeout", f"the load's time limit of {self._job.timeouts.load_s:g} s was over")
        elif not self._working:
            self._finish()
        else:
            self._loop.call_at(monotonic() + TICK_S, self.tick)

    def break_off(self, status: RequestStatus, words: str) -> None:
        """Record what is in flight as it stands; nothing that its thread does afterwards counts."""
        with self._lock:
            self._over = True
            for exchange in self._busy.values():
                cut = replace(exchange, log=list(exchange.log), fault=(status, words), end_s=monotonic())
                self._keep(cut)
        self._finish()

    def _finish(self) -> None:
        self.cpu_s = process_time() - self._begun_cpu_s
        self._loop.stop()

    def _keep(self, exchange: Exchange) -> None:
        if log := exchange.log:  # its body comes without framing: give it its length, or more where some is missing
            log[1] = reframed(log[1], sum(map(len, log[3::2])) + (exchange.fault is not None))
        self.failed += exchange.fault is not None
        self.exchanges.append(exchange)

    # ---- in the threads of work

    def _work(self, thread: int) -> None:
        with requests.Session() as session:
            session.trust_env = False  # neither proxies nor .netrc: straight to the server, as the other kinds
            session.verify = str(self._job.endpoint.ca_file or "") or self._job.endpoint.verify
            session.headers.update({**DEFAULTS, **self._job.endpoint.headers})
            used = False
            while (exchange := self._next(thread)) is not None:
                self._carry(exchange, session)
                if used and _closed_before(exchange):
                    exchange.retried, exchange.fault = True, None
                    session.close()  # drops its connections; the session goes on with fresh ones
                    self._carry(exchange, session)
                used = True
                with self._lock:
                    if not self._over:
                        self._keep(exchange)
                    self._busy.pop(thread)
        with self._lock:
            self._working -= 1

    def _next(self, thread: int) -> Exchange | None:
        with self._lock:
            exchange = None if self._over or monotonic() >= self._end_s else next(self._queue, None)
            if exchange is not None:
                exchange.thread = thread
                self.sent += 1
                self._busy[thread] = exchange
            return exchange

    def _carry(self, exchange: Exchange, session: requests.Session) -> None:
        """One request; faults are put into the words of the other kinds."""
        timeouts, request = self._job.timeouts, exchange.request
        limit_s = min(timeouts.first_byte_s or timeouts.total_s, timeouts.total_s)
        exchange.sent_s = monotonic()
        try:
            with session.post(
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
        except Exception as error:  # of the library's, not foreseen: the thread goes on
            exchange.fault = ("error", f"{type(error).__name__}: {error}")
        exchange.end_s = monotonic()

    def _read(self, exchange: Exchange, answer: requests.Response) -> None:
        log, timeouts = exchange.log, self._job.timeouts
        log += [monotonic(), _head(answer)]
        room = self._job.answer_bytes or answer_limit(exchange.request.max_tokens)
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


def _start(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()


def _pieces(answer: requests.Response) -> Iterator[bytes]:
    """The body as it comes: chunk by chunk, or read by read."""
    return answer.iter_content(None) if answer.raw.chunked else iter(answer.raw.read1, b"")


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
