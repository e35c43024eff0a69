"""Rules by which a measured load or point gets a warning (results/warnings.py has their texts)."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pynvml

from servegrid.collect.measured_load import MeasuredLoad
from servegrid.metrics import request_metrics
from servegrid.metrics.arrivals import are_read_late
from servegrid.metrics.drift import drift
from servegrid.metrics.energy import energy_warnings
from servegrid.metrics.steady_state import steady_window
from servegrid.results.warnings import RowWarning

THROTTLED_SHARE = 0.05
"""Share of a load's samples (0 to 1) from which a GPU counts as throttled."""
OTHERS_SHARE = 0.1
"""Share of the host's processors (0 to 1) from which use by others counts."""
UNASKED_HITS = 0.05
"""Share of the prompt tokens (0 to 1) from which hits that nobody asked for count."""
COLD_FACTOR = 1.2
"""Times the longest of the other loads that a cold start takes at least."""
COLD_RANGES = 3
"""Times the range of the other loads that a cold start takes longer than the longest of them, at least."""
THROTTLES = {
    RowWarning.THROTTLED_BY_HEAT: pynvml.nvmlClocksThrottleReasonSwThermalSlowdown
    | pynvml.nvmlClocksThrottleReasonHwThermalSlowdown,
    RowWarning.SLOWED_BY_HARDWARE: pynvml.nvmlClocksThrottleReasonHwSlowdown
    | pynvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown,
    RowWarning.POWER_CAPPED: pynvml.nvmlClocksThrottleReasonSwPowerCap,
}
"""NVML's bits (nvml.h, nvmlClocksEventReasons): an idle GPU and clocks that the user set are no throttling."""


def point_warnings(measured: Sequence[MeasuredLoad], client_bound: bool | None) -> list[RowWarning]:
    """Warnings of a point from its sessions: what any of them shows, and what shows only between them."""
    warnings = [warning for load in measured for warning in load_warnings(load)]
    warnings += [RowWarning.CLIENT_BOUND] if client_bound else []
    warnings += [RowWarning.READ_LATE] if are_read_late([load.requests for load in measured]) else []
    return warnings + ([RowWarning.COLD_START] if is_cold_start(measured) else [])


def load_warnings(load: MeasuredLoad) -> list[RowWarning]:
    """Warnings of one load."""
    warnings = throttle_warnings(load.window.device_samples(*load.gpus), load.gpus)
    warnings += energy_warnings(load.window, load.gpus)
    warnings += [RowWarning.PROMPTS_CACHED] if (load.unasked_hit_rate or 0) >= UNASKED_HITS else []
    warnings += [RowWarning.HELD_BACK] if load.is_held_back else []
    warnings += [RowWarning.SAMPLES_DAMAGED] if load.samples_damaged else []
    warnings += [RowWarning.LATENCY_DRIFTS] if latency_drifts(load.requests) else []
    warnings += [RowWarning.SHARED_HOST] if is_host_shared(load) else []
    return warnings + ([RowWarning.SHARED_GPU] if load.launch.get("others_on_gpu") else [])


def throttle_warnings(samples: pd.DataFrame, gpus: Sequence[str]) -> list[RowWarning]:
    """Warnings about the kinds of throttling that the samples of a load show on any of the GPUs."""
    if not gpus or not len(samples):
        return []
    warnings = []
    reasons = samples.dropna(subset=["throttle_reasons"])
    for warning, bits in THROTTLES.items():
        slowed = (reasons["throttle_reasons"].astype("int64") & bits) != 0
        shares = slowed.groupby(reasons["device"]).mean()
        warnings += [warning] if (shares >= THROTTLED_SHARE).any() else []
    return warnings


def latency_drifts(requests: request_metrics.Requests) -> bool:
    """Whether the ok requests that lie within the steady state became slower or faster over it."""
    window = steady_window(requests)
    if window is None:
        return False
    sent, end = requests.column("sent_s"), requests.column("end_s")
    inside = (sent >= window[0]) & (end <= window[1]) & (end > sent)
    return bool(drift(sent[inside], (end - sent)[inside]))


def is_host_shared(load: MeasuredLoad) -> bool:
    """Whether others used OTHERS_SHARE of the host's processors or more, on the mean of the load.

    Others: the host's CPU time less that of the server's processes and of the client. Not known where the server is elsewhere.
    """
    host, server = load.window.device_samples("host"), load.window.device_samples("server")
    cpus, seconds = load.session["host"].get("logical_cpus"), load.load["end_s"] - load.load["start_s"]
    if not len(host) or not len(server) or not cpus or seconds <= 0:
        return False
    own_percent = server["cpu_percent"].mean() + 100 * load.load["client_cpu_s"] / seconds
    others_percent = float(host["cpu_percent"].mean() - own_percent)
    return bool(np.isfinite(others_percent)) and others_percent >= OTHERS_SHARE * 100 * cpus


def is_cold_start(measured: Sequence[MeasuredLoad]) -> bool:
    """Whether the session that was launched first took much longer than all others, with the load as the first of its launch.

    Much: over COLD_FACTOR times the longest of the others, and by over COLD_RANGES times their range.
    """
    by_launch = {load.launch["anchor"]["unix_s"]: load for load in measured}
    first, *later = (by_launch[launched] for launched in sorted(by_launch))
    times = [load.time_s for load in later if load.time_s is not None]
    if first.time_s is None or not times:
        return False
    longest, spread = max(times), max(times) - min(times)
    much_longer = first.time_s > COLD_FACTOR * longest and first.time_s - longest > COLD_RANGES * spread
    return much_longer and first.first_of_launch
