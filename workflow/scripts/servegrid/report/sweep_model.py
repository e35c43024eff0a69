"""The model of a sweep's session values, and what is drawn with its intervals."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from servegrid.results.points import COMPARABLE_STATUSES
from servegrid.results.session_values import ID_COLUMNS, PointIds, session_values_by_point
from servegrid.results.warnings import disqualifying_warning
from servegrid.stats.session_model import SessionModel, ValueByRound

_NO_ENDS = (np.nan, np.nan)


def sweep_model(
    values: Mapping[PointIds, ValueByRound], hosts: Mapping[PointIds, str] | None = None
) -> SessionModel[PointIds]:
    """Model of the session values of a sweep: loads share the sessions of their server; a round is `rep` on one host."""
    return SessionModel(
        values, server_of=lambda ids: ids[0], block_of=lambda ids, rep: ((hosts or {}).get(ids, ""), rep)
    )


def hosts_of(points: pd.DataFrame) -> dict[PointIds, str]:
    """Host of every point, by its ids; empty where it is not known."""
    ids = zip(*(points[name] for name in ID_COLUMNS), strict=True)
    return dict(zip(ids, points["host"] if "host" in points else [""] * len(points), strict=True))


def evident(points: pd.DataFrame, metric: str) -> set[PointIds]:
    """Ids of the points that are whole, without a warning against the metric: what is no evidence tells nothing of the noise."""
    whole = points["status"].isin(COMPARABLE_STATUSES)
    warnings = points["warnings"] if "warnings" in points else pd.Series("", points.index)
    trusted = warnings.map(lambda text: disqualifying_warning(text, metric) is None)
    return set(zip(*(points.loc[whole & trusted, name] for name in ID_COLUMNS), strict=True))


def with_intervals(points: pd.DataFrame, sessions: pd.DataFrame, metrics: Iterable[str]) -> pd.DataFrame:
    """Points with `<metric>_low` and `<metric>_high` as the ends of the 95 % interval over sessions; NaN where there is none."""
    ids, hosts = list(zip(*(points[name] for name in ID_COLUMNS), strict=True)), hosts_of(points)
    for metric in metrics:
        known, values = evident(points, metric), session_values_by_point(sessions, metric)
        model = sweep_model({point: rounds for point, rounds in values.items() if point in known}, hosts)
        estimates = {point: model.mean(point) for point in model.values}
        ends = {point: (mean.low, mean.high) for point, mean in estimates.items() if mean.has_interval}
        table = np.array([ends.get(point, _NO_ENDS) for point in ids], dtype=float).reshape(-1, 2)
        points = points.assign(**{f"{metric}_low": table[:, 0], f"{metric}_high": table[:, 1]})
    return points
