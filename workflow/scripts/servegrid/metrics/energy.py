"""Energy of the GPUs during a load, as far as the samples carry it. Untested on a GPU: no part of it has seen a real one.

Two sources. The driver's energy counter (Volta and newer) is read at the window's edges. Where there is none, the sampled power
is integrated. Both are coarse: NVML renews them every 20 to 100 ms, and on some GPUs the sensor looks only a part of the time
(Yang, Adamek and Armour 2024, "Part-time Power Measurements: nvidia-smi's Lack of Attention", SC24), so short windows and few
samples carry little; `energy_warnings` says which, and results.warnings which are no evidence.
"""

from collections.abc import Sequence

import numpy as np

from servegrid.metrics.telemetry import Floats, Samples, Window
from servegrid.results.warnings import RowWarning

SHORT_INTERVALS = 20
"""Sample intervals that a window must have for its energy to be evidence. At each edge the counter is reckoned over a part of an
interval, which may be wrong by what that power differs from the mean: at 20 intervals at most a tenth in all."""
MISSING_SHARE = 0.2
"""Share of the expected samples that may be missing."""
MOST_DIFFERENCE = 0.1
"""Share of the counter's value by which the integrated power may differ from it."""
IDLE_SAMPLES = 3
"""Least number of samples before the launch that an idle power is computed from."""


def energy_columns(window: Window, gpus: Sequence[str], idle_w: float | None) -> dict[str, float | None]:
    """Columns `energy_j`, `idle_power_w` and `energy_above_idle_j` of all GPUs together; {} without GPUs.

    Args:
        window: samples during the load.
        gpus: UUIDs.
        idle_w: power of the same GPUs with nothing launched, in W.
    """
    if not gpus:
        return {}
    energy = _energy_j(window, gpus)
    seconds = window.end_s - window.start_s
    above_idle = None if energy is None or idle_w is None else energy - idle_w * seconds
    above_idle = above_idle if above_idle is not None and above_idle > 0 else None  # below: one of the two is wrong
    return {"energy_j": energy, "idle_power_w": idle_w, "energy_above_idle_j": above_idle}


def _energy_j(window: Window, gpus: Sequence[str]) -> float | None:
    """Energy by the counter, else by the integrated power, in J; None if any GPU has neither over the whole window."""
    total = sum(counter_energy_j(window, gpu) for gpu in gpus)
    total = total if np.isfinite(total) else sum(integrated_energy_j(window, gpu) for gpu in gpus)
    return float(total) if np.isfinite(total) else None


def counter_energy_j(window: Window, gpu: str) -> float:
    """Growth of the driver's energy counter over the window, in J; NaN where there is none or it stood still, which no GPU does."""
    growth = window.device_counter_growth(gpu, "energy_j")
    return growth if growth > 0 else float("nan")


def integrated_energy_j(window: Window, gpu: str) -> float:
    """Integral of the sampled power over the window by the trapezoid rule, in J; NaN if an edge is not covered.

    At an edge the power is that of the samples inside, carried on in a line: between the samples around an edge it may have jumped.
    NaN with fewer than two samples inside.
    """
    rows = window.known_samples(gpu, "power_w")
    if not len(rows) or rows["t_s"].iloc[0] > window.start_s or rows["t_s"].iloc[-1] < window.end_s:
        return float("nan")
    t, power = rows["t_s"].to_numpy(), rows["power_w"].to_numpy()
    is_inside = (t >= window.start_s) & (t <= window.end_s)
    t, power = t[is_inside], power[is_inside]
    if len(t) < 2:
        return float("nan")
    grid = np.concatenate([[window.start_s], t, [window.end_s]])
    edges = _line(t[:2], power[:2], window.start_s), _line(t[-2:], power[-2:], window.end_s)
    return float(np.trapezoid(np.concatenate([[edges[0]], power, [edges[1]]]), grid))


def _line(t: Floats, power: Floats, at_s: float) -> float:
    """Power on the line through two samples, in W; none below 0."""
    slope = (power[1] - power[0]) / (t[1] - t[0])
    return max(float(power[0] + slope * (at_s - t[0])), 0.0)


def idle_power_w(samples: Samples, gpus: Sequence[str], launched_s: float | None) -> float | None:
    """Power of the GPUs together before the server was launched, in W: the sum of medians; None with fewer than IDLE_SAMPLES.

    A GPU takes seconds to calm down after the server before, so this is rather too high than too low, and what is left above it
    rather too low.
    """
    if not gpus or launched_s is None or any(gpu not in samples.telemetry for gpu in gpus):
        return None
    frames = [samples.telemetry[gpu] for gpu in gpus]
    powers = [frame.loc[frame["t_s"] < launched_s, "power_w"].dropna() for frame in frames]
    if min(map(len, powers)) < IDLE_SAMPLES:
        return None
    return float(sum(power.median() for power in powers))


def energy_warnings(window: Window, gpus: Sequence[str]) -> list[RowWarning]:
    """Warnings about energy that the samples of any GPU in the window call for, once each; none without GPUs."""
    return list(dict.fromkeys(warning for gpu in gpus for warning in _gpu_warnings(window, gpu)))


def _gpu_warnings(window: Window, gpu: str) -> list[RowWarning]:
    """Warnings about the energy of one GPU."""
    samples = window.device_samples(gpu)
    times = samples["t_s"].to_numpy() if len(samples) else np.empty(0)
    if len(times) < 2:
        return [RowWarning.ENERGY_SAMPLES_MISSING]
    interval, seconds = float(np.median(np.diff(times))), window.end_s - window.start_s
    has_reading = samples["energy_j"].notna() | samples["power_w"].notna()
    counter, integral = counter_energy_j(window, gpu), integrated_energy_j(window, gpu)
    applies = {
        RowWarning.ENERGY_WINDOW_SHORT: seconds < SHORT_INTERVALS * interval,
        RowWarning.ENERGY_SAMPLES_MISSING: has_reading.sum() < (1 - MISSING_SHARE) * (seconds / interval - 1)
        or not np.isfinite([counter, integral]).any(),
        RowWarning.ENERGY_FROM_POWER: np.isnan(counter) and np.isfinite(integral),
        RowWarning.ENERGY_DIFFERS: abs(counter - integral) > MOST_DIFFERENCE * abs(counter),
    }
    return [warning for warning, holds in applies.items() if holds]
