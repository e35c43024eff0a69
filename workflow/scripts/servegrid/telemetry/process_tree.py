"""Sample a server: one or more processes and all their descendants."""

from collections.abc import Iterable
from contextlib import suppress

import psutil

from servegrid.telemetry.buffer import Row
from servegrid.telemetry.cpu_meter import CpuMeter
from servegrid.util.clock import now_s

_FIND_CHILDREN_EVERY_S = 1.0  # it reads every process of the host


class ProcessTree:
    """Samples a process tree for TELEMETRY: CPU, memory (RSS, so shared pages count in every process), process count.

    CPU seconds are summed over the tree with what each process inherited from children that it waited for. When a child
    ends, its time moves to its parent, so the sum keeps the work of children that lived between two samples. A process
    seen once is followed when its parent is gone. Where a process left without its parent waiting for it, its time is
    lost and that sample's `cpu_percent` is null.
    """

    def __init__(self, pids: Iterable[int]) -> None:
        self._processes: dict[int, psutil.Process] = {}
        for pid in pids:
            with suppress(psutil.Error, ValueError):
                self._processes[pid] = psutil.Process(pid)
        self._children_read_s = float("-inf")
        self._cpu = CpuMeter()

    def sample(self) -> Row:
        """Row of TELEMETRY; `processes` is 0 once all have ended (zombies do not count)."""
        self._find_children()
        now = now_s()
        spent, rss, alive, denied = self._measure()
        row: Row = {"t_s": now, "device": "server", "processes": alive, "memory_bytes": rss}
        row["cpu_percent"] = self._cpu.percent(now, spent) if self._processes and not denied else None
        if denied:
            row["error"] = f"{denied} of the server's processes may not be looked at"
        return row

    def _measure(self) -> tuple[float, int, int, int]:
        """CPU seconds, RSS bytes, number of processes alive, and of those that may not be read.

        Parents come first; a pass in which no process vanished therefore counts no time twice and misses none.
        """
        for _ in range(3):
            count_before = len(self._processes)
            totals = self._sum_up()
            if len(self._processes) == count_before:
                break
        return totals

    def _sum_up(self) -> tuple[float, int, int, int]:
        """Sums of one pass, as `_measure`; processes that have ended are forgotten."""
        spent, rss, alive, denied = 0.0, 0, 0, 0
        for pid, process in list(self._processes.items()):
            try:
                with process.oneshot():
                    spent += sum(process.cpu_times()[:4])
                    rss += process.memory_info().rss
                    alive += process.status() != psutil.STATUS_ZOMBIE
            except psutil.NoSuchProcess:
                del self._processes[pid]
            except psutil.AccessDenied:
                denied += 1
        return spent, rss, alive, denied

    def _find_children(self) -> None:
        if now_s() - self._children_read_s < _FIND_CHILDREN_EVERY_S:
            return
        self._children_read_s = now_s()
        descendants: dict[int, psutil.Process] = {}
        for pid, process in list(self._processes.items()):
            if not process.is_running():  # the pid may be another process's by now
                del self._processes[pid]
            elif pid not in descendants:
                with suppress(psutil.Error):
                    descendants |= {child.pid: child for child in process.children(recursive=True)}
        self._processes |= {pid: process for pid, process in descendants.items() if pid not in self._processes}
