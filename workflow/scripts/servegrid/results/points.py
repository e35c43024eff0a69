"""results/points as tables and figures use it: every column there, axes as labels, numbers as floats."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from servegrid.results.axes import NO_EFFECT, label
from servegrid.results.columns import FLAGS, NUMBERS, TEXTS
from servegrid.util.text import plain

PUBLISHED = "published"
WHOLE = ("ok", PUBLISHED)
"""Statuses of rows that others can be held against."""
DRAWN = (*WHOLE, "partial")
"""Statuses whose numbers are shown in figures; every other row is named in the footnote."""


def read_points(path: Path) -> pd.DataFrame:
    """Read points.parquet or points.csv; only an empty field is unknown (`none` and `NA` are values)."""
    if path.suffix == ".csv":
        return pd.read_csv(path, keep_default_na=False, na_values=[""])
    return pd.read_parquet(path)


def prepare(points: pd.DataFrame, axes: Iterable[str]) -> pd.DataFrame:
    """A copy with every known column, in a form fit for grouping.

    Axes but `threads` become labels, `threads` and all numbers float64 (NaN: unknown), texts str (empty: unknown).
    Further columns are kept as they are.
    """
    columns: dict[str, Any] = {name: points[name] for name in points.columns}
    for axis in axes:
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
