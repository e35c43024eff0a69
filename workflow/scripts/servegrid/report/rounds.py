"""Session values of every point, by the round they were measured in: what intervals are taken over."""

from collections.abc import Mapping

import pandas as pd

Rounds = Mapping[int, float]
Ids = tuple[str, str]


def by_point(sessions: pd.DataFrame, metric: str) -> dict[Ids, dict[int, float]]:
    """(server, load) -> round -> value of `metric` above zero, of the wholly measured sessions of results/sessions."""
    found: dict[Ids, dict[int, float]] = {}
    if metric not in sessions:
        return found
    good = sessions[(sessions["status"] == "ok") & (sessions[metric] > 0)]
    for server, load, rep, value in zip(*(good[name] for name in ("server_id", "load_id", "rep", metric)), strict=True):
        found.setdefault((server, load), {})[int(rep)] = float(value)
    return found


def with_rounds(points: pd.DataFrame, sessions: pd.DataFrame, metric: str = "time_s") -> pd.DataFrame:
    """The points with a column `<metric>_by_round`, empty where nothing was measured."""
    known = by_point(sessions, metric)
    ids = zip(points["server_id"], points["load_id"], strict=True)
    values = pd.Series([known.get(key, {}) for key in ids], points.index, dtype=object)
    return points.assign(**{f"{metric}_by_round": values})
