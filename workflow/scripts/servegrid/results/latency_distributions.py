"""The distributions of latencies, by point, from results/distributions."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from servegrid.results.columns import DISTRIBUTED
from servegrid.results.session_values import IDS

Floats = npt.NDArray[np.float64]
ROW = ("percent", "ms", "ms_low", "ms_high")


@dataclass(frozen=True)
class Spread:
    """Percentiles of one latency of one point, ascending.

    Attributes:
        percent: which, 0 to 100.
        ms: the values.
        ms_low, ms_high: lowest and highest over the sessions; NaN where they are not known of all of two or more.
    """

    percent: Floats
    ms: Floats
    ms_low: Floats
    ms_high: Floats


def with_spreads(points: pd.DataFrame, distributions: pd.DataFrame) -> pd.DataFrame:
    """The points with a column `<latency>_spread` for each of metrics.DISTRIBUTED: a Spread, or None where unknown.

    Points that differ in what does not matter (threads, with planned arrivals) share a server and a load, and have the same.
    """
    distributions = distributions.drop_duplicates([*IDS, "latency", "percent"])
    columns = [distributions[name].to_numpy(dtype=float) for name in ROW]
    places = distributions.groupby([*IDS, "latency"]).indices
    known = {key: Spread(*(values[at] for values in columns)) for key, at in places.items()}
    ids = list(zip(*(points[name] for name in IDS), strict=True))
    spreads: dict[str, Any] = {
        column(latency): pd.Series([known.get((*key, latency)) for key in ids], points.index, dtype=object)
        for latency in DISTRIBUTED
    }
    return points.assign(**spreads)


def column(latency: str) -> str:
    """The name of a latency's column of Spreads."""
    return f"{latency}_spread"
