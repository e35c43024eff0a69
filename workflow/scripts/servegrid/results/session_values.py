"""Session values of every point, by the round they were measured in: what intervals are taken over."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from servegrid.results.columns import NEVER_ZERO

Rounds = Mapping[int, float]
Ids = tuple[str, str]
IDS = ["server_id", "load_id"]


def by_point(sessions: pd.DataFrame, metric: str) -> dict[Ids, dict[int, float]]:
    """(server, load) -> round -> known value of `metric`, of the wholly measured sessions of results/sessions."""
    found: dict[Ids, dict[int, float]] = {}
    if metric not in sessions:
        return found
    good = sessions[(sessions["status"] == "ok") & known(sessions, metric)]
    for server, load, rep, value in zip(*(good[name] for name in ("server_id", "load_id", "rep", metric)), strict=True):
        found.setdefault((server, load), {})[int(rep)] = float(value)
    return found


def known(rows: pd.DataFrame, metric: str) -> "pd.Series[bool]":
    """The rows that know `metric`: a finite number, not below zero, and 0 only where that is a reading."""
    value = pd.to_numeric(rows[metric], errors="coerce")
    mask: pd.Series[bool] = np.isfinite(value) & ((value > 0) if metric in NEVER_ZERO else (value >= 0))
    return mask


def with_rounds(points: pd.DataFrame, sessions: pd.DataFrame, metric: str = "time_s") -> pd.DataFrame:
    """The points with a column `<metric>_by_round`, empty where nothing was measured."""
    found = by_point(sessions, metric)
    ids = zip(points["server_id"], points["load_id"], strict=True)
    values = pd.Series([found.get(key, {}) for key in ids], points.index, dtype=object)
    return points.assign(**{f"{metric}_by_round": values})


def with_ranges(points: pd.DataFrame, sessions: pd.DataFrame, metrics: Iterable[str]) -> pd.DataFrame:
    """The points with columns `<metric>_low` and `<metric>_high`: lowest and highest of results/sessions.

    NaN where fewer than two sessions know the metric.
    """
    names = list(metrics)
    table = sessions.reindex(columns=[*IDS, "rep", *names]).drop_duplicates([*IDS, "rep"])  # points may share a load
    numbers = table[names].apply(pd.to_numeric, errors="coerce").astype("float64")
    grouped = numbers.groupby([table[name] for name in IDS])
    several = grouped.count() >= 2
    ends = {"low": grouped.min().where(several), "high": grouped.max().where(several)}
    ids = pd.MultiIndex.from_frame(points[IDS])
    return points.assign(
        **{f"{name}_{end}": found[name].reindex(ids).to_numpy() for end, found in ends.items() for name in names}
    )
