"""The rows of results/points, read and prepared for tables and figures: every column there, axes as labels, numbers as floats."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from servegrid.results.axes import NO_EFFECT, level_label
from servegrid.results.columns import FLAG_COLUMNS, NUMBER_COLUMNS, TEXT_COLUMNS
from servegrid.util.text import plain

PUBLISHED = "published"
COMPARABLE_STATUSES = ("ok", PUBLISHED)
"""Statuses of rows that can be compared with each other."""
DRAWN_STATUSES = (*COMPARABLE_STATUSES, "partial")
"""Statuses whose numbers are shown in figures; every other row is named in the footnote."""


def read_result_table(path: Path) -> pd.DataFrame:
    """Read a result table from Parquet or CSV; only an empty field is unknown (`none` and `NA` are values)."""
    if path.suffix == ".csv":
        return pd.read_csv(path, keep_default_na=False, na_values=[""])
    return pd.read_parquet(path)


def prepare_points(points: pd.DataFrame, axes: Iterable[str]) -> pd.DataFrame:
    """Copy of results/points with every column there, in types fit for grouping.

    Axes but `threads` become labels, `threads` and all numbers float64 (NaN: unknown), texts str (empty: unknown).
    Further columns are kept as they are.
    """
    columns: dict[str, Any] = {name: points[name] for name in points.columns}
    for axis in axes:
        columns[axis] = _numbers(points, axis) if axis == "threads" else _labels(points, axis)
    columns |= {name: _numbers(points, name) for name in NUMBER_COLUMNS}
    columns |= {name: _texts(points, name) for name in TEXT_COLUMNS}
    columns |= {name: points.get(name, pd.Series(None, points.index, dtype=object)) for name in FLAG_COLUMNS}
    return pd.DataFrame(columns, index=points.index).reset_index(drop=True)


def client_bound_rows(points: pd.DataFrame) -> "pd.Series[bool]":
    """Mask of the rows whose pace the load client may have set: shown, and left out of rankings."""
    return points["client_bound"].map(lambda value: str(value).lower() in ("true", "1"))


def pace_unknown_rows(points: pd.DataFrame) -> "pd.Series[bool]":
    """Mask of the rows measured here of which nobody knows whether the load client set their pace; they are ranked, and it is said."""
    is_unknown = points["client_bound"].map(lambda value: str(value).lower() in ("", "none", "nan", "<na>"))
    mask: pd.Series[bool] = is_unknown & points["status"].isin(("ok", "partial"))
    return mask


def hollow_rows(points: pd.DataFrame) -> "pd.Series[bool]":
    """Mask of the rows that are drawn hollow: measured in part, or at a pace that the load client may have set."""
    return client_bound_rows(points) | (points["status"] == "partial")


def axis_levels(points: pd.DataFrame, axis: str) -> list[str]:
    """Labels of the levels of `axis`: by size if they are numbers, else as they first appear, with NO_EFFECT before all."""
    labels = list(dict.fromkeys(level_label(value) for value in points[axis]))
    try:
        return sorted(labels, key=float)
    except ValueError:
        return sorted(labels, key=lambda label: label not in NO_EFFECT)


def varying_axes(points: pd.DataFrame, axes: Iterable[str]) -> list[str]:
    """Axes, of those given, on which the points differ."""
    return [axis for axis in axes if points[axis].nunique(dropna=False) > 1]


def drawable_rows(points: pd.DataFrame, metric: str, zero: bool = False) -> "pd.Series[bool]":
    """Mask of the rows whose `metric` can be drawn: measured, finite and above zero, or `zero` itself if that means it."""
    value = points[metric]
    positive = value >= 0 if zero else value > 0
    mask: pd.Series[bool] = points["status"].isin(DRAWN_STATUSES) & np.isfinite(value) & positive
    return mask


def _numbers(points: pd.DataFrame, name: str) -> pd.Series:
    if name not in points:
        return pd.Series(math.nan, points.index, dtype="float64")
    return pd.to_numeric(points[name], errors="coerce").astype("float64")


def _labels(points: pd.DataFrame, name: str) -> pd.Series:
    values = points[name].tolist() if name in points else [None] * len(points)
    return pd.Series([level_label(value) for value in values], points.index, dtype=object)


def _texts(points: pd.DataFrame, name: str) -> pd.Series:
    values = points[name].tolist() if name in points else [None] * len(points)
    return pd.Series(["" if pd.isna(value) else plain(str(value)) for value in values], points.index, dtype=object)
