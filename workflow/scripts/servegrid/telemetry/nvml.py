"""What the NVIDIA driver says about its GPUs, through NVML (nvidia-ml-py, the module `pynvml`).

A GPU is named by its UUID everywhere, because indices change with CUDA_VISIBLE_DEVICES and with a restart. What one GPU
or one driver does not offer is None, never 0.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pynvml

_NOT_OFFERED = frozenset(
    {
        pynvml.NVML_ERROR_NOT_SUPPORTED,
        pynvml.NVML_ERROR_FUNCTION_NOT_FOUND,
        pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH,
        pynvml.NVML_ERROR_INVALID_ARGUMENT,
        pynvml.NVML_ERROR_NO_PERMISSION,
        pynvml.NVML_ERROR_NO_DATA,
        pynvml.NVML_ERROR_DEPRECATED,
    }
)
_ABSENT = {
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: "no NVIDIA driver on this host: libnvidia-ml.so.1 was not found",
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: "the NVIDIA driver is installed but its kernel module is not loaded",
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: "the NVIDIA driver was updated since the last boot: restart the host",
    pynvml.NVML_ERROR_FUNCTION_NOT_FOUND: "the NVIDIA driver is too old: its library has no nvmlInitWithFlags",
}


class DriverAbsent(Exception):
    """There is no working NVIDIA driver; the text says why."""


class GpuNotFound(LookupError):
    """No GPU, or more than one, answers to a selector; the text says which there are."""


class GpuSilent(LookupError):
    """The GPU is there by name but does not answer, as when it fell off the bus; the text says which and why."""


@dataclass(frozen=True, slots=True)
class GpuInfo:
    """What does not change about a GPU while the host runs."""

    index: int
    uuid: str
    name: str
    pci_bus_id: str | None
    memory_total_bytes: int | None
    power_limit_w: float | None
    max_sm_clock_mhz: int | None
    max_memory_clock_mhz: int | None
    driver_version: str | None
    cuda_version: str | None  # newest CUDA the driver can run, as "13.0"


@dataclass(frozen=True, slots=True)
class Memory:
    """A GPU's memory in bytes. What the driver keeps for itself is not in `used`, but for old drivers, which do not tell it apart."""

    total: int
    used: int


def open_driver() -> None:
    """Open NVML for the rest of this process's life.

    Raises:
        DriverAbsent: there is no driver, or it does not work.
    """
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise DriverAbsent(_ABSENT.get(error.value, f"the NVIDIA driver does not answer: {error}")) from error


@contextmanager
def driver() -> Iterator[None]:
    """Hold NVML open. It may be nested: only the outermost costs time, so hold it around a loop of queries.

    Raises:
        DriverAbsent: there is no driver, or it does not work.
    """
    open_driver()
    try:
        yield
    finally:
        pynvml.nvmlShutdown()


def optional(query: Callable[..., Any], *arguments: Any) -> Any | None:
    """The answer of one NVML query, or None where this GPU or driver does not offer it.

    Raises:
        pynvml.NVMLError: the query is offered but failed, as when the GPU fell off the bus.
    """
    try:
        return query(*arguments)
    except pynvml.NVMLLibraryMismatchError:
        return None
    except pynvml.NVMLError as error:
        if error.value in _NOT_OFFERED:
            return None
        raise


def list_devices() -> list[GpuInfo]:
    """All GPUs that answer, by index; see `unreachable` for the others.

    Raises:
        DriverAbsent: there is no driver, or it does not work.
    """
    with driver():
        found = [_try_index(index) for index in range(pynvml.nvmlDeviceGetCount())]
        return [device for device in found if isinstance(device, GpuInfo)]


def unreachable() -> dict[int, str]:
    """The GPUs that the driver counts but that do not answer: index and the driver's words.

    Raises:
        DriverAbsent: there is no driver, or it does not work.
    """
    with driver():
        found = {index: _try_index(index) for index in range(pynvml.nvmlDeviceGetCount())}
        return {index: device for index, device in found.items() if isinstance(device, str)}


def find(selector: str | int) -> GpuInfo:
    """The one GPU with this index, UUID (or the start of it), or name (or a part of it that only one GPU has).

    Raises:
        GpuNotFound: no GPU matches, or several.
        DriverAbsent: there is no driver, or it does not work.
    """
    devices = list_devices()
    matches = _matches(devices, str(selector).strip())
    if len(matches) == 1:
        return matches[0]
    listing = "; ".join(f"{device.index}: {device.name} {device.uuid}" for device in matches or devices)
    why = "several GPUs match" if matches else "no GPU matches"
    raise GpuNotFound(f"{why} {str(selector)!r}. {'They are' if matches else 'There are'}: {listing or 'none'}")


