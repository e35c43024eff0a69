"""Several worker processes for one load. Each is a fresh interpreter: no threads, locks or memory come along."""

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

START_IN_S = 0.02  # from the word to begin to the common start
_POLL_S = 0.05
_ROOT = Path(__file__).parents[2]

Report = Callable[[int, int, int], None]


class WorkerError(RuntimeError):
    """A worker process died; says how."""


@dataclass(slots=True)
class _Worker:
    """A worker as its parent sees it."""

    process: "subprocess.Popen[bytes]"
    result: Path
    errors: IO[bytes]
    counts: tuple[int, int, int] = (0, 0, 0)
    ready: bool = False
    done: bool = False
    rest: bytes = b""

    def say(self, line: str) -> None:
        """Send one line; a worker that is gone is found out elsewhere."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
        except OSError:
            return

    def read(self) -> None:
        """Take in what it said."""
        assert self.process.stdout is not None
        said = os.read(self.process.stdout.fileno(), 65536)
        if not said and not self.done:
            self.fail()
        *lines, self.rest = (self.rest + said).split(b"\n")
        for line in lines:
            word, *numbers = line.split()
            self.ready |= word == b"ready"
            self.done |= word == b"done"
            if word == b"counts":
                self.counts = (int(numbers[0]), int(numbers[1]), int(numbers[2]))

    def fail(self) -> None:
        """Raise what it said before it died."""
        status = self.process.wait()
        self.errors.seek(0)
        said = self.errors.read()[-2000:].decode(errors="replace").strip()
        raise WorkerError(f"a worker of the load client ended with status {status}: {said or 'it said nothing'}")


@dataclass(slots=True)
class _Team:
    """All workers of a load."""

    workers: list[_Worker] = field(default_factory=list)
    selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)

    def add(self, worker: _Worker) -> None:
        self.workers.append(worker)
        assert worker.process.stdout is not None
        self.selector.register(worker.process.stdout, selectors.EVENT_READ, worker)

    def listen(self) -> None:
        """Take in what any of them says, for a moment."""
        for key, _ in self.selector.select(_POLL_S):
            key.data.read()
            if key.data.done:
                self.selector.unregister(key.fileobj)

    def say(self, line: str) -> None:
        for worker in self.workers:
            worker.say(line)

    def end(self) -> None:
        for worker in self.workers:
            if worker.process.poll() is None and not worker.done:
                worker.process.kill()
            worker.process.communicate()
            worker.errors.close()
        self.selector.close()


def share_out(
    job: Job, protocol: Protocol, report: Report, stop: threading.Event
) -> tuple[list[tuple[int, RequestRecord]], float, BaseException | None]:
    """Carry the job out in `job.workers` processes: records in order of requests, CPU seconds of all, and what interrupted it.

    Raises:
        WorkerError: when one of them dies.
    """
    team = _Team()
    with tempfile.TemporaryDirectory(prefix="servegrid-load-") as folder:
        try:
            for number in range(job.workers):
                team.add(_launch(Path(folder, str(number))))
            for number, worker in enumerate(
                team.workers
            ):  # not before all have been launched: each reads when it is ready
                _tell(worker, replace(job, worker=number), protocol)
            interruption = _conduct(team, report, stop)
            return *_gather(team), interruption
        finally:
            team.end()


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


def _tell(worker: _Worker, job: Job, protocol: Protocol) -> None:
    assert worker.process.stdin is not None
    task = pickle.dumps((job, protocol, worker.result), protocol=5)
    try:
        worker.process.stdin.write(len(task).to_bytes(8, "big") + task)
        worker.process.stdin.flush()
    except OSError:
        worker.fail()


def _conduct(team: _Team, report: Report, stop: threading.Event) -> BaseException | None:
    """Start all together, pass counts on, and stop them when told."""
    interruption: BaseException | None = None
    started = stopped = False
    while not all(worker.done for worker in team.workers):
        try:
            if not started and all(worker.ready for worker in team.workers):
                started = True
                team.say(f"start {now_s() + START_IN_S!r}")
            if stop.is_set() and not stopped:
                stopped = True
                team.say("stop")
            team.listen()
            report(*map(sum, zip(*(worker.counts for worker in team.workers), strict=True)))
        except WorkerError:
            raise
        except BaseException as error:
            if interruption is not None:  # asked twice: at once
                raise
            interruption, stopped = error, True
            team.say("stop")
    return interruption


def _gather(team: _Team) -> tuple[list[tuple[int, RequestRecord]], float]:
    parts: list[list[tuple[int, RequestRecord]]] = []
    cpu_s = 0.0
    for worker in team.workers:
        found: Any = pickle.loads(worker.result.read_bytes())
        parts.append(found[0])
        cpu_s += found[1]
    return sorted((pair for part in parts for pair in part), key=lambda pair: pair[0]), cpu_s
