"""GNU parallel and curl: a load from the shell, for sweeps that ask what a client's kind costs.

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
from servegrid.client.endpoint import DEFAULTS
from servegrid.client.exchange import Exchange, Spool
from servegrid.client.framing import reframed
from servegrid.client.kinds import missing
from servegrid.client.loop import READ, Loop
from servegrid.client.pacing import exchanges
from servegrid.client.shape import ClosedLoop
from servegrid.client.stream_client import Carried, Job, Start, Watch, allow_many_files, at_once
from servegrid.records.request import RequestStatus
from servegrid.util import guard

READ_BYTES = 64 * 1024
NO_END = -1  # instead of an exit status: the job's shell died
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
    """A program that this kind of client needs is not here."""


def carry_out(job: Job, watch: Watch, start: Start = at_once) -> Carried:
    """Carry a closed loop out with `parallel --jobs <threads>` and one curl per request.

    Raises:
        MissingProgramError: when parallel or curl is not installed.
    """
    if reason := missing():
        raise MissingProgramError(reason)
    allow_many_files()
    loop = Loop()
    interruption: BaseException | None = None
    with tempfile.TemporaryDirectory(prefix="servegrid-parallel-") as folder:
        shop = _Shop(job, watch, loop, Path(folder))
        try:
            start(loop, shop.begin)
            loop.run()
        except BaseException as error:
            interruption = error
            shop.break_off("cancelled", f"the load was broken off ({type(error).__name__})")
        shop.close()
    loop.close()
    return Carried(shop.exchanges, Spool(), shop.cpu_s, interruption)


class _Slot:
    """A job slot's pipe: output of one job after another, between marks."""

    def __init__(self, shop: "_Shop", number: int, path: Path) -> None:
        os.mkfifo(path)
        self.fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)  # also for writing, so that no job's end closes it
        self.exchange: Exchange | None = None
        self.number = number  # from 1, as parallel counts
        self._shop, self._rest, self._room = shop, b"", 0

    def receive(self, _mask: int) -> None:
        """Read, stamp, and keep; nothing after the load was broken off."""
        if self._shop.over:
            return
        with suppress(BlockingIOError):
            data = os.read(self.fd, READ_BYTES)
            self._take(monotonic(), self._rest + data)

    def drain(self) -> None:
        """Read all that is there."""
        with suppress(BlockingIOError):
            while True:
                self._take(monotonic(), self._rest + os.read(self.fd, READ_BYTES))

    def _take(self, now: float, data: bytes) -> None:
        mark = self._shop.mark
        while (at := data.find(mark)) >= 0 and (end := data.find(b"\n", at)) >= 0:
            self._keep(now, data[:at])
            _, what, number = data[at:end].split(b" ")
            if what == b"S":
                if self.exchange is not None:
                    self._shop.ended(self, NO_END, now)
                self.exchange = self._shop.begun(int(number), self.number - 1, now)
                self._room = self._shop.room(self.exchange)
            else:
                self._shop.ended(self, int(number), now)
            data = data[end + 1 :]
        held = data.rfind(mark[:1])  # a mark may have come in part
        self._rest = b"" if held < 0 or len(data) - held > len(mark) + 16 else data[held:]
        self._keep(now, data[: len(data) - len(self._rest)])

    def _keep(self, now: float, data: bytes) -> None:
        if not data or self.exchange is None:
            return
        self._room -= len(data)
        if self._room >= 0:
            self.exchange.log += [now, data]
        elif self.exchange.fault is None:  # curl is left to its time limit; what it says is not kept
            self.exchange.fault = ("malformed", "the answer is larger than its limit")


