"""Run a load: the one entry of the client."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from servegrid.client.carriers import carrier
from servegrid.client.endpoint import Endpoint
from servegrid.client.exchange import Request
from servegrid.client.kinds import check
from servegrid.client.request_outcome import Tokenizer, make_record, settle
from servegrid.client.shape import ClosedLoop, Kind, OpenLoop, Shape, Timeouts
from servegrid.client.stream_client import Carried, Job, Tally, no_collection
from servegrid.protocols.base import Protocol
from servegrid.records.request import RequestRecord

PROGRESS_S = 0.25
STOPPED = "the load was broken off"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a load is."""

    sent: int
    ended: int
    failed: int  # of those ended: no answer, or not a whole one; errors inside of answers are found after the load
    total: int | None  # None: as many as the duration allows


@dataclass(frozen=True, slots=True)
class Lateness:
    """Sending after the planned time, in s: how far the client fell behind its plan."""

    p50_s: float
    p99_s: float
    max_s: float


@dataclass(slots=True)
class LoadResult:
    """What a load came to. Instants are seconds of the monotonic clock."""

    records: list[RequestRecord] = field(default_factory=list)  # in order of the requests
    start_s: float = 0.0  # first request sent
    last_sent_s: float = 0.0  # last request sent: from here on the load drains
    end_s: float = 0.0  # last answer ended
    client_cpu_s: float = 0.0  # of all workers, from the start to the last end
    lateness: Lateness | None = None  # None in a closed loop
    unsent: int = 0  # requests that were due but never sent, because the load was broken off
    workers: int = 1
    interrupted_by: BaseException | None = (
        None  # what a signal handler raised; the caller decides whether to raise it again
    )


def run(
    endpoint: Endpoint,
    requests: Sequence[Request],
    shape: Shape,
    protocol: Protocol,
    *,
    timeouts: Timeouts | None = None,
    answer_bytes: int | None = None,
    workers: int = 1,
    kind: Kind = "stream",
    tokenizer: Tokenizer | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    stop: threading.Event | None = None,
) -> LoadResult:
    """Send `requests` to `endpoint` in the given shape and record what comes back.

    Returns when the load has ended. It ends early, with what was recorded, when `stop` is set, or when a signal handler
    raises (main thread): nothing more is sent, and what is in flight is recorded as cancelled.

    Args:
        endpoint: where to.
        requests: what, in order.
        shape: when.
        protocol: how the answers are read.
        timeouts: how long to wait.
        answer_bytes: largest body of one answer; None: as the protocol has it, 8 KiB per token asked for in most, at least 1 MiB.
        workers: processes that share the work: request, arrival and thread i go to worker i mod workers. Kind stream only.
        kind: which client; `requests` and `parallel` carry out closed loops only.
        tokenizer: counts output tokens where the server does not say.
        on_progress: called about four times a second, in this thread; keep it short.
        stop: ends the load when set.

    Raises:
        EndpointError: when the host cannot be looked up, or the CA file cannot be read.
        MissingProgramError: when a program that this kind of client needs is not installed.
        ValueError: when there are no requests, or this kind of client cannot carry out the shape.
    """
    if not requests:
        raise ValueError("there are no requests to send")
    check(kind, shape, workers, protocol.transport)
    timeouts = timeouts or Timeouts()
    endpoint.tls()
    workers = max(1, min(workers, shape.threads if isinstance(shape, ClosedLoop) else len(shape.arrivals_s)))
    address = endpoint.address(timeouts.connect_s)
    how: Any = {"workers": workers, "kind": kind, "transport": protocol.transport}
    job = Job(endpoint, address, requests, shape, timeouts, protocol.max_answer_bytes, answer_bytes, **how)
    report = _Reporter(on_progress, _total(shape, len(requests)))
    stop = stop or threading.Event()
    with no_collection():
        numbered, cpu_s, interruption = _carry(job, protocol, report, stop)
    settle([(record, requests[index % len(requests)].exact) for index, record in numbered], tokenizer)
    return _result([record for _, record in numbered], cpu_s, interruption, job)


class _Reporter:
    """Calls `on_progress` now and then."""

    def __init__(self, on_progress: Callable[[Progress], None] | None, total: int | None) -> None:
        self._on_progress = on_progress
        self._total = total
        self._next_s = monotonic()

    def __call__(self, sent: int, ended: int, failed: int) -> None:
        if self._on_progress and monotonic() >= self._next_s:
            self._next_s = monotonic() + PROGRESS_S
            self._on_progress(Progress(sent, ended, failed, self._total))


Found = tuple[list[tuple[int, RequestRecord]], float, BaseException | None]
"""Records with the numbers of their requests, CPU seconds, and what interrupted the load."""


def _carry(job: Job, protocol: Protocol, report: _Reporter, stop: threading.Event) -> Found:
    """Here, or where there are several workers or threads, in processes of their own."""
    if job.workers == 1 and job.kind != "requests" and job.transport == "http":
        return _here(job, protocol, report, stop)
    from servegrid.client.worker_pool import share_out

    return share_out(job, protocol, report, stop)


def _here(job: Job, protocol: Protocol, report: _Reporter, stop: threading.Event) -> Found:
    def watch(tally: Tally) -> str | None:
        report(tally.sent, len(tally.exchanges), tally.failed)
        return STOPPED if stop.is_set() else None

    carried = carrier(job.kind, job.transport)(job, watch)
    return read_all(carried, protocol), carried.cpu_s, carried.interrupted_by


def read_all(carried: Carried, protocol: Protocol) -> list[tuple[int, RequestRecord]]:
    """The records of a share, in order of its requests, each with its request's number in the whole load."""
    exchanges = sorted(carried.exchanges, key=lambda exchange: exchange.index)
    try:
        return [
            (exchange.index, make_record(exchange, carried.spool.log(exchange), protocol)) for exchange in exchanges
        ]
    finally:
        carried.spool.close()


def _total(shape: Shape, given: int) -> int | None:
    if isinstance(shape, OpenLoop):
        return len(shape.arrivals_s)
    return shape.count or (given if shape.duration_s is None else None)


def _result(records: list[RequestRecord], cpu_s: float, interruption: BaseException | None, job: Job) -> LoadResult:
    sent = [record.sent_s for record in records if record.sent_s is not None]
    ends = [record.end_s for record in records if record.end_s is not None]
    now = monotonic()
    total = _total(job.shape, len(job.requests))
    late = sorted(r.sent_s - r.planned_s for r in records if r.sent_s is not None and r.planned_s is not None)
    return LoadResult(
        records=records,
        start_s=min(sent, default=now),
        last_sent_s=max(sent, default=now),
        end_s=max(ends, default=now),
        client_cpu_s=cpu_s,
        lateness=Lateness(_quantile(late, 0.5), _quantile(late, 0.99), late[-1]) if late else None,
        unsent=0 if total is None else total - len(records),
        workers=job.workers,
        interrupted_by=interruption,
    )


def _quantile(ordered: list[float], share: float) -> float:
    """Nearest rank: the smallest value that `share` of all do not exceed."""
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]
