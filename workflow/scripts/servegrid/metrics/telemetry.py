"""Hardware and server during a load: telemetry and the server's own metrics, cut to the load's window."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from servegrid.engines.base import Metrics
from servegrid.records.read import Damaged, read_table
from servegrid.records.schema import SERVER_METRICS
from servegrid.util.files import fingerprint

Floats = npt.NDArray[np.float64]
GIB = 1024**3
TELEMETRY_COLUMNS = (
    *("t_s", "device", "cpu_percent", "memory_bytes", "memory_total_bytes", "gpu_percent", "power_w", "energy_j"),
    "throttle_reasons",
)
"""The columns of TELEMETRY that numbers and warnings are made of."""
MARGIN_S = 5.0
"""Samples this far outside a window are read too, to interpolate counters at its edges."""


@dataclass(frozen=True)
class Samples:
    """All samples of one launch: telemetry by device (`host`, `server`, GPU UUIDs), and the server's metrics by name of the series."""

    telemetry: dict[str, pd.DataFrame]
    server: dict[str, pd.DataFrame]

    @classmethod
    def read(cls, launch: Path) -> "Samples":
        """Read the files in the folder `launch`, once for the loads of a session; one that is missing or damaged gives no samples."""
        paths = launch / "telemetry.parquet", launch / "server_metrics.parquet"
        return _read_samples(*paths, *map(fingerprint, paths))

    def window(self, start_s: float, end_s: float) -> "Window":
        """Samples between two instants of the host's clock, in s, and MARGIN_S before and after."""
        telemetry, server = (
            {name: _between(rows, start_s - MARGIN_S, end_s + MARGIN_S) for name, rows in frames.items()}
            for frames in (self.telemetry, self.server)
        )
        return Window(start_s, end_s, telemetry, server)


@lru_cache(maxsize=8)
def _read_samples(telemetry: Path, server: Path, *_fingerprints: object) -> Samples:
    """Read both files; their fingerprints make a file that was written anew be read anew."""
    return Samples(_rows_by(telemetry, TELEMETRY_COLUMNS, "device"), _rows_by(server, SERVER_METRICS.names, "name"))


def _rows_by(path: Path, columns: Sequence[str], key: str) -> dict[str, pd.DataFrame]:
    """Rows of a file by the values of `key`; none of a damaged one."""
    try:
        return _split_by(read_table(path, columns).to_pandas(), key)
    except Damaged:  # the row says so (collect.warning_rules)
        return {}


def _split_by(rows: pd.DataFrame, key: str) -> dict[str, pd.DataFrame]:
    """Rows of each value of `key`, in the order of time. Much cheaper than pandas' groups, for thousands of launches."""
    codes, names = pd.factorize(rows[key])
    rows = rows.take(np.lexsort((rows["t_s"].to_numpy(), codes)))
    ends = np.cumsum(np.bincount(codes, minlength=len(names)))
    return {str(name): rows.iloc[begin:end] for name, begin, end in zip(names, [0, *ends], ends, strict=False)}


def _between(rows: pd.DataFrame, start_s: float, end_s: float) -> pd.DataFrame:
    times = rows["t_s"].to_numpy()
    return rows.iloc[np.searchsorted(times, start_s) : np.searchsorted(times, end_s, side="right")]


