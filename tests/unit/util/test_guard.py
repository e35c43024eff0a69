"""The guard waits by sleeping, and sees through what is left below it."""

import os
import subprocess
import sys

import pytest

from servegrid.util import guard


def test_what_is_left_is_looked_for_again_after_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter([[], [7], [7, 8]])
    reaped = iter([(7, 0), (0, 0), (0, 0), (8, 9), (9, 9)])
    killed, pauses = [], []

    def waitpid(pid: int, options: int) -> tuple[int, int]:
        assert (pid, options) == (-1, os.WNOHANG)
        try:
            return next(reaped)
        except StopIteration:
            raise ChildProcessError from None

    monkeypatch.setattr(guard, "_descendants", lambda _: next(looks))
    monkeypatch.setattr(os, "waitpid", waitpid)
    monkeypatch.setattr(os, "kill", lambda pid, number: killed.append((pid, number)))
    monkeypatch.setattr(guard.time, "sleep", pauses.append)
    guard._kill_descendants()
    assert killed == [(7, 9), (7, 9), (8, 9)] and pauses == [0.01, 0.01]


def test_children_and_their_children_are_found_parents_first() -> None:
    nested = "import subprocess, sys; p = subprocess.Popen(['sleep', '60']); print(p.pid, flush=True); p.wait()"
    with subprocess.Popen([sys.executable, "-c", nested], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        grandchild = int(child.stdout.readline())
        try:
            found = list(guard._descendants(os.getpid()))
            assert found.index(child.pid) < found.index(grandchild) and os.getpid() not in found
            assert list(guard._descendants(child.pid)) == [grandchild]
        finally:
            os.kill(grandchild, 9)
