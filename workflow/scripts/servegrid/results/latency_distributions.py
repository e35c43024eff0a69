"""Distributions of latencies beside each point, from results/distributions."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from servegrid.results.columns import DISTRIBUTED_LATENCIES
from servegrid.results.session_values import ID_COLUMNS

Floats = npt.NDArray[np.float64]
SPREAD_FIELDS = ("percent", "ms", "ms_low", "ms_high")


@dataclass(frozen=True)
class Spread:
    """Percentiles of one latency of one point, ascending.

    Attributes:
        percent: the percentiles, 0 to 100.
        ms: their values.
        ms_low, ms_high: lowest and highest over the sessions; NaN unless known of two sessions or more, and of every one.
    """

    percent: Floats
    ms: Floats
    ms_low: Floats
    ms_high: Floats


def with_spreads(points: pd.DataFrame, distributions: pd.DataFrame) -> pd.DataFrame:
    """Add a column `<latency>_spread` for each of DISTRIBUTED_LATENCIES to the points: a Spread, or None where unknown.

    Points that differ in what does not matter (threads, with planned arrivals) share a server and a load, and have the same.

    Args:
        points: rows of results/points.
        distributions: rows of results/distributions.
    """
    distributions = distributions.drop_duplicates([*ID_COLUMNS, "latency", "percent"])
    fields = [distributions[name].to_numpy(dtype=float) for name in SPREAD_FIELDS]
    rows = distributions.groupby([*ID_COLUMNS, "latency"]).indices
    spread_by_key = {key: Spread(*(values[indices] for values in fields)) for key, indices in rows.items()}
    ids = list(zip(*(points[name] for name in ID_COLUMNS), strict=True))
    columns: dict[str, Any] = {
        spread_column(latency): pd.Series(
            [spread_by_key.get((*key, latency)) for key in ids], points.index, dtype=object
        )
        for latency in DISTRIBUTED_LATENCIES
    }
    return points.assign(**columns)


def spread_column(latency: str) -> str:
    """Name of the column of a latency's Spreads."""
    return f"{latency}_spread"
