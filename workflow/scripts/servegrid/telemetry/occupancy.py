"""Check that a GPU is free before a launch, and wait for its memory after a stop; no process is ever touched."""

import time
from collections.abc import Collection
from dataclasses import dataclass

import psutil

from servegrid.telemetry.nvml import GpuInfo, find_gpu, memory_used, nvml_session, processes
from servegrid.util.clock import now_s

ALLOWED_BYTES = 2**30
"""Memory that may be in use on a free GPU: a desktop, and what old drivers count as used but keep for themselves."""
TOLERANCE_BYTES = 256 * 2**20
_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class GpuUser:
    """A compute process on a GPU; what cannot be found out (a process of another container) is None."""

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
    """Processes and memory in use on a GPU, apart from our own. Memory in bytes; `used_bytes` None: the driver does not say."""

    gpu: GpuInfo
    users: tuple[GpuUser, ...]
    used_bytes: int | None
    allowed_bytes: int

    @property
    def free(self) -> bool:
        """Whether there is no foreign compute process and no more memory in use than allowed."""
        return not self.users and (self.used_bytes is None or self.used_bytes <= self.allowed_bytes)

    @property
    def refusal(self) -> str | None:
        """Reason in plain words why nothing may be started on it; None if it is free."""
        if self.free:
            return None
        gpu = f"GPU {self.gpu.index} ({self.gpu.name}, {self.gpu.uuid})"
        if self.users:
            reason = f"is in use by {', '.join(str(user) for user in self.users)}"
        else:
            reason = f"has {_gib(self.used_bytes or 0)} of memory in use, though no process on it can be seen from here"
        return f"{gpu} {reason}. It is left alone: wait until it is free, or choose another device."


@dataclass(frozen=True, slots=True)
class MemoryWait:
    """Result of a wait for freed memory. `back` and `used_bytes` are None where the driver does not say what is in use."""

    back: bool | None
    used_bytes: int | None
    waited_s: float


def gpu_occupancy(selector: str | int, own_pids: Collection[int] = (), allowed_bytes: int = ALLOWED_BYTES) -> Occupancy:
    """Occupancy of the GPU with this UUID, index or name, without the processes in `own_pids`.

    Raises:
        GpuNotFound: no GPU matches, or several.
        DriverAbsent: there is no driver, or it does not work.
        GpuSilent: the GPU does not answer.
    """
    with nvml_session():
        gpu = find_gpu(selector)
        on_gpu = processes(gpu.uuid) or []
        users = tuple(_gpu_user(pid, used_bytes) for pid, used_bytes in on_gpu if pid not in own_pids)
        return Occupancy(gpu=gpu, users=users, used_bytes=memory_used(gpu.uuid), allowed_bytes=allowed_bytes)


def wait_memory_back(
    uuid: str, baseline_bytes: int, timeout_s: float = 30.0, tolerance_bytes: int = TOLERANCE_BYTES
) -> MemoryWait:
    """Wait, at most `timeout_s`, until no more memory is in use than `baseline_bytes` plus a tolerance.

    Raises:
        DriverAbsent: there is no driver, or it does not work.
        GpuSilent: the GPU does not answer.
    """
    began_s = now_s()
    with nvml_session():
        while True:
            used, waited_s = memory_used(uuid), now_s() - began_s
            if used is None:
                return MemoryWait(back=None, used_bytes=None, waited_s=waited_s)
            back = used <= baseline_bytes + tolerance_bytes
            if back or waited_s >= timeout_s:
                return MemoryWait(back=back, used_bytes=used, waited_s=waited_s)
            time.sleep(_POLL_S)


def _gpu_user(pid: int, used_bytes: int | None) -> GpuUser:
    """GPU user of this pid; name and user are unknown if the process is gone or hidden."""
    name = user = None
    try:
        process = psutil.Process(pid)
        name, user = process.name(), process.username()
    except psutil.Error:
        pass
    return GpuUser(pid=pid, name=name, user=user, memory_bytes=used_bytes)


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
