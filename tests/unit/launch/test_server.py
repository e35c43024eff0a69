"""A server ends when its job does, however that ends, and its death is noticed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from isolation import REPOSITORY
from servegrid.host.ports import free_port
from servegrid.launch.exit_reason import describe_exit, failure_kind
from servegrid.launch.server import POLL_S, Server, ServerError

pytestmark = pytest.mark.slow

SCRIPTS = REPOSITORY / "workflow" / "scripts"


def gone(pid: int, limit_s: float = 60) -> bool:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.05)
    return False


def number_in(path: Path, limit_s: float = 60) -> int:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if path.exists() and (text := path.read_text()).endswith("\n"):
            return int(text)
        time.sleep(0.02)
    raise TimeoutError(path)


def test_a_program_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="/nonexistent: No such file"), Server(["/nonexistent"], tmp_path / "log", 1):
        pass


def test_a_server_that_dies_at_start_is_noticed(tmp_path: Path) -> None:
    with Server(["sh", "-c", "echo broken >&2; exit 3"], tmp_path / "log", free_port()) as server:
        with pytest.raises(ServerError) as caught:
            server.wait_ready(server.url + "/", 60)
        assert (caught.value.kind, str(caught.value)) == ("crashed", "ended before it was ready: exit status 3")
    assert (tmp_path / "log").read_text() == "broken\n"


def test_a_server_that_never_gets_ready(tmp_path: Path) -> None:
    with Server(["sleep", "60"], tmp_path / "log", free_port()) as server:
        with pytest.raises(ServerError) as caught:
            server.wait_ready(server.url + "/", 0.3)
        assert caught.value.kind == "start-timeout"
        assert str(caught.value) == "was not ready within 0.3 s (server.start_timeout_s)"
    assert gone(server.pid)


def test_ready_then_stopped(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(tmp_path)]
    with Server(command, tmp_path / "log", port) as server:
        server.wait_ready(server.url + "/", 60)
        assert server.alive
        start = server.start_up
        assert start.listening_s is not None and start.ready_s is not None
        assert start.launched_s <= start.listening_s <= start.ready_s
    assert server.ended == {"signal": signal.SIGTERM}
    assert not psutil.pid_exists(server.pid)


def test_what_ignores_sigterm_or_left_its_session_is_killed(tmp_path: Path) -> None:
    script = f"trap '' TERM; (setsid sh -c 'echo $$ > {tmp_path}/stray; exec sleep 1000' &); sleep 1001"
    with Server(["sh", "-c", script], tmp_path / "log", 1, stop_timeout_s=0.2) as server:
        stray = number_in(tmp_path / "stray")
    assert server.ended == {"signal": signal.SIGKILL}
    assert not psutil.pid_exists(stray)


def test_a_job_killed_without_a_word_takes_its_server_along(tmp_path: Path) -> None:
    code = f"""
import os, signal, sys
sys.path.insert(0, {str(SCRIPTS)!r})
from pathlib import Path
from servegrid.launch.server import Server
script = "(setsid sh -c 'echo $$ > {tmp_path}/stray; exec sleep 1000' &); sleep 1001"
server = Server(["sh", "-c", script], Path({str(tmp_path / "log")!r}), 1, stop_timeout_s=0.2).__enter__()
print(server.pid, server._guard.pid, flush=True)
sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as job:
        assert job.stdout
        server, guard = map(int, job.stdout.readline().split())
        stray = number_in(tmp_path / "stray")
        job.kill()
    assert gone(server) and gone(stray) and gone(guard)


def test_a_guard_that_is_killed_takes_its_server_along(tmp_path: Path) -> None:
    with Server(["sleep", "1000"], tmp_path / "log", 1) as server:
        os.kill(server._guard.pid, signal.SIGKILL)
        assert gone(server.pid)
        assert not server.alive
    assert server.ended == {"signal": signal.SIGKILL}


def test_a_death_that_is_about_to_happen_is_waited_for(tmp_path: Path) -> None:
    dies = f"until [ -e {tmp_path}/now ]; do sleep 0.1; done; exit 4"
    with Server(["sh", "-c", dies], tmp_path / "log", free_port()) as server:
        assert not server.dies_within(0.0)
        (tmp_path / "now").touch()
        assert server.dies_within(60.0)
    assert server.ended == {"exit": 4}


def test_readable_exit_reasons() -> None:
    assert describe_exit({"exit": 2}) == "exit status 2"
    assert describe_exit({"signal": 9}) == "killed by signal 9 (SIGKILL: often the kernel, out of memory)"
    assert describe_exit({"signal": 10}) == "killed by signal 10"
    assert describe_exit({}) == describe_exit(None) == describe_exit({"oom": 1}) == "unknown"
    assert (
        describe_exit({"who": "copy 2", "exit": 1, "error": "no such image"}) == "copy 2: exit status 1: no such image"
    )
    assert describe_exit({"exit": 137, "oom_killed": True, "memory_limit": "4g"}) == (
        "out of memory: exit status 137; the kernel killed a process of the container (engines.<name>.memory_limit = 4g)"
    )


def test_the_log_tells_that_memory_ran_out(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("loading\nCUDA error: out of memory\nbye\n")
    assert describe_exit({"signal": 9}, log) == "out of memory: killed by signal 9; it said: CUDA error: out of memory"
    assert failure_kind({"exit": 1}, log) == "out-of-memory"
    log.write_text("loading\n")
    assert failure_kind({"exit": 1}, log) == "crashed" and failure_kind({"oom_killed": True}, log) == "out-of-memory"


def test_to_wait_for_a_server_is_to_sleep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two looks at the health endpoint there is a pause, and a call of the caller's."""
    pauses: list[float] = []
    ticks: list[int] = []
    with Server(["sleep", "60"], tmp_path / "log", free_port()) as server:
        clock = iter([server.start_up.launched_s + n for n in range(6)])
        monkeypatch.setattr("servegrid.launch.server.now_s", lambda: next(clock))
        monkeypatch.setattr("servegrid.launch.server.time.sleep", pauses.append)
        with pytest.raises(ServerError, match="within 4 s"):
            server.wait_ready(server.url + "/", 4, lambda: ticks.append(1))
    assert pauses == [POLL_S] * 4 and len(ticks) == 4
