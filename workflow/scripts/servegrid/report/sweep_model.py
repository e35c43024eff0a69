"""The model of a sweep's session values, and what is drawn with its intervals."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from servegrid.results.session_values import ID_COLUMNS, PointIds, session_values_by_point
from servegrid.stats.session_model import SessionModel, ValueByRound

_NO_ENDS = (np.nan, np.nan)


def sweep_model(values: Mapping[PointIds, ValueByRound]) -> SessionModel[PointIds]:
    """Model of the session values of a sweep: loads share the sessions of their server, and `rep` is the round."""
    return SessionModel(values, server_of=lambda ids: ids[0], block_of=lambda _, rep: rep)


def with_intervals(points: pd.DataFrame, sessions: pd.DataFrame, metrics: Iterable[str]) -> pd.DataFrame:
    """Points with `<metric>_low` and `<metric>_high` as the ends of the 95 % interval over sessions; NaN where there is none."""
    ids = list(zip(*(points[name] for name in ID_COLUMNS), strict=True))
    for metric in metrics:
        model = sweep_model(session_values_by_point(sessions, metric))
        estimates = {point: model.mean(point) for point in model.values}
        ends = {point: (mean.low, mean.high) for point, mean in estimates.items() if mean.has_interval}
        table = np.array([ends.get(point, _NO_ENDS) for point in ids], dtype=float).reshape(-1, 2)
        points = points.assign(**{f"{metric}_low": table[:, 0], f"{metric}_high": table[:, 1]})
    return points
