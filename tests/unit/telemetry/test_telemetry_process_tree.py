"""The server's process tree and the host, on real processes."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

import psutil
import pytest

from servegrid.telemetry.buffer import Row
from servegrid.telemetry.cpu_meter import CpuMeter
from servegrid.telemetry.host import HostSampler
from servegrid.telemetry.process_tree import ProcessTree

pytestmark = pytest.mark.slow

TOLD = """
import json, os, signal, subprocess, sys, time
BURN = [sys.executable, "-c", "import time\\nwhile time.process_time() < 0.2: pass"]
for line in sys.stdin:
    exec(json.loads(line))
    print("done", flush=True)
"""


class Told:
    """A Python process that does what it is told."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", TOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.pid = self._process.pid

    def do(self, code: str) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(code) + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n"

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


@pytest.fixture
def server() -> Iterator[Told]:
    told = Told()
    told.do("pass")
    yield told
    descendants = psutil.Process(told.pid).children(recursive=True) if psutil.pid_exists(told.pid) else []
    for descendant in descendants:
        with suppress(psutil.NoSuchProcess):
            descendant.kill()
    told.kill()


def cpu_s(first: Row, second: Row) -> float:
    """CPU seconds between two samples."""
    percent, ends = second["cpu_percent"], (first["t_s"], second["t_s"])
    assert isinstance(percent, float) and isinstance(ends[0], float) and isinstance(ends[1], float)
    return percent / 100 * (ends[1] - ends[0])


def test_the_work_between_two_samples_is_counted(server: Told) -> None:
    tree = ProcessTree([server.pid])
    first = tree.sample()
    server.do("end = time.process_time() + 0.5\nwhile time.process_time() < end: pass")
    second = tree.sample()
    assert first["cpu_percent"] is None
    assert cpu_s(first, second) == pytest.approx(0.5, abs=0.1)
    assert (first["processes"], first["device"]) == (1, "server")


def test_children_that_come_and_go_between_two_samples_are_counted(server: Told) -> None:
    tree = ProcessTree([server.pid])
    before, first = psutil.Process(server.pid).cpu_times(), tree.sample()
    server.do("for _ in range(4): subprocess.run(BURN)")
    after, second = psutil.Process(server.pid).cpu_times(), tree.sample()
    spent = sum(after[:4]) - sum(before[:4])
    assert after.children_user + after.children_system >= 0.5
    assert cpu_s(first, second) == pytest.approx(spent, abs=0.1)
    assert second["processes"] == 1


def test_living_children_count_with_memory_and_grandchildren(server: Told) -> None:
    tree = ProcessTree([server.pid])
    alone = tree.sample()
    server.do("one = subprocess.Popen(['sh', '-c', 'sleep 60 & wait'])")
    deadline = time.monotonic() + 60
    while len(psutil.Process(server.pid).children(recursive=True)) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(1.1)  # children are looked for once a second
    together = tree.sample()
    assert together["processes"] == 3
    assert int(str(together["memory_bytes"])) > int(str(alone["memory_bytes"]))


def test_a_zombie_is_no_process_and_its_work_is_not_lost(server: Told) -> None:
    tree = ProcessTree([server.pid])
    first = tree.sample()
    server.do("child = subprocess.Popen(BURN)\nos.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)")
    time.sleep(1.1)
    second = tree.sample()
    server.do("child.wait()")
    time.sleep(0.2)
    third = tree.sample()
    assert second["processes"] == third["processes"] == 1
    assert cpu_s(first, second) >= 0.15
    assert cpu_s(second, third) < 0.1, "reaping a child is not work"


def test_children_are_followed_when_the_server_itself_was_killed(server: Told) -> None:
    server.do("child = subprocess.Popen(['sleep', '60'])")
    orphan = psutil.Process(server.pid).children()[0]
    tree = ProcessTree([server.pid])
    assert tree.sample()["processes"] == 2
    server.kill()
    time.sleep(0.2)
    assert tree.sample()["processes"] == 1
    orphan.kill()
    deadline = time.monotonic() + 30
    while orphan.is_running() and orphan.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        time.sleep(0.02)
    assert tree.sample()["processes"] == 0


def test_a_server_that_was_never_there_is_no_process_and_no_error() -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    row = ProcessTree([child.pid]).sample()
    assert (row["processes"], row["memory_bytes"], row["cpu_percent"], row.get("error")) == (0, 0, None, None)


def test_processes_that_may_not_be_read_leave_a_hole_and_a_reason(
    server: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = ProcessTree([server.pid])

    def denied(_: psutil.Process) -> None:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil.Process, "status", denied)
    row = tree.sample()
    assert row["cpu_percent"] is None
    assert row["error"] == "1 of the server's processes may not be looked at"


def test_two_roots_are_one_server(server: Told) -> None:
    other = Told()
    assert ProcessTree([server.pid, other.pid]).sample()["processes"] == 2
    other.kill()


def test_the_host_sees_the_work_of_a_process_that_it_does_not_know(server: Told) -> None:
    host = HostSampler()
    first = host.sample()
    server.do("end = time.process_time() + 0.5\nwhile time.process_time() < end: pass")
    second = host.sample()
    assert first["cpu_percent"] is None
    assert cpu_s(first, second) >= 0.4


@pytest.mark.parametrize(
    ("readings", "percents"),
    [
        ([(0.0, 5.0), (2.0, 7.0), (3.0, 9.0)], [None, 100.0, 200.0]),
        ([(0.0, 5.0), (0.05, 5.1), (1.0, 6.0)], [None, None, 100.0]),  # too soon after: the next covers both
        ([(0.0, 5.0), (1.0, 2.0), (2.0, 3.0)], [None, None, 100.0]),  # a process took its share away
        ([(0.0, 5.0), (1.0, 4.99)], [None, 0.0]),  # rounding of the kernel's steps
    ],
)
def test_cpu_meter(readings: list[tuple[float, float]], percents: list[float | None]) -> None:
    meter = CpuMeter()
    assert [meter.percent(*reading) for reading in readings] == percents
