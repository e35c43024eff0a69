"""The rules by which a measured load or point gets a warning (results/warnings.py has their texts)."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pynvml

from servegrid.collect.measured_load import Measured
from servegrid.metrics import request_metrics
from servegrid.metrics.drift import drift
from servegrid.metrics.energy import energy_warnings
from servegrid.results.warnings import RowWarning

LEAST_SHARE = 0.05
OTHERS_SHARE = 0.1
COLD_FACTOR = 1.2
COLD_SPREADS = 3
THROTTLES = {
    RowWarning.THROTTLED_BY_HEAT: pynvml.nvmlClocksThrottleReasonSwThermalSlowdown
    | pynvml.nvmlClocksThrottleReasonHwThermalSlowdown,
    RowWarning.SLOWED_BY_HARDWARE: pynvml.nvmlClocksThrottleReasonHwSlowdown
    | pynvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown,
    RowWarning.POWER_CAPPED: pynvml.nvmlClocksThrottleReasonSwPowerCap,
}
"""NVML's bits (nvml.h, nvmlClocksEventReasons): an idle GPU and clocks that the user set are no throttling."""


def of_point(measured: Sequence[Measured], client_bound: bool | None) -> list[RowWarning]:
    """Warnings of a point from its sessions: what any of them shows, and what shows only between them."""
    found = [warning for one in measured for warning in of_load(one)]
    found += [RowWarning.CLIENT_BOUND] if client_bound else []
    return found + ([RowWarning.COLD_START] if is_cold(measured) else [])


def of_load(one: Measured) -> list[RowWarning]:
    """Warnings of one load."""
    found = throttled(one.window.device(*one.gpus), one.gpus)
    found += energy_warnings(one.window, one.gpus)
    found += [RowWarning.SAMPLES_DAMAGED] if one.samples_damaged else []
    found += [RowWarning.LATENCY_DRIFTS] if drifts(one.requests) else []
    found += [RowWarning.SHARED_HOST] if host_shared(one) else []
    return found + ([RowWarning.SHARED_GPU] if one.launch.get("others_on_gpu") else [])


def throttled(samples: pd.DataFrame, gpus: Sequence[str]) -> list[RowWarning]:
    """Which kinds of throttling the samples of a load show on any of the GPUs."""
    if not gpus or not len(samples):
        return []
    found = []
    for warning, bits in THROTTLES.items():
        reasons = samples.dropna(subset=["throttle_reasons"])
        slowed = (reasons["throttle_reasons"].astype("int64") & bits) != 0
        shares = slowed.groupby(reasons["device"]).mean()
        found += [warning] if (shares >= LEAST_SHARE).any() else []
    return found


def drifts(requests: request_metrics.Requests) -> bool:
    """Whether the ok requests that lie within the steady state became slower or faster over it."""
    window = request_metrics.steady_window(requests)
    if window is None:
        return False
    sent, end = requests.column("sent_s"), requests.column("end_s")
    inside = (sent >= window[0]) & (end <= window[1]) & (end > sent)
    return bool(drift(sent[inside], (end - sent)[inside]))


def host_shared(one: Measured) -> bool:
    """Whether others used OTHERS_SHARE of the host's processors during the load, on the mean.

    Others: the host's CPU time less that of the server's processes and of the client. Not known where the server is elsewhere.
    """
    host, server = one.window.device("host"), one.window.device("server")
    cpus, seconds = one.session["host"].get("logical_cpus"), one.load["end_s"] - one.load["start_s"]
    if not len(host) or not len(server) or not cpus or seconds <= 0:
        return False
    own = server["cpu_percent"].mean() + 100 * one.load["client_cpu_s"] / seconds
    others = float(host["cpu_percent"].mean() - own)
    return bool(np.isfinite(others)) and others >= OTHERS_SHARE * 100 * cpus


def is_cold(measured: Sequence[Measured]) -> bool:
    """Whether the session (of one or more) that was launched first took much longer than all others, the load its first.

    Much: over COLD_FACTOR times the longest of the others, and by over COLD_SPREADS times their range.
    """
    times = {one.launch["anchor"]["unix_s"]: (one.time_s, one) for one in measured}
    (first, one), *rest = (times[start] for start in sorted(times))
    others = [time for time, _ in rest if time is not None]
    if first is None or not others:
        return False
    longest, spread = max(others), max(others) - min(others)
    much = first > COLD_FACTOR * longest and first - longest > COLD_SPREADS * spread
    return much and one.first_of_launch
