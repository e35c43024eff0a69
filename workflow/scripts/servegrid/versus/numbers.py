"""Metrics held against each other: each point alone, and all points together.

All intervals hold together (Bonferroni). Where points are compared together too, these few comparisons share one half of the
doubt, so that they see small changes, and those of single points share the other half.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean

from servegrid.intervals import Estimate, ratio, shared_level
from servegrid.versus.change import HIGHER_IS_BETTER, Change, Verdict
from servegrid.versus.joint import LEAST_POINTS, mean_ratio
from servegrid.versus.runs import Pair
from servegrid.versus.values import Values, values_of


def of_numbers(pairs: Sequence[Pair], metrics: Sequence[str], worse_by: float) -> list[Change]:
    """Every metric of every point that both sides know, after its mean over the points with repeats where these are enough;
    then those that a warning speaks against.
    """
    found = {metric: [values_of(pair, metric) for pair in pairs] for metric in metrics}
    known = {metric: [one for one in points if one.compared] for metric, points in found.items()}
    repeated = {metric: [one for one in points if one.repeated and one.positive] for metric, points in known.items()}
    together = {metric: points for metric, points in repeated.items() if len(points) >= LEAST_POINTS}
    halves = 2 if together else 1
    level = shared_level(halves * len(together))
    joint = [_together(metric, points, level, worse_by) for metric, points in together.items()]
    level = shared_level(halves * sum(map(len, repeated.values())))
    alone = [_alone(metric, one, level, worse_by) for metric, points in known.items() for one in points]
    return [*joint, *alone, *_untrusted(found)]


def _untrusted(found: Mapping[str, Sequence[Values]]) -> list[Change]:
    return [
        Change(one.axes, metric, *one.against, None, "untrusted")
        for metric, points in found.items()
        for one in points
        if any(one.against) and (one.before or one.after)
    ]


def _alone(metric: str, point: Values, level: float, worse_by: float) -> Change:
    before, after = (fmean(side.values()) for side in (point.before, point.after))
    if not point.positive:
        return Change(point.axes, metric, before, after, None, _by_sign(metric, point))
    estimate = ratio(point.after, point.before, level)
    return Change(point.axes, metric, before, after, estimate, _verdict(metric, estimate, worse_by))


def _by_sign(metric: str, point: Values) -> Verdict:
    """Zero has no ratio and no interval: a direction shows only where every session of one run is zero and none of the other."""
    if not point.repeated:
        return "no doubt known"
    if not any(point.before.values()) and all(point.after.values()):
        return "better" if metric in HIGHER_IS_BETTER else "worse"
    if not any(point.after.values()) and all(point.before.values()):
        return "worse" if metric in HIGHER_IS_BETTER else "better"
    return "no difference shown"


def _together(metric: str, points: Sequence[Values], level: float, worse_by: float) -> Change:
    estimate = mean_ratio(points, level)
    return Change({}, metric, None, None, estimate, _verdict(metric, estimate, worse_by), len(points))


def _verdict(metric: str, after_by_before: Estimate, worse_by: float) -> Verdict:
    slower = after_by_before.inverse() if metric in HIGHER_IS_BETTER else after_by_before
    if slower.low is None or slower.high is None:
        return "no doubt known"
    if slower.low > 1 + worse_by:
        return "worse"
    return "better" if slower.high < 1 else "no difference shown"