class _Shop:
    """GNU parallel at work on the jobs of one load."""

    def __init__(self, job: Job, watch: Watch, loop: Loop, folder: Path) -> None:
        assert isinstance(job.shape, ClosedLoop)
        self.exchanges: list[Exchange] = []
        self.sent = self.failed = 0
        self.cpu_s = 0.0
        self.mark = b"\x1e" + os.urandom(12).hex().encode()
        self._job, self._watch, self._loop, self._folder, self._shape = job, watch, loop, folder, job.shape
        self._todo = {each.index: each for each in exchanges(job.requests, job.shape.count or len(job.requests), 0, 1)}
        self._limit_s = float("inf")
        self._process: subprocess.Popen[bytes] | None = None
        self._slots: list[_Slot] = []
        self.over = False
        self._write_jobs()

    def _write_jobs(self) -> None:
        bodies: dict[bytes, str] = {}
        for exchange in self._todo.values():
            body = exchange.request.body
            if body not in bodies:
                bodies[body] = f"body.{len(bodies)}"
                (self._folder / bodies[body]).write_bytes(body)
            lines = {"header": f"x-request-id: {exchange.id}", "data-binary": f"@{bodies[body]}"}
            (self._folder / f"job.{exchange.index}").write_text(_curl_config(lines.items()))
        (self._folder / "common").write_text(_curl_config(self._common()))
        mark = self.mark.decode().replace("\x1e", "\\036")
        (self._folder / "job.sh").write_text(SCRIPT.format(mark=mark))
        (self._folder / "jobs").write_text("".join(f"{index}\n" for index in self._todo))

    def _common(self) -> Iterator[tuple[str, Any]]:
        endpoint, timeouts = self._job.endpoint, self._job.timeouts
        flags = ["silent", "show-error", "no-buffer", "include", "http1.1", "globoff", "path-as-is"]
        yield from ((flag, None) for flag in flags + ["insecure"] * (not endpoint.verify))
        yield from {"url": endpoint.url, "request": "POST", "noproxy": "*"}.items()
        yield from {"connect-timeout": timeouts.connect_s, "max-time": timeouts.total_s}.items()
        yield from (("header", f"{name}: {value}") for name, value in {**DEFAULTS, **endpoint.headers}.items())
        yield ("header", "Expect:")
        if endpoint.ca_file:
            yield ("cacert", endpoint.ca_file.absolute())

    def begin(self, start_s: float) -> None:
        """Start parallel at `start_s` of the monotonic clock."""
        self._begun_cpu_s = _cpu_s()
        self._limit_s = start_s + (self._job.timeouts.load_s or float("inf"))
        for number in range(1, self._shape.threads + 1):
            slot = _Slot(self, number, self._folder / f"slot.{number}")
            self._slots.append(slot)
            self._loop.watch(slot.fd, READ, slot.receive)
        self._loop.call_at(start_s, self._launch)
        self._loop.call_at(start_s, self._tick)

    def _launch(self) -> None:
        """Under a guard, so that neither parallel nor a curl outlives this process, however it ends."""
        jobs = ["parallel", "--will-cite", "--jobs", str(self._shape.threads), "--ungroup", "--arg-file", "jobs"]
        status = os.open(self._folder / "status", os.O_WRONLY | os.O_CREAT)
        program = [sys.executable, "-I", "-S", guard.__file__, "0", str(status), "--", *jobs, "sh job.sh {} {%}"]
        env = os.environ | {"PARALLEL_SHELL": shutil.which("sh") or "sh", "PARALLEL": "", "PARALLEL_HOME": "."}
        self._said = (self._folder / "said").open("wb")
        self._process = subprocess.Popen(
            program,
            cwd=self._folder,
            env=env,
            stdin=subprocess.PIPE,
            stdout=self._said,
            stderr=self._said,
            pass_fds=[status],
        )
        os.close(status)

    def begun(self, index: int, slot: int, now: float) -> Exchange:
        """A job's shell runs."""
        exchange = self._todo.pop(index)
        exchange.thread, exchange.sent_s = slot, now
        self.sent += 1
        return exchange

    def room(self, exchange: Exchange) -> int:
        """Bytes that the answer may have."""
        return self._job.room(exchange.request)

    def ended(self, slot: _Slot, status: int, now: float) -> None:
        """A job's curl has ended with this exit status."""
        exchange, slot.exchange = slot.exchange, None
        assert exchange is not None
        exchange.end_s = now
        if status and exchange.fault is None:
            self._blame(exchange, status, slot)
        self._keep(exchange)
        if not self._todo and all(each.exchange is None for each in self._slots):
            self._finish()

    def _blame(self, exchange: Exchange, status: int, slot: _Slot) -> None:
        said = self._folder / f"error.{slot.number}"
        words = said.read_text(errors="replace").strip()[:200] if said.exists() else ""
        timeouts, known = self._job.timeouts, CURL_FAULTS.get(status)
        if status == 28:
            connected = bool(exchange.log) or "Connection" not in words
            limit = f"no end of the answer within {timeouts.total_s:g} s"
            exchange.fault = ("timeout", limit if connected else f"no connection within {timeouts.connect_s:g} s")
        elif status == NO_END:
            exchange.fault = ("error", "its shell ended before its request did")
        elif known:
            exchange.fault = (known[0], f"{known[1]}: {words}")
        else:
            exchange.fault = ("error", words or f"curl ended with status {status}")

    def _keep(self, exchange: Exchange) -> None:
        exchange.log = _as_http(exchange.log, whole=exchange.fault is None)
        self.failed += exchange.fault is not None
        self.exchanges.append(exchange)

    def _tick(self) -> None:
        words = self._watch(self)
        if words is not None:
            self.break_off("cancelled", words)
        elif monotonic() >= self._limit_s:
            self.break_off("timeout", f"the load's time limit of {self._job.timeouts.load_s:g} s was over")
        elif self._process is not None and self._process.poll() is not None:
            self._end_with_parallel()
        elif not self.over:
            self._loop.call_at(monotonic() + TICK_S, self._tick)

    def _end_with_parallel(self) -> None:
        """It has ended: rightly, if what is still in the pipes says so."""
        for slot in self._slots:
            slot.drain()
        if not self.over:
            said = (self._folder / "said").read_text(errors="replace")[-500:]
            raise RuntimeError(f"GNU parallel ended before its jobs did: {said}")

    def break_off(self, status: RequestStatus, words: str) -> None:
        """Record what is in flight as it stands."""
        for slot in self._slots:
            exchange, slot.exchange = slot.exchange, None
            if exchange is not None:
                exchange.fault, exchange.end_s = (status, words), monotonic()
                self._keep(exchange)
        self._finish()

    def _finish(self) -> None:
        self.over = True
        self._loop.stop()

    def close(self) -> None:
        """End parallel and all it started; then its CPU time is known."""
        for slot in self._slots:
            self._loop.forget(slot.fd)
            os.close(slot.fd)
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait()
            self._said.close()
            self.cpu_s = _cpu_s() - self._begun_cpu_s


def _curl_config(lines: Any) -> str:
    return "".join(
        name + ("" if value is None else f" = {json.dumps(str(value), ensure_ascii=False)}") + "\n"
        for name, value in lines
    )


def _as_http(log: list[Any], whole: bool) -> list[Any]:
    """The log as if the body, which curl has taken out of its chunks, had come with its length; more of it if not whole."""
    raw = b"".join(log[1::2])
    end = raw.find(b"\r\n\r\n") + 4
    if end < 4:
        return log
    kept, at = [log[0], reframed(raw[:end], len(raw) - end + (not whole))], 0
    for t_s, block in zip(log[::2], log[1::2], strict=True):
        body = block[max(0, end - at) :]
        at += len(block)
        kept += [t_s, body] if body else []
    return kept


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)
