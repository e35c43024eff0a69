"""Is a GPU free, and is its memory back? Asked before a launch and after a stop; nobody's process is ever touched."""

import time
from collections.abc import Collection
from dataclasses import dataclass

import psutil

from servegrid.telemetry.nvml import GpuInfo, driver, find, memory_used, processes
from servegrid.util.clock import now_s

ALLOWED_BYTES = 2**30
"""Memory that may be in use on a free GPU: a desktop, and what old drivers count as used but keep for themselves."""
TOLERANCE_BYTES = 256 * 2**20
_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class GpuUser:
    """A compute process on a GPU. What cannot be found out (another container's process) is None."""

    pid: int
    name: str | None
    user: str | None
    memory_bytes: int | None

    def __str__(self) -> str:
        parts = [f"pid {self.pid}"]
        parts += [f"user {self.user}"] if self.user else []
        parts += [_gib(self.memory_bytes)] if self.memory_bytes is not None else []
        return f"{self.name or 'a process'} ({', '.join(parts)})"


@dataclass(frozen=True, slots=True)
class Occupancy:
    """Who and what is on a GPU, apart from ourselves. Memory in bytes; `used_bytes` None: the driver does not say."""

    gpu: GpuInfo
    users: tuple[GpuUser, ...]
    used_bytes: int | None
    allowed_bytes: int

    @property
    def free(self) -> bool:
        """No foreign compute process, and no more memory in use than allowed."""
        return not self.users and (self.used_bytes is None or self.used_bytes <= self.allowed_bytes)

    @property
    def refusal(self) -> str | None:
        """Why nothing may be started on it, in plain words; None if it is free."""
        if self.free:
            return None
        gpu = f"GPU {self.gpu.index} ({self.gpu.name}, {self.gpu.uuid})"
        if self.users:
            why = f"is in use by {', '.join(str(user) for user in self.users)}"
        else:
            why = f"has {_gib(self.used_bytes or 0)} of memory in use, though no process on it can be seen from here"
        return f"{gpu} {why}. It is left alone: wait until it is free, or choose another device."


@dataclass(frozen=True, slots=True)
class MemoryBack:
    """How a wait for memory ended. `back` and `used_bytes` are None where the driver does not say what is in use."""

    back: bool | None
    used_bytes: int | None
    waited_s: float


def occupancy(selector: str | int, own: Collection[int] = (), allowed_bytes: int = ALLOWED_BYTES) -> Occupancy:
    """What is on the GPU with this UUID, index or name, the processes in `own` left out.

    Raises:
        GpuNotFound: no GPU matches, or several.
        DriverAbsent: there is no driver, or it does not work.
        GpuSilent: the GPU does not answer.
    """
    with driver():
        gpu = find(selector)
        found = processes(gpu.uuid) or []
        users = tuple(_describe(pid, used) for pid, used in found if pid not in own)
        return Occupancy(gpu=gpu, users=users, used_bytes=memory_used(gpu.uuid), allowed_bytes=allowed_bytes)


def wait_memory_back(
    uuid: str, baseline_bytes: int, timeout_s: float = 30.0, tolerance_bytes: int = TOLERANCE_BYTES
) -> MemoryBack:
    """Wait until no more memory is in use than before the launch, plus a tolerance, but not longer than `timeout_s`.

    Raises:
        DriverAbsent: there is no driver, or it does not work.
        GpuSilent: the GPU does not answer.
    """
    began_s = now_s()
    with driver():
        while True:
            used, waited_s = memory_used(uuid), now_s() - began_s
            if used is None:
                return MemoryBack(back=None, used_bytes=None, waited_s=waited_s)
            back = used <= baseline_bytes + tolerance_bytes
            if back or waited_s >= timeout_s:
                return MemoryBack(back=back, used_bytes=used, waited_s=waited_s)
            time.sleep(_POLL_S)


def _describe(pid: int, used_bytes: int | None) -> GpuUser:
    """A process that is gone or hidden leaves name and user unknown."""
    name = user = None
    try:
        process = psutil.Process(pid)
        name, user = process.name(), process.username()
    except psutil.Error:
        pass
    return GpuUser(pid=pid, name=name, user=user, memory_bytes=used_bytes)


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
