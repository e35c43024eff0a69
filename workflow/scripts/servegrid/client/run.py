"""Run a load: the only entry point of the client."""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from servegrid.client.endpoint import Endpoint
from servegrid.client.exchange import Request
from servegrid.client.job_runners import job_runner
from servegrid.client.kinds import check_supported
from servegrid.client.request_outcome import make_record
from servegrid.client.shape import ClosedLoop, Kind, OpenLoop, Shape, Timeouts
from servegrid.client.stream_client import Job, JobResult, LoadCounts, gc_paused
from servegrid.client.token_counts import Tokenizer, finish_records
from servegrid.protocols.base import Protocol
from servegrid.protocols.server_url import shown
from servegrid.records.request import RequestRecord

PROGRESS_EVERY_S = 0.25
STOP_REASON = "the load was broken off"
NOT_THERE = (404, 405)  # HTTP status of an answer that the URL may be to blame for


@dataclass(frozen=True, slots=True)
class LoadProgress:
    """Progress of a load: numbers of requests."""

    sent: int
    ended: int
    failed: int  # of those ended: no answer, or not a whole one; errors inside of answers are found after the load
    total: int | None  # None: as many as the duration allows


@dataclass(frozen=True, slots=True)
class Lateness:
    """Lateness of sending against the plan, in s."""

    p50_s: float
    p99_s: float


@dataclass(slots=True)
class LoadResult:
    """Result of a load. Instants are seconds of the monotonic clock."""

    records: list[RequestRecord] = field(default_factory=list)  # in order of the requests
    start_s: float = 0.0  # first request sent
    last_sent_s: float = 0.0  # last request sent: from here on the load drains
    end_s: float = 0.0  # last answer ended
    client_cpu_s: float = 0.0  # of all workers, from the start to the last end
    lateness: Lateness | None = None  # None in a closed loop
    unsent: int = 0  # requests that were due but never sent, because the load was broken off
    workers: int = 1
    interrupted_by: BaseException | None = None
    """What a signal handler raised; the caller decides whether to raise it again."""


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
    on_progress: Callable[[LoadProgress], None] | None = None,
    stop: threading.Event | None = None,
) -> LoadResult:
    """Send `requests` to `endpoint` in the given shape and return what was recorded.

    Returns when the load has ended. It ends early, with what was recorded, when `stop` is set, or when a signal handler
    raises (main thread): nothing more is sent, and what is in flight is recorded as cancelled.

    Args:
        endpoint: where requests go.
        requests: what is sent, in order.
        shape: when requests are sent.
        protocol: parser of the answers.
        timeouts: how long to wait.
        answer_bytes: largest body of one answer; None: as the protocol has it, 8 KiB per token asked for in most, at least 1 MiB.
        workers: processes that share the work: request, arrival and thread i go to worker i mod workers. Kind stream only.
        kind: which client; `requests` and `parallel` run closed loops only.
        tokenizer: counts output tokens where the server does not say.
        on_progress: called about four times a second, in this thread; keep it short.
        stop: ends the load when set.

    Raises:
        EndpointError: when the host cannot be looked up, or the CA file cannot be read.
        MissingProgramError: when a program that this kind of client needs is not installed.
        ValueError: when there are no requests, or this kind of client cannot run the shape.
    """
    if not requests:
        raise ValueError("there are no requests to send")
    check_supported(kind, shape, workers, protocol.transport)
    timeouts = timeouts or Timeouts()
    endpoint.tls()
    workers = max(1, min(workers, shape.threads if isinstance(shape, ClosedLoop) else len(shape.arrivals_s)))
    address = endpoint.address(timeouts.connect_s)
    job_options: Any = {"workers": workers, "kind": kind, "transport": protocol.transport}
    job = Job(endpoint, address, requests, shape, timeouts, protocol.max_answer_bytes, answer_bytes, **job_options)
    report = _Reporter(on_progress, request_count(shape, len(requests)))
    stop = stop or threading.Event()
    with gc_paused():
        numbered, cpu_s, interruption = _run_job(job, protocol, report, stop)
    finish_records([(record, requests[index % len(requests)].exact) for index, record in numbered], tokenizer)
    records = [record for _, record in numbered]
    _name_url(records, shown(endpoint.url))
    return _result(records, cpu_s, interruption, job)


