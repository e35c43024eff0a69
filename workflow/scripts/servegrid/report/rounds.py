"""Session values of every point, by the round they were measured in: what intervals are taken over."""

from collections.abc import Iterable, Mapping

import pandas as pd

Rounds = Mapping[int, float]
Ids = tuple[str, str]
IDS = ["server_id", "load_id"]


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


def with_ranges(points: pd.DataFrame, sessions: pd.DataFrame | None, metrics: Iterable[str]) -> pd.DataFrame:
    """The points with columns `<metric>_low` and `<metric>_high`: lowest and highest of results/sessions.

    NaN where fewer than two sessions know the metric, and everywhere without `sessions`.
    """
    names = list(metrics)
    table = (
        pd.DataFrame(columns=IDS) if sessions is None else sessions.drop_duplicates([*IDS, "rep"])
    )  # points may share a load
    numbers = table.reindex(columns=names).apply(pd.to_numeric, errors="coerce").astype("float64")
    grouped = numbers.groupby([table[name] for name in IDS])
    several = grouped.count() >= 2
    ends = {"low": grouped.min().where(several), "high": grouped.max().where(several)}
    ids = pd.MultiIndex.from_frame(points[IDS])
    return points.assign(
        **{f"{name}_{end}": found[name].reindex(ids).to_numpy() for end, found in ends.items() for name in names}
    )
