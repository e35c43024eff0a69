"""Sample one GPU through NVML."""

from collections.abc import Callable
from typing import Any

import pynvml

from servegrid.telemetry.buffer import Row
from servegrid.telemetry.nvml import memory_of_handle, query_or_none
from servegrid.telemetry.pcie import PcieMeter
from servegrid.util.clock import now_s

_LOST = frozenset(
    {
        pynvml.NVML_ERROR_GPU_IS_LOST,
        pynvml.NVML_ERROR_GPU_NOT_FOUND,
        pynvml.NVML_ERROR_RESET_REQUIRED,
        pynvml.NVML_ERROR_UNINITIALIZED,
        pynvml.NVML_ERROR_DRIVER_NOT_LOADED,
    }
)


class GpuSampler:
    """Samples one GPU, by UUID, for TELEMETRY; NVML must be held open (`nvml.nvml_session`).

    A field that the GPU does not offer is null. A field that fails is null and named in `error`. A GPU that is lost
    gives rows with only `error`, and is asked for anew every time.
    """

    def __init__(self, uuid: str, pcie: PcieMeter | None = None) -> None:
        self._uuid = uuid
        self._pcie = pcie
        self._handle: Any = None

    def sample(self) -> Row:
        """Row of TELEMETRY: utilisation, memory, power, energy, clocks, throttle reasons, temperature, PCIe."""
        row: Row = {"t_s": now_s(), "device": self._uuid}
        errors: list[str] = []
        self._fill(row, errors)
        if self._pcie is not None:
            row |= self._pcie.take()
        return row | ({"error": "; ".join(errors)} if errors else {})

    def _fill(self, row: Row, errors: list[str]) -> None:
        try:
            handle = self._handle = self._handle or pynvml.nvmlDeviceGetHandleByUUID(self._uuid)
        except pynvml.NVMLError as error:
            errors.append(str(error))
            return
        for name, read in _READERS.items():
            try:
                row |= read(handle)
            except pynvml.NVMLError as error:
                errors.append(f"{name}: {error}")
                if error.value in _LOST:
                    self._handle = None
                    return


def _utilisation(handle: Any) -> Row:
    rates = query_or_none(pynvml.nvmlDeviceGetUtilizationRates, handle)
    return {} if rates is None else {"gpu_percent": float(rates.gpu), "gpu_memory_percent": float(rates.memory)}


def _memory(handle: Any) -> Row:
    memory = memory_of_handle(handle)
    return {} if memory is None else {"memory_bytes": memory.used, "memory_total_bytes": memory.total}


def _power(handle: Any) -> Row:
    """Power in W; NVML gives milliwatts."""
    return _scaled("power_w", query_or_none(pynvml.nvmlDeviceGetPowerUsage, handle), 1e-3)


def _energy(handle: Any) -> Row:
    """Energy counter in J; NVML gives millijoules since the driver was loaded."""
    return _scaled("energy_j", query_or_none(pynvml.nvmlDeviceGetTotalEnergyConsumption, handle), 1e-3)


def _clocks(handle: Any) -> Row:
    sm = query_or_none(pynvml.nvmlDeviceGetClockInfo, handle, pynvml.NVML_CLOCK_SM)
    memory = query_or_none(pynvml.nvmlDeviceGetClockInfo, handle, pynvml.NVML_CLOCK_MEM)
    return _scaled("sm_clock_mhz", sm) | _scaled("memory_clock_mhz", memory)


def _throttle(handle: Any) -> Row:
    """Bit mask of throttle reasons; drivers before 535 have it only under the old name, with the same bits."""
    reasons = query_or_none(pynvml.nvmlDeviceGetCurrentClocksEventReasons, handle)
    if reasons is None:
        reasons = query_or_none(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons, handle)
    return {"throttle_reasons": reasons}


def _temperature(handle: Any) -> Row:
    """Temperature in degrees Celsius; the old call goes away with CUDA 14, and older drivers have no other."""
    celsius = query_or_none(pynvml.nvmlDeviceGetTemperatureV, handle, pynvml.NVML_TEMPERATURE_GPU)
    if celsius is None:
        celsius = query_or_none(pynvml.nvmlDeviceGetTemperature, handle, pynvml.NVML_TEMPERATURE_GPU)
    return _scaled("temperature_c", celsius)


def _scaled(column: str, value: int | None, factor: float = 1.0) -> Row:
    return {column: None if value is None else value * factor}


_READERS: dict[str, Callable[[Any], Row]] = {
    "utilisation": _utilisation,
    "memory": _memory,
    "power": _power,
    "energy": _energy,
    "clocks": _clocks,
    "throttle reasons": _throttle,
    "temperature": _temperature,
}
