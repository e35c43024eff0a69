"""A job ends with the one that started it, or with the one before, and with no other."""

import os
import signal
import subprocess
import sys

import pytest

from isolation import REPOSITORY
from servegrid.host import parent_watch

SCRIPTS = REPOSITORY / "workflow" / "scripts"
CHILD = f"""
import os, signal, sys
sys.path.insert(0, {str(SCRIPTS)!r})
from servegrid.host import parent_watch
def told(number, frame):
    print("told", flush=True)
    os._exit(0)
signal.signal(signal.SIGTERM, told)
parent_watch.terminate_with_parent()
print(os.getppid(), flush=True)
while True:
    signal.pause()
"""
STARTS_IT = "import subprocess, sys; sys.exit(subprocess.Popen([sys.executable, '-c', sys.argv[1]]).wait())"


@pytest.mark.slow
@pytest.mark.parametrize("killed", ["parent", "grandparent"])
def test_a_process_is_told_when_its_parent_or_grandparent_is_killed(killed: str) -> None:
    nested = [
        sys.executable,
        "-c",
        f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {STARTS_IT!r}, {CHILD!r}]).wait()",
    ]
    with subprocess.Popen(nested, stdout=subprocess.PIPE, text=True) as grandparent:
        assert grandparent.stdout
        parent = int(grandparent.stdout.readline())
        assert parent != grandparent.pid
        os.kill(parent if killed == "parent" else grandparent.pid, signal.SIGKILL)
        assert grandparent.stdout.readline() == "told\n"
        grandparent.kill()
        if killed == "grandparent":
            os.kill(parent, signal.SIGKILL)


def test_the_parent_of_a_process() -> None:
    assert parent_watch._parent_pid(os.getpid()) == os.getppid()
    assert parent_watch._parent_pid(2**22 + 1) == 0


def test_nobody_to_watch_is_no_reason_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of init and of what is gone already there is nothing to watch."""
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("nobody ended"))
    assert parent_watch._open_pidfd(1) is parent_watch._open_pidfd(0) is parent_watch._open_pidfd(2**22 + 1) is None
    parent_watch._terminate_when_ended([])


def test_an_end_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[int, int]] = []
    with subprocess.Popen(["sleep", "60"]) as process:
        handle = parent_watch._open_pidfd(process.pid)
        assert handle is not None
        process.kill()
        monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
        parent_watch._terminate_when_ended([handle])
    assert sent == [(os.getpid(), signal.SIGTERM)]
    os.close(handle)
