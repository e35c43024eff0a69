"""Run a load in several worker processes. Each is a fresh interpreter: no threads, locks or memory are inherited."""

import os
import pickle
import selectors
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from servegrid.client.stream_client import Job
from servegrid.protocols.base import Protocol
from servegrid.records.request import RequestRecord
from servegrid.util.clock import now_s

START_DELAY_S = 0.02  # from the command to start to the common start
_POLL_S = 0.05
_ROOT = Path(__file__).parents[2]

Report = Callable[[int, int, int], None]


class WorkerError(RuntimeError):
    """A worker process died; says with which status and output."""


@dataclass(slots=True)
class _Worker:
    """A worker process, seen from its parent."""

    process: "subprocess.Popen[bytes]"
    result: Path
    errors: IO[bytes]
    counts: tuple[int, int, int] = (0, 0, 0)
    ready: bool = False
    done: bool = False
    incomplete: bytes = b""

    def send(self, line: str) -> None:
        """Send one line; that a worker is gone is noticed elsewhere."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
        except OSError:
            return

    def read(self) -> None:
        """Read lines of the worker."""
        assert self.process.stdout is not None
        output = os.read(self.process.stdout.fileno(), 65536)
        if not output and not self.done:
            self.fail()
        *lines, self.incomplete = (self.incomplete + output).split(b"\n")
        for line in lines:
            keyword, *numbers = line.split()
            self.ready |= keyword == b"ready"
            self.done |= keyword == b"done"
            if keyword == b"counts":
                self.counts = (int(numbers[0]), int(numbers[1]), int(numbers[2]))

    def fail(self) -> None:
        """Raise WorkerError with the worker's last output."""
        status = self.process.wait()
        self.errors.seek(0)
        output = self.errors.read()[-2000:].decode(errors="replace").strip()
        raise WorkerError(f"a worker of the load client ended with status {status}: {output or 'it said nothing'}")


@dataclass(slots=True)
class _WorkerPool:
    """The worker processes of a load."""

    workers: list[_Worker] = field(default_factory=list)
    selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)

    def add(self, worker: _Worker) -> None:
        self.workers.append(worker)
        assert worker.process.stdout is not None
        self.selector.register(worker.process.stdout, selectors.EVENT_READ, worker)

    def read_lines(self) -> None:
        """Read lines of all workers, for up to _POLL_S."""
        for key, _ in self.selector.select(_POLL_S):
            key.data.read()
            if key.data.done:
                self.selector.unregister(key.fileobj)

    def send(self, line: str) -> None:
        for worker in self.workers:
            worker.send(line)

    def end(self) -> None:
        for worker in self.workers:
            if worker.process.poll() is None and not worker.done:
                worker.process.kill()
            worker.process.communicate()
            worker.errors.close()
        self.selector.close()


def run_in_workers(
    job: Job, protocol: Protocol, report: Report, stop: threading.Event
) -> tuple[list[tuple[int, RequestRecord]], float, BaseException | None]:
    """Run the job in `job.workers` processes; return records in order of requests, CPU seconds of all, and what interrupted it.

    Raises:
        WorkerError: when one of them dies.
    """
    pool = _WorkerPool()
    with tempfile.TemporaryDirectory(prefix="servegrid-load-") as folder:
        try:
            for number in range(job.workers):
                pool.add(_launch(Path(folder, str(number))))
            for number, worker in enumerate(
                pool.workers
            ):  # not before all have been launched: each reads when it is ready
                _send_job(worker, replace(job, worker=number), protocol)
            interruption = _run_all(pool, report, stop)
            return *_collect_results(pool), interruption
        finally:
            pool.end()


def _launch(result: Path) -> _Worker:
    errors = tempfile.TemporaryFile()  # noqa: SIM115
    env = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    }
    command = [sys.executable, "-m", "servegrid.client.worker_process"]
    pipe = subprocess.PIPE
    # a session of its own: Ctrl-C is for the parent, which says stop; if the parent is killed, its pipe says so
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors, env=env, start_new_session=True)
    return _Worker(process, result, errors)


def _send_job(worker: _Worker, job: Job, protocol: Protocol) -> None:
    assert worker.process.stdin is not None
    task = pickle.dumps((job, protocol, worker.result), protocol=5)
    try:
        worker.process.stdin.write(len(task).to_bytes(8, "big") + task)
        worker.process.stdin.flush()
    except OSError:
        worker.fail()


def _run_all(pool: _WorkerPool, report: Report, stop: threading.Event) -> BaseException | None:
    """Start all workers together, report their counts, and stop them when asked to."""
    interruption: BaseException | None = None
    started = stopped = False
    while not all(worker.done for worker in pool.workers):
        try:
            if not started and all(worker.ready for worker in pool.workers):
                started = True
                pool.send(f"start {now_s() + START_DELAY_S!r}")
            if stop.is_set() and not stopped:
                stopped = True
                pool.send("stop")
            pool.read_lines()
            report(*map(sum, zip(*(worker.counts for worker in pool.workers), strict=True)))
        except WorkerError:
            raise
        except BaseException as error:
            if interruption is not None:  # asked twice: at once
                raise
            interruption, stopped = error, True
            pool.send("stop")
    return interruption


def _collect_results(pool: _WorkerPool) -> tuple[list[tuple[int, RequestRecord]], float]:
    parts: list[list[tuple[int, RequestRecord]]] = []
    cpu_s = 0.0
    for worker in pool.workers:
        records_and_cpu_s: Any = pickle.loads(worker.result.read_bytes())
        parts.append(records_and_cpu_s[0])
        cpu_s += records_and_cpu_s[1]
    return sorted((pair for part in parts for pair in part), key=lambda pair: pair[0]), cpu_s
