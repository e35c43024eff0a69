"""What hardware and server did during a load: telemetry and the server's own metrics, cut to the load's window."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from servegrid.engines.base import Metrics

GIB = 1024**3
MARGIN_S = 5.0  # samples this far outside the window are read too, to interpolate counters at its edges


@dataclass(frozen=True)
class Window:
    """Samples of one launch between two instants of the host's clock."""

    start_s: float
    end_s: float
    telemetry: pd.DataFrame
    server: pd.DataFrame

    @classmethod
    def of(cls, launch: Path, start_s: float, end_s: float) -> "Window":
        """Read the samples of the launch whose files lie in `launch`; a file that is missing gives no samples."""
        near = [("t_s", ">=", start_s - MARGIN_S), ("t_s", "<=", end_s + MARGIN_S)]
        frames = []
        for name in ("telemetry", "server_metrics"):
            path = launch / f"{name}.parquet"
            frames.append(pq.read_table(path, filters=near).to_pandas() if path.exists() else pd.DataFrame())
        return cls(start_s, end_s, *frames)

    def _inside(self, rows: pd.DataFrame) -> pd.DataFrame:
        return rows[rows["t_s"].between(self.start_s, self.end_s)]

    def device(self, *names: str) -> pd.DataFrame:
        """The samples of these devices (`host`, `server`, or GPU UUIDs) inside the window."""
        if not len(self.telemetry):
            return self.telemetry
        return self._inside(self.telemetry[self.telemetry["device"].isin(names)])

    def growth(self, device: str, counter: str) -> float:
        """How far a counter of a device went over the window, interpolated at its edges; NaN if an edge is not covered."""
        rows = self.telemetry[self.telemetry["device"] == device].dropna(subset=[counter])
        if not len(rows) or rows["t_s"].iloc[0] > self.start_s or rows["t_s"].iloc[-1] < self.end_s:
            return np.nan
        edges = np.interp([self.start_s, self.end_s], rows["t_s"], rows[counter])
        return float(edges[1] - edges[0])

    def gauge(self, name: str | None) -> pd.Series:
        """The samples of one series of the server's metrics inside the window, summed over its labels."""
        if name is None or not len(self.server):
            return pd.Series(dtype=float)
        rows = self._inside(self.server[self.server["name"] == name])
        return rows.groupby("t_s")["value"].sum()


def server_columns(window: Window, metrics: Metrics, copies: int = 1) -> dict[str, float | None]:
    """Columns of the group `server`: means and maxima of the server's own gauges over the window.

    Of several copies the requests are summed, and the use of the KV cache (a share) is the mean over the copies.
    """
    kv_cache = _number(window.gauge(metrics.kv_cache).max())
    return {
        "running_mean": _number(window.gauge(metrics.running).mean()),
        "waiting_max": _number(window.gauge(metrics.waiting).max()),
        "kv_cache_max": None if kv_cache is None else kv_cache / copies,
    }


def hardware_columns(window: Window, gpus: list[str]) -> dict[str, float | None]:
    """Columns of the group `hardware`: GPUs summed (memory, power, energy) or averaged (utilisation), and the server's CPU."""
    server, columns = window.device("server"), _gpu_columns(window, gpus)
    if len(server):
        columns["server_cpu_percent_mean"] = _number(server["cpu_percent"].mean())
        columns["server_memory_gib_max"] = _number(server["memory_bytes"].max() / GIB)
    return columns


def _gpu_columns(window: Window, gpus: list[str]) -> dict[str, float | None]:
    samples = window.device(*gpus)
    if not len(samples):
        return {}
    by_gpu = samples.groupby("device")
    power, energy = by_gpu["power_w"].mean(), sum(window.growth(uuid, "energy_j") for uuid in gpus)
    return {
        "vram_used_gib": _number(by_gpu["memory_bytes"].max().sum(min_count=len(gpus)) / GIB),
        "vram_total_gib": _number(by_gpu["memory_total_bytes"].max().sum(min_count=len(gpus)) / GIB),
        "gpu_util_mean": _number(by_gpu["gpu_percent"].mean().mean(skipna=False)),
        "power_w_mean": _number(power.sum(min_count=len(gpus))),
        "energy_j": _number(energy),
    }


def _number(value: Any) -> float | None:
    return None if value is None or pd.isna(value) else float(value)


def startup_s(launch: Mapping[str, Any]) -> float | None:
    """Launch to the first healthy answer, in s; None if the server never became ready, or ran already."""
    if launch.get("url"):
        return None  # it ran before
    start_up = launch.get("start_up") or {}
    ready = start_up.get("ready_s")
    return None if ready is None else float(ready - start_up["launched_s"])
