"""Points of made-up sweeps, for the tests of tables and figures."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from servegrid.results.columns import DISTRIBUTED_LATENCIES, DISTRIBUTION_PERCENTILES
from servegrid.results.latency_distributions import Spread, spread_column

Row = dict[str, Any]


def sweep(
    axes: Mapping[str, Sequence[Any]] | None = None,
    change: Callable[[Row], Row] = lambda row: row,
    **more: Sequence[Any],
) -> pd.DataFrame:
    """One measured row per combination of `axes`; `change` may alter or empty a row."""
    grid: dict[str, Sequence[Any]] = {
        "engine": ["llamacpp", "ctranslate2"],
        "gpu": ["cpu"],
        "threads": [1, 4, 16, 64],
        "speculation": ["none"],
        "quantization": ["none"],
    }
    grid |= {**(axes or {}), **more}
    points = (dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values()))
    return pd.DataFrame([change(measured(point, grid)) for point in points])


def measured(point: Row, grid: Mapping[str, Sequence[Any]]) -> Row:
    """A plausible measurement: faster with threads up to the server's limit, and slower again by queueing."""
    place = {axis: list(grid[axis]).index(value) for axis, value in point.items()}
    threads = float(point["threads"] or 1)
    time_s = (
        40 * (1 + 0.25 * place["engine"]) / (1 + 0.6 * place["gpu"]) / min(threads, 24) ** 0.6 * (1 + threads / 600)
    )
    time_s *= (1, 0.82, 1.15, 1.3, 1.5)[place["speculation"] % 5] ** (1 if threads < 8 else 0.4) / (
        1 + 0.3 * place["quantization"]
    )
    return point | {
        "status": "ok",
        "reason": None,
        "sessions": 2,
        "time_s": time_s,
        "time_s_low": time_s * 0.96,
        "time_s_high": time_s * 1.05,
        "requests_ok": 24,
        "requests_failed": 0,
        "output_tokens": 768,
        "tokens_from": "usage",
        "output_tokens_per_s": 768 / time_s,
        "ttft_ms_p50": 3 * threads,
        "ttft_ms_p99": 11 * threads,
        "itl_ms_p50": 4 + threads / 8,
        "itl_ms_p99": 9 + threads / 4,
        "acceptance_rate": (None, 0.71, 0.38, 0.3, 0.2)[place["speculation"] % 5],
        "agreement": (1.0, 0.8, 0.5)[place["quantization"] % 3],
        "agreement_floor": 0.97,
        "host": "box",
    }


def with_made_spreads(points: pd.DataFrame) -> pd.DataFrame:
    """The points with distributions that are lines from 0 through their medians, and sessions 10 % beside."""

    def spread(median: float) -> Spread | None:
        percent = np.array(DISTRIBUTION_PERCENTILES, dtype=float)
        ms = percent / 50 * median
        return Spread(percent, ms, 0.9 * ms, 1.1 * ms) if np.isfinite(median) and median > 0 else None

    columns = {}
    for name in DISTRIBUTED_LATENCIES:
        medians = points.get(f"{name}_ms_p50", pd.Series(np.nan, points.index))
        columns[spread_column(name)] = [spread(median) for median in medians]
    return points.assign(**columns)


def without(row: Row, status: str, reason: str) -> Row:
    """The row of the same point with nothing measured."""
    axes = list(row)[: list(row).index("status")]
    return {axis: row[axis] for axis in axes} | {"status": status, "reason": reason}


def default_sweep() -> pd.DataFrame:
    """Two engines on the CPU, four levels of threads, three of speculation, two of quantization, with holes."""

    def holes(row: Row) -> Row:
        if row["engine"] == "ctranslate2" and row["speculation"] != "none":
            return without(row, "unsupported", "CTranslate2 has no speculative decoding")
        if row["engine"] == "llamacpp" and row["threads"] == 64 and row["speculation"] == "ngram:8":
            return without(row, "failed", "server died under load with signal 9 (SIGKILL), 312 s after launch")
        if row["engine"] == "ctranslate2" and row["threads"] == 16 and row["quantization"] == "int8":
            return row | {"status": "partial", "requests_failed": 3, "reason": "3 of 48 requests: timeout"}
        return row

    return sweep(speculation=["none", "ngram:2", "ngram:8"], quantization=["none", "int8"], change=holes)


def with_ids(points: pd.DataFrame) -> pd.DataFrame:
    """Points with the ids of their servers and loads."""
    server = points["engine"] + points["speculation"] + points["quantization"]
    return points.assign(server_id=server, load_id=points["threads"].astype(str))
