"""Sample the host's CPUs and memory."""

import psutil

from servegrid.telemetry.buffer import Row
from servegrid.telemetry.cpu_meter import CpuMeter
from servegrid.util.clock import now_s

_BUSY = ("user", "nice", "system", "irq", "softirq")


class HostSampler:
    """Samples the whole host for TELEMETRY.

    `cpu_percent` is the time its CPUs worked, in percent of one CPU, over the time since the sample before; time
    waiting for disks and time the hypervisor took away (steal) are not work. `memory_bytes` is what could not be given to
    a new program: total less available, so page cache does not count.
    """

    def __init__(self) -> None:
        self._cpu = CpuMeter()

    def sample(self) -> Row:
        """Row of TELEMETRY, now."""
        now = now_s()
        memory = psutil.virtual_memory()
        return {
            "t_s": now,
            "device": "host",
            "cpu_percent": self._cpu.percent(now, _busy_s()),
            "memory_bytes": memory.total - memory.available,
            "memory_total_bytes": memory.total,
        }


def _busy_s() -> float:
    """Seconds that all CPUs together have been busy since the host was started."""
    times = psutil.cpu_times()
    return float(sum(getattr(times, kind, 0.0) for kind in _BUSY))
