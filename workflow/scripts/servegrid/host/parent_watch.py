"""End this process when the one that runs the workflow is gone, even if that was killed by SIGKILL."""

import os
import select
import signal
import threading


def terminate_with_parent() -> None:
    """Send this process SIGTERM as soon as its parent or its grandparent (the job's shell, and Snakemake) ends."""
    watched = [handle for pid in (os.getppid(), _parent_pid(os.getppid())) if (handle := _open_pidfd(pid)) is not None]
    threading.Thread(target=_terminate_when_ended, args=(watched,), daemon=True, name="ancestors").start()


def _terminate_when_ended(watched: list[int]) -> None:
    if watched:
        select.select(watched, [], [])
        os.kill(os.getpid(), signal.SIGTERM)


def _parent_pid(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return int(stat.read().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _open_pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid) if pid > 1 else None
    except OSError:
        return None
