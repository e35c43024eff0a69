"""Start a server and make sure that it ends when its measuring job does, however the job ends.

Run as a program of its own: `python guard.py STOP_TIMEOUT_S STATUS_FD -- COMMAND...`. Standard input is its lifeline: when the other
end closes (the job is done, was interrupted, or was killed with SIGKILL), the server and all its descendants are stopped. The
guard is the reaper of everything the server leaves behind (PR_SET_CHILD_SUBREAPER), so that no daemonised child escapes, and the
server gets SIGKILL if the guard itself is killed (PR_SET_PDEATHSIG).

It writes JSON lines to STATUS_FD: `{"pid": 123}` when the server was started or `{"error": "..."}` when it could not be, and
`{"exit": 0}` or `{"signal": 9}` when it ended. It imports the standard library alone, so that it is there at once.
"""

import ctypes
import json
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
_prctl = ctypes.CDLL(None, use_errno=True).prctl


def main() -> None:
    """Start the server, wait for its end or for that of the lifeline, and leave no process behind."""
    stop_timeout_s, status_fd, command = float(sys.argv[1]), int(sys.argv[2]), sys.argv[4:]
    # Ctrl-C and the like reach the job, which closes the lifeline; the guard must outlive them.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    server = _start(command, status_fd)
    _report(status_fd, {"pid": server})
    ended = _wait(server)
    if ended is None:
        ended = _stop(server, stop_timeout_s)
    _kill_descendants()
    _report(status_fd, ended)


def _start(command: list[str], status_fd: int) -> int:
    """Fork and exec the server in a session of its own and return its pid; if it cannot be run, report that and exit."""
    reading, writing = os.pipe()
    guard, pid = os.getpid(), os.fork()
    if pid == 0:
        try:
            _exec_server(command, guard, [status_fd, reading])
        except OSError as error:
            os.write(writing, f"{command[0]}: {error.strerror}".encode())
        os._exit(127)
    os.close(writing)
    problem = os.read(reading, 1000).decode()
    if problem:
        _report(status_fd, {"error": problem})
        sys.exit(127)
    return pid


def _exec_server(command: list[str], guard: int, not_for_server: list[int]) -> None:
    """Replace the forked child by the server: without `not_for_server` descriptors, killed when the guard is."""
    os.setsid()
    for fd in not_for_server:
        os.close(fd)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != guard:  # the guard died before the line above
        os._exit(127)
    os.execvp(command[0], command)


def _wait(server: int) -> dict[str, int] | None:
    """Wait for the server's end and return how it ended; None when the lifeline closed first."""
    pidfd = os.pidfd_open(server)
    while True:
        ready, _, _ = select.select([pidfd, 0], [], [])
        if pidfd in ready:
            return _exit_status(server)
        if not os.read(0, 4096):
            return None


def _stop(server: int, stop_timeout_s: float) -> dict[str, int]:
    """Send SIGTERM to the server's process group, SIGKILL after `stop_timeout_s`; return how it ended."""
    _signal_group(server, signal.SIGTERM)
    pidfd = os.pidfd_open(server)
    if not select.select([pidfd], [], [], stop_timeout_s)[0]:
        _signal_group(server, signal.SIGKILL)
    return _exit_status(server)


def _signal_group(server: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(server, number)


def _exit_status(server: int) -> dict[str, int]:
    _, status = os.waitpid(server, 0)
    return {"signal": os.WTERMSIG(status)} if os.WIFSIGNALED(status) else {"exit": os.WEXITSTATUS(status)}


def _kill_descendants() -> None:
    """Kill what is left below the guard, until nothing is: orphans come to it, so each round finds those of the last."""
    while True:
        for pid in _descendants(os.getpid()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
        except ChildProcessError:
            return
        time.sleep(0.01)


def _descendants(root: int) -> Iterator[int]:
    """Yield the pids of all processes below `root`, parents first."""
    children: dict[int, list[int]] = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat") as stat:
                parent = int(stat.read().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(entry))
    descendants = children.get(root, [])
    for pid in descendants:
        yield pid
        descendants.extend(children.get(pid, []))


def _report(status_fd: int, message: dict[str, Any]) -> None:
    with suppress(OSError):  # nobody may listen any more
        os.write(status_fd, json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    main()
