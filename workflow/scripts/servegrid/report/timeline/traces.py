"""Curves of a timeline: which series of a launch are in which row, prepared for drawing."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from servegrid.engines.base import Metrics
from servegrid.report.drawing.style import COLOURS, DASHES, GREY
from servegrid.report.timeline.recording import LaunchRecord

GIB = 1024**3
MAX_GPUS = 6
_MAX_SAMPLES = 3000
_GAP = 5.0
"""A pause longer than this many median sampling intervals breaks the curve."""


@dataclass(frozen=True)
class Trace:
    """One curve: its row, name in the legend, values over seconds of the host's clock, and how it is drawn."""

    row: str
    name: str
    values: "pd.Series[float]"
    colour: str
    dash: Any = "-"
    steps: bool = False


ROWS = ("CPU (cores busy)", "memory (GiB)", "GPU use (%)", "GPU memory (GiB)", "GPU power (W)", "requests")
"""Rows of a timeline from top to bottom, with their units; a row without a curve is left out."""


def traces(launch: LaunchRecord, metrics: Metrics) -> list[Trace]:
    """All curves of a launch that have values."""
    return [
        trace
        for trace in (*_host_traces(launch), *_gpu_traces(launch), *_request_traces(launch, metrics))
        if trace.values.notna().any()
    ]


def _host_traces(launch: LaunchRecord) -> Iterator[Trace]:
    looks = {"host": (GREY, DASHES[1]), "server": (COLOURS[0], "-")}
    for device, (colour, dash) in looks.items():
        samples = _device_samples(launch, device)
        yield Trace(ROWS[0], device, drawable_series(samples["cpu_percent"] / 100), colour, dash)
        yield Trace(ROWS[1], device, drawable_series(samples["memory_bytes"] / GIB), colour, dash)


def _gpu_traces(launch: LaunchRecord) -> Iterator[Trace]:
    devices = [name for name in launch.telemetry["device"].dropna().unique() if name not in ("host", "server")]
    for place, uuid in enumerate(devices[:MAX_GPUS]):
        samples = _device_samples(launch, uuid)
        name = f"GPU {str(uuid)[-6:]}" if len(devices) > 1 else "GPU"
        look = (COLOURS[1:][place % 7], DASHES[place % len(DASHES)])
        yield Trace(ROWS[2], name, drawable_series(samples["gpu_percent"]), *look)
        yield Trace(ROWS[3], name, drawable_series(samples["memory_bytes"] / GIB), *look)
        yield Trace(ROWS[4], name, drawable_series(samples["power_w"]), *look)


def _request_traces(launch: LaunchRecord, metrics: Metrics) -> Iterator[Trace]:
    for load in launch.loads:
        yield Trace(
            ROWS[5], "in flight (client)", drawable_series(load.in_flight, gaps=False), GREY, DASHES[2], steps=True
        )
    yield Trace(ROWS[5], "running (server)", drawable_series(_summed_gauge(launch, metrics.running)), COLOURS[2])
    yield Trace(
        ROWS[5], "waiting (server)", drawable_series(_summed_gauge(launch, metrics.waiting)), COLOURS[1], DASHES[1]
    )


def _device_samples(launch: LaunchRecord, device: str) -> pd.DataFrame:
    samples = launch.telemetry
    return samples[samples["device"] == device].set_index("t_s").sort_index()


def _summed_gauge(launch: LaunchRecord, name: str | None) -> "pd.Series[float]":
    rows = launch.server[launch.server["name"] == name]
    return rows.groupby("t_s")["value"].sum().astype("float64")


def drawable_series(values: "pd.Series[float]", gaps: bool = True) -> "pd.Series[float]":
    """At most about `_MAX_SAMPLES` values, lowest and highest of each stretch kept, with NaN where sampling paused."""
    values = values.astype("float64")
    if len(values) > _MAX_SAMPLES:
        values = _thinned(values)
    if not gaps or len(values) < 3:
        return values
    interval = np.diff(values.index.to_numpy(dtype=float))
    after = np.flatnonzero(interval > _GAP * np.median(interval))
    breaks = pd.Series(np.nan, index=values.index.to_numpy(dtype=float)[after] + interval[after] / 2)
    return pd.concat([values, breaks]).sort_index() if len(breaks) else values


def _thinned(values: "pd.Series[float]") -> "pd.Series[float]":
    stretch = np.arange(len(values)) * (_MAX_SAMPLES // 2) // len(values)
    positions = pd.Series(values.to_numpy()).dropna()
    grouped = positions.groupby(stretch[positions.index])
    kept = np.unique(np.concatenate([grouped.idxmin(), grouped.idxmax()]))
    return values.iloc[kept]