def memory(uuid: str) -> Memory | None:
    """A GPU's memory now; None where the driver does not say (GPUs that share the host's memory).

    Raises:
        DriverAbsent: there is no driver, or it does not work.
        GpuSilent: the GPU does not answer.
    """
    with _asking(uuid) as handle:
        return memory_of(handle)


def memory_used(uuid: str) -> int | None:
    """Bytes of a GPU's memory in use, the driver's own share left out where it can be told. Raises as `memory`."""
    now = memory(uuid)
    return None if now is None else now.used


def memory_of(handle: Any) -> Memory | None:
    """As `memory`, of a handle, with NVML held open by the caller."""
    split = optional(pynvml.nvmlDeviceGetMemoryInfo, handle, pynvml.nvmlMemory_v2)
    if split is not None:
        return Memory(total=int(split.total), used=int(split.used))
    plain = optional(pynvml.nvmlDeviceGetMemoryInfo, handle)
    return None if plain is None else Memory(total=int(plain.total), used=int(plain.used))


def processes(uuid: str) -> list[tuple[int, int | None]] | None:
    """The compute processes on a GPU as (pid, bytes of its memory); None where the driver does not list them.

    In a container the pids are the host's, and those of other containers may be hidden.

    Raises:
        DriverAbsent: there is no driver, or it does not work.
        GpuSilent: the GPU does not answer.
    """
    with _asking(uuid) as handle:
        found = optional(pynvml.nvmlDeviceGetComputeRunningProcesses, handle)
        if found is None:
            found = optional(pynvml.nvmlDeviceGetComputeRunningProcesses_v2, handle)
        return None if found is None else [(int(one.pid), one.usedGpuMemory) for one in found]


@contextmanager
def _asking(uuid: str) -> Iterator[Any]:
    """A GPU's handle, with NVML held open; what the driver answers for errors becomes GpuSilent."""
    with driver():
        try:
            yield pynvml.nvmlDeviceGetHandleByUUID(uuid)
        except pynvml.NVMLError as error:
            raise GpuSilent(f"GPU {uuid} does not answer: {error}") from error


def _matches(devices: list[GpuInfo], selector: str) -> list[GpuInfo]:
    """The GPUs of the first kind of match that gives any: index, UUID, whole name, part of the name."""
    wanted = selector.lower()
    kinds: list[Callable[[GpuInfo], bool]] = [
        lambda device: str(device.index) == wanted,
        lambda device: len(wanted) > 4 and device.uuid.lower().startswith(wanted),
        lambda device: device.name.lower() == wanted,
        lambda device: not wanted.isdecimal() and wanted != "" and wanted in device.name.lower(),
    ]
    found = ([device for device in devices if matches(device)] for matches in kinds)
    return next((devices_of_kind for devices_of_kind in found if devices_of_kind), [])


def _try_index(index: int) -> GpuInfo | str:
    """The GPU at an index, or the driver's words why it does not answer."""
    try:
        return _describe(index, pynvml.nvmlDeviceGetHandleByIndex(index))
    except pynvml.NVMLError as error:
        return str(error)


def _describe(index: int, handle: Any) -> GpuInfo:
    pci = optional(pynvml.nvmlDeviceGetPciInfo, handle)
    now = memory_of(handle)
    limit_mw = optional(pynvml.nvmlDeviceGetEnforcedPowerLimit, handle)
    return GpuInfo(
        index=index,
        uuid=pynvml.nvmlDeviceGetUUID(handle),
        name=pynvml.nvmlDeviceGetName(handle),
        pci_bus_id=None if pci is None else pci.busId,
        memory_total_bytes=None if now is None else now.total,
        power_limit_w=None if limit_mw is None else limit_mw / 1000,
        max_sm_clock_mhz=optional(pynvml.nvmlDeviceGetMaxClockInfo, handle, pynvml.NVML_CLOCK_SM),
        max_memory_clock_mhz=optional(pynvml.nvmlDeviceGetMaxClockInfo, handle, pynvml.NVML_CLOCK_MEM),
        driver_version=optional(pynvml.nvmlSystemGetDriverVersion),
        cuda_version=_cuda_version(),
    )


def _cuda_version() -> str | None:
    """NVML gives 1000 times the major plus 10 times the minor version."""
    number = optional(pynvml.nvmlSystemGetCudaDriverVersion_v2)
    return None if number is None else f"{number // 1000}.{number % 1000 // 10}"
