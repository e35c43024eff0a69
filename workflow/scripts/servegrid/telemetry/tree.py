"""The server: one or more processes and all their descendants."""

from collections.abc import Iterable
from contextlib import suppress

import psutil

from servegrid.telemetry.buffer import Row
from servegrid.telemetry.cpu import CpuMeter
from servegrid.util.clock import now_s

_LOOK_FOR_CHILDREN_S = 1.0  # it reads every process of the host


class ProcessTree:
    """Samples a process tree for TELEMETRY: CPU, memory (RSS, so shared pages count in every process), process count.

    CPU seconds are summed over the tree with what each process inherited from children that it waited for. When a child
    ends, its time moves to its parent, so the sum keeps the work of children that lived between two samples. A process
    seen once is followed when its parent is gone. Where a process left without its parent waiting for it, its time is
    lost and that sample's `cpu_percent` is null.
    """

    def __init__(self, pids: Iterable[int]) -> None:
        self._known: dict[int, psutil.Process] = {}
        for pid in pids:
            with suppress(psutil.Error, ValueError):
                self._known[pid] = psutil.Process(pid)
        self._looked_s = float("-inf")
        self._cpu = CpuMeter()

    def sample(self) -> Row:
        """One row; `processes` is 0 once all have ended (zombies do not count)."""
        self._look_for_children()
        now = now_s()
        spent, rss, alive, denied = self._measure()
        row: Row = {"t_s": now, "device": "server", "processes": alive, "memory_bytes": rss}
        row["cpu_percent"] = self._cpu.percent(now, spent) if self._known and not denied else None
        if denied:
            row["error"] = f"{denied} of the server's processes may not be looked at"
        return row

    def _measure(self) -> tuple[float, int, int, int]:
        """CPU seconds, RSS bytes, processes alive, processes that may not be read.

        Parents come first; a pass in which nobody vanished therefore counts no time twice and misses none.
        """
        for _ in range(3):
            before = len(self._known)
            found = self._read()
            if len(self._known) == before:
                break
        return found

    def _read(self) -> tuple[float, int, int, int]:
        spent, rss, alive, denied = 0.0, 0, 0, 0
        for pid, process in list(self._known.items()):
            try:
                with process.oneshot():
                    spent += sum(process.cpu_times()[:4])
                    rss += process.memory_info().rss
                    alive += process.status() != psutil.STATUS_ZOMBIE
            except psutil.NoSuchProcess:
                del self._known[pid]
            except psutil.AccessDenied:
                denied += 1
        return spent, rss, alive, denied

    def _look_for_children(self) -> None:
        if now_s() - self._looked_s < _LOOK_FOR_CHILDREN_S:
            return
        self._looked_s = now_s()
        found: dict[int, psutil.Process] = {}
        for pid, process in list(self._known.items()):
            if not process.is_running():  # the pid may be another process's by now
                del self._known[pid]
            elif pid not in found:
                with suppress(psutil.Error):
                    found |= {child.pid: child for child in process.children(recursive=True)}
        self._known |= {pid: process for pid, process in found.items() if pid not in self._known}
