"""Least variance between the sessions of one point, estimated from the sessions of all points.

A stall that hits one session and not another changes its distribution, and its p99, which rests on a few requests, by a
multiple. Two or three sessions that all happen to have a stall, or all to have none, vary little, so their own variance
gives an interval that is too narrow.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from servegrid.compare.session_values import SessionValues
from servegrid.stats.intervals import PAIRED_FROM, Estimate, t_quantile
from servegrid.stats.noise import UNKNOWN_NOISE, Noise


def pooled_noise(points: Sequence[SessionValues]) -> Noise:
    """Mean variance of the logarithms of session values over points with two or more in both runs, all above zero."""
    log_values = [
        [math.log(value) for value in run.values()] for point in points for run in (point.before, point.after)
    ]
    freedom = sum(len(logs) - 1 for logs in log_values)
    squares = sum((log - fmean(logs)) ** 2 for logs in log_values for log in logs)
    return Noise(squares / freedom, freedom, len(points)) if len(points) > 1 else UNKNOWN_NOISE


def widen_to_noise(estimate: Estimate, point: SessionValues, noise: Noise, level: float) -> Estimate:
    """Ratio of a point with fewer than PAIRED_FROM sessions, its interval at least as wide as the noise of all points."""
    sessions = len(point.before), len(point.after)
    if estimate.low is None or not noise.dof or min(sessions) >= PAIRED_FROM:
        return estimate
    variance = noise.variance * sum(1 / count for count in sessions)
    factor = math.exp(t_quantile(level, noise.dof) * math.sqrt(variance))
    if factor <= estimate.value / estimate.low:
        return estimate
    how = f"{100 * level:.4g} % t-interval over {sessions[0]} and {sessions[1]} sessions, by the noise of all {noise.points} points"
    return replace(estimate, low=estimate.value / factor, high=estimate.value * factor, how=how)