@dataclass(frozen=True)
class Window:
    """Samples of one launch between two instants of the host's clock in s, and MARGIN_S around; by device and by name, as in Samples."""

    start_s: float
    end_s: float
    telemetry: dict[str, pd.DataFrame]
    server: dict[str, pd.DataFrame]

    def _inside(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Rows without those around the window."""
        return _between(rows, self.start_s, self.end_s)

    def device_samples(self, *names: str) -> pd.DataFrame:
        """Samples of these devices (`host`, `server`, or GPU UUIDs) inside the window."""
        frames = [self._inside(self.telemetry[name]) for name in names if name in self.telemetry]
        return pd.concat(frames) if len(frames) > 1 else frames[0] if frames else pd.DataFrame()

    def known_samples(self, device: str, column: str) -> pd.DataFrame:
        """Samples of a device in which the column is known, those around the window among them."""
        rows = self.telemetry.get(device)
        return pd.DataFrame() if rows is None else rows[rows[column].notna()]

    def device_counter_growth(self, device: str, counter: str) -> float:
        """Growth of a counter of a device over the window; at its edges see `_counter_at_start`.

        NaN if an edge is not covered, or if the counter fell: it began anew then (another driver), at a value nobody knows.
        """
        rows = self.known_samples(device, counter)
        if not len(rows) or rows["t_s"].iloc[0] > self.start_s or rows["t_s"].iloc[-1] < self.end_s:
            return np.nan
        if (np.diff(rows[counter]) < 0).any():
            return np.nan
        t, values = rows["t_s"].to_numpy(), rows[counter].to_numpy()
        at_start = _counter_at_start(t, values, self.start_s, self.end_s)
        at_end = -_counter_at_start(-t[::-1], -values[::-1], -self.end_s, -self.start_s)  # the same seen backwards
        return max(at_end - at_start, 0.0)

    def server_gauge(self, name: str | None) -> pd.Series:
        """Samples of one series of the server's metrics inside the window, summed over its labels; empty if there is none."""
        if name is None or name not in self.server:
            return pd.Series(dtype=float)
        rows = self._inside(self.server[name])
        return rows.groupby("t_s")["value"].sum(min_count=1)

    def info_label(self, info: tuple[str, str] | None) -> float | None:
        """Value of a label of an info metric, summed over replicas; None if it is no number above zero.

        Args:
            info: name of the metric and of its label, if the server has such.
        """
        name, label = info or ("", "")
        if name not in self.server:
            return None
        values = [json.loads(labels).get(label, "") for labels in self.server[name]["labels"].unique()]
        return _finite(sum(float(value) for value in values if value.isdecimal())) or None

    def server_counter_growth(self, name: str | None) -> float:
        """Growth of a counter of the server, summed over its labels, over the part of the window that samples cover.

        For ratios of counters, which edges that are missing leave as they are: a server is not asked again after its last load.
        NaN without samples.
        """
        if name is None or name not in self.server:
            return np.nan
        sums = self.server[name].groupby("t_s")["value"].sum(min_count=1).dropna()
        if sums.empty:
            return np.nan
        first, last = np.interp([self.start_s, self.end_s], sums.index, sums).tolist()
        return float(last - first)


def _counter_at_start(t: Floats, values: Floats, start_s: float, end_s: float) -> float:
    """Value of a counter at the start of a window, which its load sets apart: pace inside and outside may differ much.

    It is reckoned back from the first sample inside at the pace of the interval that follows, if that is inside too; else on from
    the last sample outside at the pace before it. Interpolated, a load of a few intervals would have its edges' pace from both.
    """
    inside = int(np.searchsorted(t, start_s))
    if t[inside] == start_s:
        return float(values[inside])
    low, high = values[inside - 1], values[inside]
    if inside + 1 < len(t) and t[inside + 1] <= end_s:
        pace = (values[inside + 1] - high) / (t[inside + 1] - t[inside])
        return float(np.clip(high - pace * (t[inside] - start_s), low, high))
    if inside >= 2:
        pace = (low - values[inside - 2]) / (t[inside - 1] - t[inside - 2])
        return float(np.clip(low + pace * (start_s - t[inside - 1]), low, high))
    return float(np.interp(start_s, t, values))


def server_columns(window: Window, metrics: Metrics, copies: int = 1) -> dict[str, float | None]:
    """Columns about the server: means and maxima of its own gauges over the window, and what its counters say.

    Of several copies the requests are summed, and the use of the KV cache (a share) is the mean over the copies.
    """
    kv_cache = _finite(window.server_gauge(metrics.kv_cache).max())
    return {
        "running_mean": _finite(window.server_gauge(metrics.running).mean()),
        "waiting_max": _finite(window.server_gauge(metrics.waiting).max()),
        "kv_cache_max": None if kv_cache is None else kv_cache / copies,
        "kv_cache_tokens": window.info_label(metrics.kv_cache_info)
        or _finite(window.server_gauge(metrics.kv_cache_tokens).max()),
        "acceptance_rate": _acceptance_rate(window, metrics, copies),
        "acceptance_length": _acceptance_length(window, metrics, copies),
    }


def _acceptance_rate(window: Window, metrics: Metrics, copies: int) -> float | None:
    """Accepted / drafted tokens by the server's own counters, else the mean of its own rate; None if nothing was drafted."""
    if metrics.acceptance_rate:
        return _finite(window.server_gauge(metrics.acceptance_rate).mean() / copies)
    drafted, accepted = (
        window.server_counter_growth(metrics.drafted_tokens),
        window.server_counter_growth(metrics.accepted_tokens),
    )
    return _finite(accepted / drafted) if drafted > 0 else None


def _acceptance_length(window: Window, metrics: Metrics, copies: int) -> float | None:
    """Tokens that a step yields where something was drafted: 1 + accepted / drafts (vLLM's definition); None if nothing was drafted."""
    if metrics.acceptance_length:
        return _finite(window.server_gauge(metrics.acceptance_length).mean() / copies)
    drafts, accepted = (
        window.server_counter_growth(metrics.drafts),
        window.server_counter_growth(metrics.accepted_tokens),
    )
    return _finite(1 + accepted / drafts) if drafts > 0 else None


def hardware_columns(window: Window, gpus: list[str]) -> dict[str, float | None]:
    """Columns about the hardware: GPUs summed (memory, power) or averaged (utilisation), the server's CPU and memory."""
    server, columns = window.device_samples("server"), _gpu_columns(window, gpus)
    if len(server):
        columns["server_cpu_percent_mean"] = _finite(server["cpu_percent"].mean())
        columns["server_memory_gib_max"] = _finite(server["memory_bytes"].max() / GIB)
    return columns


def _gpu_columns(window: Window, gpus: list[str]) -> dict[str, float | None]:
    """Columns about the GPUs; {} without samples, unknown where a GPU does not say."""
    samples = window.device_samples(*gpus)
    if not len(samples):
        return {}
    by_gpu = samples.groupby("device")
    power = by_gpu["power_w"].mean()
    return {
        "vram_used_gib": _finite(by_gpu["memory_bytes"].max().sum(min_count=len(gpus)) / GIB),
        "vram_total_gib": _finite(by_gpu["memory_total_bytes"].max().sum(min_count=len(gpus)) / GIB),
        "gpu_util_mean": _finite(by_gpu["gpu_percent"].mean().mean(skipna=False)),
        "power_w_mean": _finite(power.sum(min_count=len(gpus))),
    }


def _finite(value: Any) -> float | None:
    """The number as float; None where a server says infinity or nothing, since the tables hold finite numbers alone."""
    return float(value) if value is not None and math.isfinite(value) else None


def startup_s(launch: Mapping[str, Any]) -> float | None:
    """Time from launch to the first healthy answer, in s; None if the server never became ready, or ran already."""
    if launch.get("url"):
        return None
    start_up = launch.get("start_up") or {}
    ready = start_up.get("ready_s")
    return None if ready is None else float(ready - start_up["launched_s"])
