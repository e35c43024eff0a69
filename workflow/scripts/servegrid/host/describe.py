"""Describe the host of a session, as far as it can change a result."""

import os
import platform
from pathlib import Path
from typing import Any

import psutil


def describe_host() -> dict[str, Any]:
    """Name, kernel, CPU model, cores, governor, memory and load of this host; None for what it does not tell."""
    return {
        "name": platform.node(),
        "kernel": platform.release(),
        "cpu": _cpu_model(),
        "cores": psutil.cpu_count(logical=False),
        "logical_cpus": len(os.sched_getaffinity(0)),
        "governor": _governor(),
        "memory_bytes": psutil.virtual_memory().total,
        "boot_id": _first_line(Path("/proc/sys/kernel/random/boot_id")),
        "load_average_1min": os.getloadavg()[0],
        "python": platform.python_version(),
    }


def _cpu_model() -> str | None:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("model name", "Model")):
            return line.partition(":")[2].strip()
    return platform.processor() or None


def _governor() -> str | None:
    return _first_line(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"))


def _first_line(path: Path) -> str | None:
    try:
        return path.read_text().splitlines()[0].strip()
    except (OSError, IndexError):
        return None
