"""Query the NVIDIA driver about its GPUs through NVML (nvidia-ml-py, the module `pynvml`).

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
    """No GPU, or more than one, matches a selector; the text says which there are."""


class GpuSilent(LookupError):
    """The GPU is there by name but does not answer, as when it fell off the bus; the text says which and why."""


@dataclass(frozen=True, slots=True)
class GpuInfo:
    """Properties of a GPU that do not change while the host runs."""

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


def init_nvml() -> None:
    """Open NVML for the rest of this process's life.

    Raises:
        DriverAbsent: there is no driver, or it does not work.
    """
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise DriverAbsent(_ABSENT.get(error.value, f"the NVIDIA driver does not answer: {error}")) from error


@contextmanager
def nvml_session() -> Iterator[None]:
    """Hold NVML open for the context. May be nested: only the outermost costs time, so hold it around a loop of queries.

    Raises:
        DriverAbsent: there is no driver, or it does not work.
    """
    init_nvml()
    try:
        yield
    finally:
        pynvml.nvmlShutdown()


def query_or_none(query: Callable[..., Any], *arguments: Any) -> Any | None:
    """Result of one NVML query, or None where this GPU or driver does not offer it.

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


def list_gpus() -> list[GpuInfo]:
    """GPUs that answer, by index; see `silent_gpus` for the others.

    Raises:
        DriverAbsent: there is no driver, or it does not work.
    """
    with nvml_session():
        devices = [_try_index(index) for index in range(pynvml.nvmlDeviceGetCount())]
        return [device for device in devices if isinstance(device, GpuInfo)]


def silent_gpus() -> dict[int, str]:
    """GPUs that the driver counts but that do not answer: the driver's error by index.

    Raises:
        DriverAbsent: there is no driver, or it does not work.
    """
    with nvml_session():
        devices = {index: _try_index(index) for index in range(pynvml.nvmlDeviceGetCount())}
        return {index: device for index, device in devices.items() if isinstance(device, str)}


def find_gpu(selector: str | int) -> GpuInfo:
    """GPU with this index, UUID (or the start of it), or name (or a part of it that only one GPU has).

    Raises:
        GpuNotFound: no GPU matches, or several.
        DriverAbsent: there is no driver, or it does not work.
    """
    devices = list_gpus()
    matches = _matching_gpus(devices, str(selector).strip())
    if len(matches) == 1:
        return matches[0]
    listing = "; ".join(f"{device.index}: {device.name} {device.uuid}" for device in matches or devices)
    problem = "several GPUs match" if matches else "no GPU matches"
    raise GpuNotFound(f"{problem} {str(selector)!r}. {'They are' if matches else 'There are'}: {listing or 'none'}")


def memory(uuid: str) -> Memory | None:
    """Memory of a GPU, now; None where the driver does not say (GPUs that share the host's memory).

    Raises:
        DriverAbsent: there is no driver, or it does not work.
        GpuSilent: the GPU does not answer.
    """
    with _gpu_handle(uuid) as handle:
        return memory_of_handle(handle)


def memory_used(uuid: str) -> int | None:
    """Bytes of a GPU's memory in use, without the driver's own share where that is known; raises as `memory`."""
    gpu_memory = memory(uuid)
    return None if gpu_memory is None else gpu_memory.used


def memory_of_handle(handle: Any) -> Memory | None:
    """Memory of the GPU of a handle, as `memory`; NVML is held open by the caller."""
    version_2 = query_or_none(pynvml.nvmlDeviceGetMemoryInfo, handle, pynvml.nvmlMemory_v2)
    if version_2 is not None:
        return Memory(total=int(version_2.total), used=int(version_2.used))
    version_1 = query_or_none(pynvml.nvmlDeviceGetMemoryInfo, handle)
    return None if version_1 is None else Memory(total=int(version_1.total), used=int(version_1.used))


def processes(uuid: str) -> list[tuple[int, int | None]] | None:
    """Compute processes on a GPU as (pid, bytes of its memory); None where the driver does not list them.

    In a container the pids are the host's, and those of other containers may be hidden.

    Raises:
        DriverAbsent: there is no driver, or it does not work.
        GpuSilent: the GPU does not answer.
    """
    with _gpu_handle(uuid) as handle:
        running = query_or_none(pynvml.nvmlDeviceGetComputeRunningProcesses, handle)
        if running is None:
            running = query_or_none(pynvml.nvmlDeviceGetComputeRunningProcesses_v2, handle)
        return None if running is None else [(int(process.pid), process.usedGpuMemory) for process in running]


@contextmanager
def _gpu_handle(uuid: str) -> Iterator[Any]:
    """Yield a GPU's handle, with NVML held open; an NVMLError becomes GpuSilent."""
    with nvml_session():
        try:
            yield pynvml.nvmlDeviceGetHandleByUUID(uuid)
        except pynvml.NVMLError as error:
            raise GpuSilent(f"GPU {uuid} does not answer: {error}") from error


def _matching_gpus(devices: list[GpuInfo], selector: str) -> list[GpuInfo]:
    """GPUs of the first kind of match that gives any: index, UUID, whole name, part of the name."""
    text = selector.lower()
    tests: list[Callable[[GpuInfo], bool]] = [
        lambda device: str(device.index) == text,
        lambda device: len(text) > 4 and device.uuid.lower().startswith(text),
        lambda device: device.name.lower() == text,
        lambda device: not text.isdecimal() and text != "" and text in device.name.lower(),
    ]
    matches_by_test = ([device for device in devices if matches(device)] for matches in tests)
    return next((matching for matching in matches_by_test if matching), [])


def _try_index(index: int) -> GpuInfo | str:
    """GPU at an index, or the driver's error if it does not answer."""
    try:
        return _gpu_info(index, pynvml.nvmlDeviceGetHandleByIndex(index))
    except pynvml.NVMLError as error:
        return str(error)


def _gpu_info(index: int, handle: Any) -> GpuInfo:
    pci = query_or_none(pynvml.nvmlDeviceGetPciInfo, handle)
    gpu_memory = memory_of_handle(handle)
    limit_mw = query_or_none(pynvml.nvmlDeviceGetEnforcedPowerLimit, handle)
    return GpuInfo(
        index=index,
        uuid=pynvml.nvmlDeviceGetUUID(handle),
        name=pynvml.nvmlDeviceGetName(handle),
        pci_bus_id=None if pci is None else pci.busId,
        memory_total_bytes=None if gpu_memory is None else gpu_memory.total,
        power_limit_w=None if limit_mw is None else limit_mw / 1000,
        max_sm_clock_mhz=query_or_none(pynvml.nvmlDeviceGetMaxClockInfo, handle, pynvml.NVML_CLOCK_SM),
        max_memory_clock_mhz=query_or_none(pynvml.nvmlDeviceGetMaxClockInfo, handle, pynvml.NVML_CLOCK_MEM),
        driver_version=query_or_none(pynvml.nvmlSystemGetDriverVersion),
        cuda_version=_cuda_version(),
    )


def _cuda_version() -> str | None:
    """Newest CUDA version of the driver, as "13.0"; NVML gives 1000 times the major plus 10 times the minor version."""
    number = query_or_none(pynvml.nvmlSystemGetCudaDriverVersion_v2)
    return None if number is None else f"{number // 1000}.{number % 1000 // 10}"
