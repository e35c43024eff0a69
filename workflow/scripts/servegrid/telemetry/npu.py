"""Sample Rebellions' NPUs through rbln-smi: one run of it for all of them."""

from collections.abc import Sequence

from servegrid.telemetry import rbln_smi
from servegrid.telemetry.buffer import Row
from servegrid.util.clock import now_s

THROTTLED_PSTATE = "P10"
HW_THERMAL = 0x40  # NVML's bit for a slowdown by heat


def is_npu(device: str) -> bool:
    """Whether this device is an NPU: it goes by the name of its device file, a GPU by its UUID."""
    return device.startswith("rbln")


class NpuSampler:
    """Samples NPUs, by device name, for TELEMETRY.

    There is no energy counter: the card's power is integrated from sample to sample (trapezoids), beginning with 0 at the first. An NPU
    that rbln-smi does not name gives a row with only `error`.
    """

    def __init__(self, devices: Sequence[str]) -> None:
        self._devices = devices
        self._last: dict[str, tuple[float, float]] = {}  # time in s, power in W
        self._energy_j: dict[str, float] = {}

    def sample(self) -> list[Row]:
        """Rows of TELEMETRY, one per NPU: utilisation, memory, power, energy, temperature, P-state."""
        try:
            npu_by_name = {npu.name: npu for npu in rbln_smi.query().npus}
        except rbln_smi.SmiAbsent as error:
            return [{"t_s": now_s(), "device": name, "error": str(error)} for name in self._devices]
        t_s = now_s()
        return [self._row(t_s, name, npu_by_name.get(name)) for name in self._devices]

    def _row(self, t_s: float, name: str, npu: rbln_smi.Npu | None) -> Row:
        if npu is None:
            return {"t_s": t_s, "device": name, "error": f"{rbln_smi.PROGRAM} names no {name}"}
        return {
            "t_s": t_s,
            "device": name,
            "gpu_percent": npu.utilisation_percent,
            "memory_bytes": npu.memory_bytes,
            "memory_total_bytes": npu.memory_total_bytes,
            "power_w": npu.card_power_w,
            "energy_j": self._energy(t_s, name, npu.card_power_w),
            "temperature_c": npu.temperature_c,
            "throttle_reasons": None if npu.pstate is None else HW_THERMAL if npu.pstate == THROTTLED_PSTATE else 0,
            "pstate": npu.pstate,
        }

    def _energy(self, t_s: float, name: str, power_w: float | None) -> float | None:
        """Energy in J since the first sample; None while the power is not known; a gap is bridged from its edges."""
        if power_w is None:
            return None
        before_s, before_w = self._last.get(name, (t_s, power_w))
        self._last[name] = t_s, power_w
        self._energy_j[name] = self._energy_j.get(name, 0.0) + (t_s - before_s) * (power_w + before_w) / 2
        return self._energy_j[name]
