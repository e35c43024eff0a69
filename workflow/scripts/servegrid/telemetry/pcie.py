"""Measure a GPU's PCIe traffic. Both ways to query NVML need a period of their own, shorter or longer than the other fields'."""

import threading
from typing import Any, Protocol

import pynvml

from servegrid.telemetry.nvml import query_or_none
from servegrid.util.clock import now_s

_WRAP = 2**32
_LANE_BYTES_PER_S = {1: 0.25e9, 2: 0.5e9, 3: 0.985e9, 4: 1.97e9, 5: 3.94e9, 6: 7.57e9}
_THROUGHPUT_EVERY_S = 1.0
_FIELDS = [pynvml.NVML_FI_DEV_PCIE_COUNT_TX_BYTES, pynvml.NVML_FI_DEV_PCIE_COUNT_RX_BYTES]


class PcieMeter(Protocol):
    """Is read every `period_s`; `take` returns what was read since its last call. TX is from the GPU to the host."""

    period_s: float

    def read(self) -> None:
        """Read the GPU's counters once.

        Raises:
            pynvml.NVMLError: the GPU does not answer.
        """

    def take(self) -> dict[str, float]:
        """Columns `pcie_tx_bytes_per_s` and `pcie_rx_bytes_per_s`; empty if nothing new was read."""


def pcie_meter(uuid: str) -> PcieMeter | None:
    """Best meter that this GPU offers: byte counters, else 20 ms windows, else None. NVML must be held open.

    Raises:
        pynvml.NVMLError: the GPU does not answer.
    """
    handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
    if _byte_counters(handle) is not None:
        return PcieCounters(handle)
    if query_or_none(pynvml.nvmlDeviceGetPcieThroughput, handle, pynvml.NVML_PCIE_UTIL_TX_BYTES) is not None:
        return PcieThroughput(handle)
    return None


class PcieCounters:
    """Measures mean traffic between two samples from the byte counters (TLP overhead included).

    The counters wrap (nvml.h, NVML_FI_DEV_PCIE_COUNT_TX_BYTES), at 2^32, which a full x16 link of generation 5 does in
    68 ms. So they are read more often than the link can wrap them, and where a read came too late, that stretch is left
    out of the mean.
    """

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self._wraps_in_s = _WRAP / _link_bytes_per_s(handle)
        self.period_s = 0.7 * self._wraps_in_s
        self._lock = threading.Lock()
        self._last: tuple[float, tuple[int, int]] | None = None
        self._sums = [0.0, 0.0, 0.0]  # seconds covered, bytes sent, bytes received

    def read(self) -> None:
        """As in `PcieMeter`."""
        now, last = (now_s(), _byte_counters(self._handle)), self._last
        self._last = None if now[1] is None else (now[0], now[1])
        if last is None or self._last is None or now[0] - last[0] >= self._wraps_in_s:
            return
        increments = (now[0] - last[0], *((b - a) % _WRAP for a, b in zip(last[1], self._last[1], strict=True)))
        with self._lock:
            self._sums = [total + increment for total, increment in zip(self._sums, increments, strict=True)]

    def take(self) -> dict[str, float]:
        """As in `PcieMeter`."""
        with self._lock:
            (seconds, sent, received), self._sums = self._sums, [0.0, 0.0, 0.0]
        return _rates(sent / seconds, received / seconds) if seconds > 0 else {}


class PcieThroughput:
    """Measures traffic in windows of 20 ms, on GPUs without the counters; each of the two calls blocks for as long."""

    period_s = _THROUGHPUT_EVERY_S

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self._latest: dict[str, float] = {}

    def read(self) -> None:
        """As in `PcieMeter`. NVML gives KB/s, taken as 1000 bytes."""
        kinds = (pynvml.NVML_PCIE_UTIL_TX_BYTES, pynvml.NVML_PCIE_UTIL_RX_BYTES)
        sent, received = (query_or_none(pynvml.nvmlDeviceGetPcieThroughput, self._handle, kind) for kind in kinds)
        if sent is not None and received is not None:
            self._latest = _rates(1000.0 * sent, 1000.0 * received)

    def take(self) -> dict[str, float]:
        """As in `PcieMeter`."""
        latest, self._latest = self._latest, {}
        return latest


def _rates(sent: float, received: float) -> dict[str, float]:
    return {"pcie_tx_bytes_per_s": sent, "pcie_rx_bytes_per_s": received}


def _byte_counters(handle: Any) -> tuple[int, int] | None:
    """Bytes sent and received, modulo 2^32; None where this GPU does not count them."""
    values = query_or_none(pynvml.nvmlDeviceGetFieldValues, handle, _FIELDS)
    if values is None or any(value.nvmlReturn != pynvml.NVML_SUCCESS for value in values):
        return None
    # The low half is right whether the driver fills 32 or 64 bits of the union.
    return int(values[0].value.ullVal) % _WRAP, int(values[1].value.ullVal) % _WRAP


def _link_bytes_per_s(handle: Any) -> float:
    """Capacity of the link in one direction (PCI Express Base Specification); an unknown link counts as the fastest."""
    generation = query_or_none(pynvml.nvmlDeviceGetMaxPcieLinkGeneration, handle) or max(_LANE_BYTES_PER_S)
    width = query_or_none(pynvml.nvmlDeviceGetMaxPcieLinkWidth, handle) or 16
    return _LANE_BYTES_PER_S.get(generation, _LANE_BYTES_PER_S[max(_LANE_BYTES_PER_S)]) * float(width)
