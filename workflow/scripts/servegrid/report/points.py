"""results/points as tables and figures use it: every column there, axes as labels, numbers as floats."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from servegrid import metrics
from servegrid.report.numbers import plain

if TYPE_CHECKING:
    from servegrid.report.settings import Settings

AXES = ("engine", "gpu", "threads", "speculation", "quantization")
TEXTS = (
    *(
        "status",
        "source",
        "reason",
        "tokens_from",
        "engine_version",
        "runtime",
        "image_digest",
        "model",
        "host",
        "gpu_name",
        "driver",
    ),
    *("server_id", "load_id", "warnings"),
)
FLAGS = ("client_bound",)
PERCENTILES = tuple(f"p{percent}" for percent in metrics.PERCENTILES)
LATENCIES = tuple(f"{metric}_ms_{p}" for metric in metrics.LATENCIES for p in PERCENTILES)
NUMBERS = (
    *("sessions", "time_s", "time_s_low", "time_s_high", "tail_s", "steady_s", "over_published"),
    *("requests_ok", "requests_short", "requests_failed", "prompt_tokens", "output_tokens"),
    *("requests_per_s", "output_tokens_per_s", "total_tokens_per_s", "goodput_requests_per_s"),
    "steady_output_tokens_per_s",
    *LATENCIES,
    *(
        "startup_s",
        "running_mean",
        "waiting_max",
        "kv_cache_max",
        "kv_cache_tokens",
        "acceptance_rate",
        "acceptance_length",
    ),
    *("vram_used_gib", "vram_total_gib", "gpu_util_mean", "power_w_mean", "energy_j"),
    *("server_cpu_percent_mean", "server_memory_gib_max"),
    *("j_per_output_token", "usd_per_million_output_tokens"),
    *("idle_power_w", "energy_above_idle_j", "j_per_output_token_above_idle", "output_tokens_per_s_per_gpu"),
    *("divergence_characters_p50", "divergence_characters_p50_floor", "text_distance", "text_distance_floor", "garble"),
    *(
        "agreement",
        "agreement_floor",
        "client_cpu_s",
        "client_share",
        "lateness_ms_p99",
        "turnaround_ms_p99",
        "stamp_late_ms_p99",
    ),
)
PUBLISHED = "published"
WHOLE = ("ok", PUBLISHED)
"""Statuses of rows that others can be held against."""
DRAWN = (*WHOLE, "partial")
"""Statuses whose numbers are shown in figures; every other row is named in the footnote."""
NO_EFFECT = ("none", "0")
"""How an axis spells that the feature is off."""


def read_points(path: Path) -> pd.DataFrame:
    """Read points.parquet or points.csv; only an empty field is unknown (`none` and `NA` are values)."""
    if path.suffix == ".csv":
        return pd.read_csv(path, keep_default_na=False, na_values=[""])
    return pd.read_parquet(path)


def prepare(points: pd.DataFrame, settings: "Settings") -> pd.DataFrame:
    """A copy with every known column, in a form fit for grouping.

    Axes but `threads` become labels, `threads` and all numbers float64 (NaN: unknown), texts str (empty: unknown).
    Further columns are kept as they are.
    """
    columns: dict[str, Any] = {name: points[name] for name in points.columns}
    for axis in settings.all_axes:
        columns[axis] = _number(points, axis) if axis == "threads" else _labels(points, axis)
    columns |= {name: _number(points, name) for name in NUMBERS}
    columns |= {name: _text(points, name) for name in TEXTS}
    columns |= {name: points.get(name, pd.Series(None, points.index, dtype=object)) for name in FLAGS}
    return pd.DataFrame(columns, index=points.index).reset_index(drop=True)


def bound(points: pd.DataFrame) -> "pd.Series[bool]":
    """The points whose pace the load client may have set: shown, and left out of rankings."""
    return points["client_bound"].map(lambda value: str(value).lower() in ("true", "1"))


def doubtful(points: pd.DataFrame) -> "pd.Series[bool]":
    """The points that are drawn hollow: measured in part, or at a pace that the load client may have set."""
    return bound(points) | (points["status"] == "partial")


def label(value: Any) -> str:
    """An axis value as text: `0.9`, `8`, `true`, `ngram:2`; `unset` for null."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return "unset"
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, int | float | np.number):
        return f"{float(value):.10g}"
    return plain(str(value))


def levels(points: pd.DataFrame, axis: str) -> list[str]:
    """The labels on `axis`: by size if they are numbers, else as they first appear, with `none` before all."""
    found = list(dict.fromkeys(label(value) for value in points[axis]))
    try:
        return sorted(found, key=float)
    except ValueError:
        return sorted(found, key=lambda level: level not in NO_EFFECT)


def varying(points: pd.DataFrame, axes: Iterable[str]) -> list[str]:
    """Those of `axes` on which the points differ."""
    return [axis for axis in axes if points[axis].nunique(dropna=False) > 1]


def drawable(points: pd.DataFrame, metric: str, zero: bool = False) -> "pd.Series[bool]":
    """Mask of the rows whose `metric` can be drawn: measured, finite and above zero, or `zero` itself if that means it."""
    value = points[metric]
    positive = value >= 0 if zero else value > 0
    mask: pd.Series[bool] = points["status"].isin(DRAWN) & np.isfinite(value) & positive
    return mask


def _number(points: pd.DataFrame, name: str) -> pd.Series:
    if name not in points:
        return pd.Series(math.nan, points.index, dtype="float64")
    return pd.to_numeric(points[name], errors="coerce").astype("float64")


def _labels(points: pd.DataFrame, name: str) -> pd.Series:
    values = points[name].tolist() if name in points else [None] * len(points)
    return pd.Series([label(value) for value in values], points.index, dtype=object)


def _text(points: pd.DataFrame, name: str) -> pd.Series:
    values = points[name].tolist() if name in points else [None] * len(points)
    return pd.Series(["" if pd.isna(value) else plain(str(value)) for value in values], points.index, dtype=object)
