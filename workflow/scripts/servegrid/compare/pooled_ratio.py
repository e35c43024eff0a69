"""Ratio after / before over all points together, which shows changes too small to show at any single point.

The loads of one server share its sessions: an effect of one launch is in all of them. So points are not independent,
and an interval over points would be far too narrow. The variance is taken over sessions instead, each a cluster of what
its points have in common (a variance by clusters: Liang and Zeger 1986, Biometrika 73).
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

from servegrid.compare.session_values import SessionValues
from servegrid.stats.intervals import Estimate, t_quantile

MIN_POINTS = 3
"""Number of points from which they are compared together."""


def mean_ratio(points: Sequence[SessionValues], level: float) -> Estimate:
    """Geometric mean of after / before over points with two or more sessions in both runs, all values above zero.

    The t-interval is over the sessions of all servers, whose logarithms are taken to vary alike. It holds for the mean
    over these points: one alone may differ.
    """
    deviations = [*_deviations(points, "before"), *_deviations(points, "after")]
    freedom = sum(len(sessions) - 1 for sessions in deviations)
    variance = sum(len(sessions) / (len(sessions) - 1) * sum(value**2 for value in sessions) for sessions in deviations)
    centre = fmean(_mean_log(point.after) - _mean_log(point.before) for point in points)
    half = t_quantile(level, freedom) * math.sqrt(variance)
    how = f"{100 * level:.4g} % t-interval over the sessions ({freedom} degrees of freedom), mean over {len(points)} points"
    return Estimate(math.exp(centre), math.exp(centre - half), math.exp(centre + half), how)


def _mean_log(values: Mapping[int, float]) -> float:
    return fmean(map(math.log, values.values()))


def _deviations(points: Sequence[SessionValues], run: str) -> Iterator[list[float]]:
    """Yield, per server, how far each of its sessions moves the mean logarithm over all points."""
    servers: dict[tuple[str, ...], dict[int, float]] = defaultdict(lambda: defaultdict(float))
    for point in points:
        values: Mapping[int, float] = getattr(point, run)
        centre, share = _mean_log(values), 1 / (len(values) * len(points))
        for rep, value in values.items():
            servers[point.server][rep] += share * (math.log(value) - centre)
    for sessions in servers.values():
        yield list(sessions.values())
