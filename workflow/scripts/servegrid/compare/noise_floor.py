"""How much the sessions of one point vary at least, as those of all points say.

A stall that hits one session and not another makes it another distribution, and a p99, which rests on a few requests, another by times. Two
or three sessions that happen to be all with a stall, or all without, vary little, so their own variance gives an interval that is too narrow.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from servegrid.compare.session_values import Values
from servegrid.stats.intervals import PAIRED_FROM, Estimate, t_quantile
from servegrid.stats.noise import UNKNOWN_NOISE, Noise


def typical(points: Sequence[Values]) -> Noise:
    """The mean variance of the logarithms over all sessions of these points, each with two or more in both runs, all above zero."""
    runs = [[math.log(value) for value in run.values()] for point in points for run in (point.before, point.after)]
    freedom = sum(len(logs) - 1 for logs in runs)
    squares = sum((log - fmean(logs)) ** 2 for logs in runs for log in logs)
    return Noise(squares / freedom, freedom, len(points)) if len(points) > 1 else UNKNOWN_NOISE


def widened(estimate: Estimate, point: Values, noise: Noise, level: float) -> Estimate:
    """The ratio of a point with fewer than PAIRED_FROM sessions, with an interval no narrower than the noise of all points makes it."""
    sessions = len(point.before), len(point.after)
    if estimate.low is None or not noise.dof or min(sessions) >= PAIRED_FROM:
        return estimate
    variance = noise.variance * sum(1 / count for count in sessions)
    times = math.exp(t_quantile(level, noise.dof) * math.sqrt(variance))
    if times <= estimate.value / estimate.low:
        return estimate
    how = f"{100 * level:.4g} % t-interval over {sessions[0]} and {sessions[1]} sessions, by the noise of all {noise.points} points"
    return replace(estimate, low=estimate.value / times, high=estimate.value * times, how=how)