def _name_url(records: Iterable[RequestRecord], url: str) -> None:
    """Name the URL in the errors of requests for which there is nothing."""
    for record in records:
        if record.http_status in NOT_THERE and record.error:
            record.error = record.error.replace(f"HTTP {record.http_status}", f"HTTP {record.http_status} at {url}", 1)


class _Reporter:
    """Calls `on_progress` about four times a second."""

    def __init__(self, on_progress: Callable[[LoadProgress], None] | None, total: int | None) -> None:
        self._on_progress = on_progress
        self._total = total
        self._next_s = monotonic()

    def __call__(self, sent: int, ended: int, failed: int) -> None:
        if self._on_progress and monotonic() >= self._next_s:
            self._next_s = monotonic() + PROGRESS_EVERY_S
            self._on_progress(LoadProgress(sent, ended, failed, self._total))


NumberedRecords = tuple[list[tuple[int, RequestRecord]], float, BaseException | None]
"""Records with the numbers of their requests, CPU seconds, and the exception that interrupted the load."""


def _run_job(job: Job, protocol: Protocol, report: _Reporter, stop: threading.Event) -> NumberedRecords:
    """Run the job in this process, or with several workers or threads in worker processes."""
    if job.workers == 1 and job.kind != "requests" and job.transport == "http":
        return _run_here(job, protocol, report, stop)
    from servegrid.client.worker_pool import run_in_workers

    return run_in_workers(job, protocol, report, stop)


def _run_here(job: Job, protocol: Protocol, report: _Reporter, stop: threading.Event) -> NumberedRecords:
    """Run the job in this process."""

    def watch(counts: LoadCounts) -> str | None:
        report(counts.sent, len(counts.exchanges), counts.failed)
        return STOP_REASON if stop.is_set() else None

    result = job_runner(job.kind, job.transport)(job, watch)
    return make_records(result, protocol), result.cpu_s, result.interrupted_by


def make_records(result: JobResult, protocol: Protocol) -> list[tuple[int, RequestRecord]]:
    """Records of a job's exchanges in order of requests, each with its request's number in the whole load."""
    exchanges = sorted(result.exchanges, key=lambda exchange: exchange.index)
    try:
        return [(exchange.index, make_record(exchange, result.spool.log(exchange), protocol)) for exchange in exchanges]
    finally:
        result.spool.close()


def request_count(shape: Shape, given_count: int) -> int | None:
    """Requests of the whole load; None: as many as its duration allows."""
    if isinstance(shape, OpenLoop):
        return len(shape.arrivals_s)
    return shape.count or (given_count if shape.duration_s is None else None)


def _result(records: list[RequestRecord], cpu_s: float, interruption: BaseException | None, job: Job) -> LoadResult:
    sent_s = [record.sent_s for record in records if record.sent_s is not None]
    end_s = [record.end_s for record in records if record.end_s is not None]
    now = monotonic()
    total = request_count(job.shape, len(job.requests))
    lateness_s = sorted(r.sent_s - r.planned_s for r in records if r.sent_s is not None and r.planned_s is not None)
    return LoadResult(
        records=records,
        start_s=min(sent_s, default=now),
        last_sent_s=max(sent_s, default=now),
        end_s=max(end_s, default=now),
        client_cpu_s=cpu_s,
        lateness=Lateness(_quantile(lateness_s, 0.5), _quantile(lateness_s, 0.99)) if lateness_s else None,
        unsent=0 if total is None else total - len(records),
        workers=job.workers,
        interrupted_by=interruption,
    )


def _quantile(ordered: list[float], share: float) -> float:
    """Quantile by nearest rank: the smallest value that `share` of all do not exceed."""
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]
