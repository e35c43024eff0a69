"""Values of a metric in the sessions of every point, by round: intervals are taken over them."""

import numpy as np
import pandas as pd

from servegrid.results.columns import NEVER_ZERO

PointIds = tuple[str, str]
"""Server id and load id of a point."""
ID_COLUMNS = ["server_id", "load_id"]


def session_values_by_point(sessions: pd.DataFrame, metric: str) -> dict[PointIds, dict[int, float]]:
    """Known values of `metric` in the wholly measured sessions of results/sessions: (server id, load id) -> round -> value."""
    by_point: dict[PointIds, dict[int, float]] = {}
    if metric not in sessions:
        return by_point
    rows = sessions[(sessions["status"] == "ok") & has_value(sessions, metric)]
    for server, load, rep, value in zip(*(rows[name] for name in (*ID_COLUMNS, "rep", metric)), strict=True):
        by_point.setdefault((server, load), {})[int(rep)] = float(value)
    return by_point


def has_value(rows: pd.DataFrame, metric: str) -> "pd.Series[bool]":
    """Mask of the rows in which `metric` is known: a finite number, not below zero, and 0 only where that is a reading."""
    value = pd.to_numeric(rows[metric], errors="coerce")
    mask: pd.Series[bool] = np.isfinite(value) & ((value > 0) if metric in NEVER_ZERO else (value >= 0))
    return mask


def with_rounds(points: pd.DataFrame, sessions: pd.DataFrame, metric: str = "time_s") -> pd.DataFrame:
    """Add a column `<metric>_by_round` of round -> value to the points; {} where nothing was measured."""
    by_point = session_values_by_point(sessions, metric)
    ids = zip(points["server_id"], points["load_id"], strict=True)
    values = pd.Series([by_point.get(key, {}) for key in ids], points.index, dtype=object)
    return points.assign(**{f"{metric}_by_round": values})
