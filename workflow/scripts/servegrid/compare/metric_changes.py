"""Metrics held against each other: each point alone, and all points together.

All intervals hold together (Bonferroni). Metrics have equal parts of the doubt, so that one with few comparisons, such as a server's
start, does not pay for those with many. Where points are compared together too, this one comparison has half of its metric's part,
so that it sees small changes, and those of single points share the other half.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean

from servegrid.compare.change import Change, Verdict
from servegrid.compare.noise_floor import pooled_noise, widen_to_noise
from servegrid.compare.pooled_ratio import MIN_POINTS, mean_ratio
from servegrid.compare.runs import PointPair
from servegrid.compare.session_values import SessionValues, metric_values
from servegrid.results.columns import BETTER
from servegrid.stats.intervals import Estimate, ratio, shared_level
from servegrid.stats.noise import Noise


def metric_changes(pairs: Sequence[PointPair], metrics: Sequence[str], worse_by: float) -> list[Change]:
    """Every metric of every point that both sides know, after its mean over the points with repeats where these are enough;
    then those that a warning speaks against, or that one side alone knows.
    """
    found = {metric: metric_values(pairs, metric) for metric in metrics}
    known = {metric: [one for one in points if one.compared] for metric, points in found.items()}
    level = shared_level(sum(any(map(_has_interval, points)) for points in known.values()))
    compared = [change for metric, points in known.items() for change in _compared(metric, points, level, worse_by)]
    return [*compared, *_untrusted(found), *_one_sided(found)]


def _compared(metric: str, points: Sequence[SessionValues], level: float, worse_by: float) -> list[Change]:
    """All comparisons of one metric, which hold together at this level."""
    repeated = [point for point in points if _has_interval(point)]
    halves = 2 if len(repeated) >= MIN_POINTS else 1
    together = [_together(metric, repeated, shared_level(2, level), worse_by)] if halves == 2 else []
    level, noise = shared_level(halves * len(repeated), level), pooled_noise(repeated)
    return [*together, *(_alone(metric, point, level, noise, worse_by) for point in points)]


def _has_interval(point: SessionValues) -> bool:
    return point.repeated and point.positive


def _untrusted(found: Mapping[str, Sequence[SessionValues]]) -> list[Change]:
    return [
        Change(one.axes, metric, *one.against, None, "untrusted")
        for metric, points in found.items()
        for one in points
        if any(one.against) and (one.before or one.after)
    ]


def _one_sided(found: Mapping[str, Sequence[SessionValues]]) -> list[Change]:
    """Metrics that the whole sessions of one run know, and those of the other do not."""
    return [
        Change(one.axes, metric, _mean(one.before), _mean(one.after), None, "gone" if one.before else "new")
        for metric, points in found.items()
        for one in points
        if bool(one.before) != bool(one.after) and not any(one.against)
    ]


def _mean(values: Mapping[int, float]) -> float | None:
    return fmean(values.values()) if values else None


def _alone(metric: str, point: SessionValues, level: float, noise: Noise, worse_by: float) -> Change:
    before, after = (fmean(side.values()) for side in (point.before, point.after))
    if not point.positive:
        return Change(point.axes, metric, before, after, None, _by_sign(metric, point))
    estimate = widen_to_noise(ratio(point.after, point.before, level), point, noise, level)
    return Change(point.axes, metric, before, after, estimate, _verdict(metric, estimate, worse_by))


def _by_sign(metric: str, point: SessionValues) -> Verdict:
    """Zero has no ratio and no interval: a direction shows only where every session of one run is zero and none of the other."""
    if not point.repeated:
        return "no doubt known"
    if not any(point.before.values()) and all(point.after.values()):
        return "better" if BETTER[metric] == "higher" else "worse"
    if not any(point.after.values()) and all(point.before.values()):
        return "worse" if BETTER[metric] == "higher" else "better"
    return "no difference shown"


def _together(metric: str, points: Sequence[SessionValues], level: float, worse_by: float) -> Change:
    estimate = mean_ratio(points, level)
    return Change({}, metric, None, None, estimate, _verdict(metric, estimate, worse_by), len(points))


def _verdict(metric: str, after_by_before: Estimate, worse_by: float) -> Verdict:
    slower = after_by_before.inverse() if BETTER[metric] == "higher" else after_by_before
    if slower.low is None or slower.high is None:
        return "no doubt known"
    if slower.low > 1 + worse_by:
        return "worse"
    return "better" if slower.high < 1 else "no difference shown"
