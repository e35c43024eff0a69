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


def evident_model(points: pd.DataFrame, values: Mapping[PointIds, ValueByRound], metric: str) -> SessionModel[PointIds]:
    """Model of the values of those points that are whole, without a warning against the metric: others tell nothing of the noise."""
    points = points.reindex(columns=[*ID_COLUMNS, "status", "warnings", "host"]).astype(object).fillna("")
    trusted = points["warnings"].map(lambda text: disqualifying_warning(text, metric) is None)
    rows = points[points["status"].isin(COMPARABLE_STATUSES) & trusted]
    hosts = dict(zip(zip(*(rows[name] for name in ID_COLUMNS), strict=True), rows["host"], strict=True))
    return sweep_model({point: rounds for point, rounds in values.items() if point in hosts}, hosts)


def with_intervals(points: pd.DataFrame, sessions: pd.DataFrame, metrics: Iterable[str]) -> pd.DataFrame:
    """Points with `<metric>_low` and `<metric>_high` as the ends of the 95 % interval over sessions; NaN where there is none."""
    ids = list(zip(*(points[name] for name in ID_COLUMNS), strict=True))
    for metric in metrics:
        model = evident_model(points, session_values_by_point(sessions, metric), metric)
        estimates = {point: model.mean(point) for point in model.values}
        ends = {point: (mean.low, mean.high) for point, mean in estimates.items() if mean.has_interval}
        table = np.array([ends.get(point, _NO_ENDS) for point in ids], dtype=float).reshape(-1, 2)
        points = points.assign(**{f"{metric}_low": table[:, 0], f"{metric}_high": table[:, 1]})
    return points
