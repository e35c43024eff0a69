"""Client `parallel`: GNU parallel and curl, a load from the shell, for sweeps that ask what a kind of client costs.

Every request is a process of its own (a shell and curl), on a connection of its own. Its times therefore hold the starts of these
processes too: a request counts as sent when its shell runs. curl hands its output on unbuffered through a named pipe per job slot,
where it is stamped; it is read after the load, as with every kind. Closed loops only.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

from servegrid.client.driver import TICK_S
from servegrid.client.endpoint import DEFAULT_HEADERS
from servegrid.client.exchange import Exchange, Spool
from servegrid.client.framing import with_content_length
from servegrid.client.kinds import missing_programs
from servegrid.client.loop import READ, Loop
from servegrid.client.pacing import worker_exchanges
from servegrid.client.shape import ClosedLoop
from servegrid.client.stream_client import Job, JobResult, Start, Watch, raise_open_file_limit, start_now
from servegrid.records.request import RequestStatus
from servegrid.util import guard
from servegrid.util.tls_trust import trusted_paths

READ_BYTES = 64 * 1024
SHELL_DIED = -1  # in place of an exit status: the job's shell ended without one
SCRIPT = """exec >>slot."$2"
printf '{mark} S %s\\n' "$1"
curl --disable --config common --config job."$1" 2>error."$2"
printf '{mark} E %s\\n' "$?"
"""
CURL_FAULTS: Mapping[int, tuple[RequestStatus, str]] = {
    7: ("disconnected", "no connection"),
    18: ("disconnected", "the server closed the connection within the answer"),
    52: ("disconnected", "the server closed the connection before the answer"),
    55: ("disconnected", "the connection broke while sending"),
    56: ("disconnected", "the connection broke"),
    8: ("malformed", "not HTTP/1.1"),
    1: ("malformed", "not HTTP/1.1"),
}


class MissingProgramError(OSError):
    """A program that this kind of client needs is not installed."""


def run_job(job: Job, watch: Watch, start: Start = start_now) -> JobResult:
    """Run a closed loop with `parallel --jobs <threads>` and one curl per request.

    Raises:
        MissingProgramError: when parallel or curl is not installed.
    """
    if reason := missing_programs():
        raise MissingProgramError(reason)
    raise_open_file_limit()
    loop = Loop()
    interruption: BaseException | None = None
    with tempfile.TemporaryDirectory(prefix="servegrid-parallel-") as folder:
        run = _ParallelRun(job, watch, loop, Path(folder))
        try:
            start(loop, run.begin)
            loop.run()
        except BaseException as error:
            interruption = error
            run.break_off("cancelled", f"the load was broken off ({type(error).__name__})")
        run.close()
    loop.close()
    return JobResult(run.exchanges, Spool(), run.cpu_s, interruption)


class _JobSlot:
    """Named pipe of a job slot: the output of one job after another, between marks."""

    def __init__(self, run: "_ParallelRun", number: int, path: Path) -> None:
        os.mkfifo(path)
        self.fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)  # also for writing, so that no job's end closes it
        self.exchange: Exchange | None = None
        self.number = number  # from 1, as parallel counts
        self._run, self._incomplete, self._bytes_left = run, b"", 0

    def receive(self, _mask: int) -> None:
        """Read, stamp, and keep output; nothing after the load was broken off."""
        if self._run.over:
            return
        with suppress(BlockingIOError):
            data = os.read(self.fd, READ_BYTES)
            self._split(monotonic(), self._incomplete + data)

    def drain(self) -> None:
        """Read all output that is there."""
        with suppress(BlockingIOError):
            while True:
                self._split(monotonic(), self._incomplete + os.read(self.fd, READ_BYTES))

    def _split(self, now: float, data: bytes) -> None:
        """Split output at the marks of job starts and ends; an incomplete mark waits for more."""
        mark = self._run.mark
        while (mark_at := data.find(mark)) >= 0 and (end := data.find(b"\n", mark_at)) >= 0:
            self._keep(now, data[:mark_at])
            _, event, number = data[mark_at:end].split(b" ")
            if event == b"S":
                if self.exchange is not None:
                    self._run.job_ended(self, SHELL_DIED, now)
                self.exchange = self._run.job_started(int(number), self.number - 1, now)
                self._bytes_left = self._run.answer_limit_bytes(self.exchange)
            else:
                self._run.job_ended(self, int(number), now)
            data = data[end + 1 :]
        mark_start = data.rfind(mark[:1])  # a mark may have come in part
        self._incomplete = b"" if mark_start < 0 or len(data) - mark_start > len(mark) + 16 else data[mark_start:]
        self._keep(now, data[: len(data) - len(self._incomplete)])

    def _keep(self, now: float, data: bytes) -> None:
        if not data or self.exchange is None:
            return
        self._bytes_left -= len(data)
        if self._bytes_left >= 0:
            self.exchange.log += [now, data]
        elif self.exchange.fault is None:  # curl is left to its time limit; what it says is not kept
            self.exchange.fault = ("malformed", "the answer is larger than its limit")


class _ParallelRun:
    """One run of GNU parallel over the jobs of a load."""

    def __init__(self, job: Job, watch: Watch, loop: Loop, folder: Path) -> None:
        assert isinstance(job.shape, ClosedLoop)
        self.exchanges: list[Exchange] = []
        self.sent = self.failed = 0
        self.cpu_s = 0.0
        self.mark = b"\x1e" + os.urandom(12).hex().encode()
        self._job, self._watch, self._loop, self._folder, self._shape = job, watch, loop, folder, job.shape
        self._exchanges_left = {
            exchange.index: exchange
            for exchange in worker_exchanges(job.requests, job.shape.count or len(job.requests), 0, 1)
        }
        self._limit_s = float("inf")
        self._process: subprocess.Popen[bytes] | None = None
        self._slots: list[_JobSlot] = []
        self.over = False
        self._write_jobs()

    def _write_jobs(self) -> None:
        bodies: dict[bytes, str] = {}
        for exchange in self._exchanges_left.values():
            body = exchange.request.body
            if body not in bodies:
                bodies[body] = f"body.{len(bodies)}"
                (self._folder / bodies[body]).write_bytes(body)
            lines = {"header": f"x-request-id: {exchange.id}", "data-binary": f"@{bodies[body]}"}
            (self._folder / f"job.{exchange.index}").write_text(_curl_config(lines.items()))
        (self._folder / "common").write_text(_curl_config(self._common_options()))
        mark = self.mark.decode().replace("\x1e", "\\036")
        (self._folder / "job.sh").write_text(SCRIPT.format(mark=mark))
        (self._folder / "jobs").write_text("".join(f"{index}\n" for index in self._exchanges_left))

    def _common_options(self) -> Iterator[tuple[str, Any]]:
        endpoint, timeouts = self._job.endpoint, self._job.timeouts
        flags = ["silent", "show-error", "no-buffer", "include", "http1.1", "globoff", "path-as-is"]
        yield from ((flag, None) for flag in flags + ["insecure"] * (not endpoint.verify))
        yield from {"url": endpoint.url, "request": "POST", "noproxy": "*"}.items()
        yield from {"connect-timeout": timeouts.connect_s, "max-time": timeouts.total_s}.items()
        yield from (("header", f"{name}: {value}") for name, value in {**DEFAULT_HEADERS, **endpoint.headers}.items())
        yield ("header", "Expect:")
        if endpoint.parts.scheme == "https":
            trusted = zip(("cacert", "capath"), trusted_paths(endpoint.ca_file), strict=True)
            yield from ((option, path) for option, path in trusted if path)

    def begin(self, start_s: float) -> None:
        """Start parallel at `start_s` of the monotonic clock."""
        self._begun_cpu_s = _cpu_s()
        self._limit_s = start_s + (self._job.timeouts.load_s or float("inf"))
        for number in range(1, self._shape.threads + 1):
            slot = _JobSlot(self, number, self._folder / f"slot.{number}")
            self._slots.append(slot)
            self._loop.watch(slot.fd, READ, slot.receive)
        self._loop.call_at(start_s, self._launch)
        self._loop.call_at(start_s, self._tick)

    def _launch(self) -> None:
        """Launch parallel under a guard, so that neither it nor a curl outlives this process, however it ends."""
        parallel = ["parallel", "--will-cite", "--jobs", str(self._shape.threads), "--ungroup", "--arg-file", "jobs"]
        status = os.open(self._folder / "status", os.O_WRONLY | os.O_CREAT)
        guarded = [sys.executable, "-I", "-S", guard.__file__, "0", str(status), "--", *parallel, "sh job.sh {} {%}"]
        env = os.environ | {"PARALLEL_SHELL": shutil.which("sh") or "sh", "PARALLEL": "", "PARALLEL_HOME": "."}
        self._program_output = (self._folder / "output").open("wb")
        self._process = subprocess.Popen(
            guarded,
            cwd=self._folder,
            env=env,
            stdin=subprocess.PIPE,
            stdout=self._program_output,
            stderr=self._program_output,
            pass_fds=[status],
        )
        os.close(status)

    def job_started(self, index: int, slot: int, now: float) -> Exchange:
        """Record that a job's shell runs, which counts as its request being sent; return its exchange."""
        exchange = self._exchanges_left.pop(index)
        exchange.thread, exchange.sent_s = slot, now
        self.sent += 1
        return exchange

    def answer_limit_bytes(self, exchange: Exchange) -> int:
        """Largest size of the answer, in bytes."""
        return self._job.answer_limit_bytes(exchange.request)

    def job_ended(self, slot: _JobSlot, status: int, now: float) -> None:
        """Keep the exchange of a job whose curl has ended with this exit status."""
        exchange, slot.exchange = slot.exchange, None
        assert exchange is not None
        exchange.end_s = now
        if status and exchange.fault is None:
            self._set_fault(exchange, status, slot)
        self._keep(exchange)
        if not self._exchanges_left and all(other.exchange is None for other in self._slots):
            self._finish()

    def _set_fault(self, exchange: Exchange, status: int, slot: _JobSlot) -> None:
        """Set the fault of a request from curl's exit status and error output."""
        error_file = self._folder / f"error.{slot.number}"
        curl_error = error_file.read_text(errors="replace").strip()[:200] if error_file.exists() else ""
        timeouts, curl_fault = self._job.timeouts, CURL_FAULTS.get(status)
        if status == 28:
            connected = bool(exchange.log) or "Connection" not in curl_error
            limit = f"no end of the answer within {timeouts.total_s:g} s"
            exchange.fault = ("timeout", limit if connected else f"no connection within {timeouts.connect_s:g} s")
        elif status == SHELL_DIED:
            exchange.fault = ("error", "its shell ended before its request did")
        elif curl_fault:
            exchange.fault = (curl_fault[0], f"{curl_fault[1]}: {curl_error}")
        else:
            exchange.fault = ("error", curl_error or f"curl ended with status {status}")

    def _keep(self, exchange: Exchange) -> None:
        exchange.log = _log_with_content_length(exchange.log, is_whole=exchange.fault is None)
        self.failed += exchange.fault is not None
        self.exchanges.append(exchange)

    def _tick(self) -> None:
        stop_reason = self._watch(self)
        if stop_reason is not None:
            self.break_off("cancelled", stop_reason)
        elif monotonic() >= self._limit_s:
            self.break_off("timeout", f"the load's time limit of {self._job.timeouts.load_s:g} s was over")
        elif self._process is not None and self._process.poll() is not None:
            self._on_parallel_end()
        elif not self.over:
            self._loop.call_at(monotonic() + TICK_S, self._tick)

    def _on_parallel_end(self) -> None:
        """Read what is left in the pipes after parallel's end; it must show that all jobs have ended."""
        for slot in self._slots:
            slot.drain()
        if not self.over:
            output = (self._folder / "output").read_text(errors="replace")[-500:]
            raise RuntimeError(f"GNU parallel ended before its jobs did: {output}")

    def break_off(self, status: RequestStatus, reason: str) -> None:
        """End the load; requests in flight are recorded with this fault."""
        for slot in self._slots:
            exchange, slot.exchange = slot.exchange, None
            if exchange is not None:
                exchange.fault, exchange.end_s = (status, reason), monotonic()
                self._keep(exchange)
        self._finish()

    def _finish(self) -> None:
        self.over = True
        self._loop.stop()

    def close(self) -> None:
        """End parallel and all it started, and read their CPU time."""
        for slot in self._slots:
            self._loop.unwatch(slot.fd)
            os.close(slot.fd)
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait()
            self._program_output.close()
            self.cpu_s = _cpu_s() - self._begun_cpu_s


def _curl_config(lines: Any) -> str:
    return "".join(
        name + ("" if value is None else f" = {json.dumps(str(value), ensure_ascii=False)}") + "\n"
        for name, value in lines
    )


def _log_with_content_length(log: list[Any], is_whole: bool) -> list[Any]:
    """Log with the body's length in the head, as curl has decoded the chunks; one byte more if the body is not whole."""
    raw = b"".join(log[1::2])
    body_start = raw.find(b"\r\n\r\n") + 4
    if body_start < 4:
        return log
    entries, position = [log[0], with_content_length(raw[:body_start], len(raw) - body_start + (not is_whole))], 0
    for t_s, block in zip(log[::2], log[1::2], strict=True):
        body = block[max(0, body_start - position) :]
        position += len(block)
        entries += [t_s, body] if body else []
    return entries


def _cpu_s() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
