"""Metrics held against each other: each point alone, and all points together.

All intervals hold together (Bonferroni). Metrics have equal parts of the doubt, so that one with few comparisons, such as a server's
start, does not pay for those with many. Where points are compared together too, this one comparison has half of its metric's part,
so that it sees small changes, and those of single points share the other half.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean

from servegrid.compare.change import Change, Verdict
from servegrid.compare.noise_floor import typical, widened
from servegrid.compare.pooled_ratio import LEAST_POINTS, mean_ratio
from servegrid.compare.runs import Pair
from servegrid.compare.session_values import Values, values_of
from servegrid.results.columns import BETTER
from servegrid.stats.intervals import Estimate, bonferroni_level, ratio
from servegrid.stats.noise import Noise


def of_numbers(pairs: Sequence[Pair], metrics: Sequence[str], worse_by: float) -> list[Change]:
    """Every metric of every point that both sides know, after its mean over the points with repeats where these are enough;
    then those that a warning speaks against, or that one side alone knows.
    """
    found = {metric: values_of(pairs, metric) for metric in metrics}
    known = {metric: [one for one in points if one.compared] for metric, points in found.items()}
    level = bonferroni_level(sum(any(map(_has_interval, points)) for points in known.values()))
    compared = [change for metric, points in known.items() for change in _compared(metric, points, level, worse_by)]
    return [*compared, *_untrusted(found), *_one_sided(found)]


def _compared(metric: str, points: Sequence[Values], level: float, worse_by: float) -> list[Change]:
    """All comparisons of one metric, which hold together at this level."""
    repeated = [point for point in points if _has_interval(point)]
    halves = 2 if len(repeated) >= LEAST_POINTS else 1
    together = [_together(metric, repeated, bonferroni_level(2, level), worse_by)] if halves == 2 else []
    level, noise = bonferroni_level(halves * len(repeated), level), typical(repeated)
    return [*together, *(_alone(metric, point, level, noise, worse_by) for point in points)]


def _has_interval(point: Values) -> bool:
    return point.repeated and point.positive


def _untrusted(found: Mapping[str, Sequence[Values]]) -> list[Change]:
    return [
        Change(one.axes, metric, *_phrases(one), None, "untrusted")
        for metric, points in found.items()
        for one in points
        if any(one.against) and (one.before or one.after)
    ]


def _phrases(values: Values) -> tuple[str | None, str | None]:
    """What speaks against the metric in each run, in words."""
    before, after = values.against
    return before and before.phrase, after and after.phrase


def _one_sided(found: Mapping[str, Sequence[Values]]) -> list[Change]:
    """Metrics that the whole sessions of one run know, and those of the other do not."""
    return [
        Change(one.axes, metric, _mean(one.before), _mean(one.after), None, "gone" if one.before else "new")
        for metric, points in found.items()
        for one in points
        if bool(one.before) != bool(one.after) and not any(one.against)
    ]


def _mean(values: Mapping[int, float]) -> float | None:
    return fmean(values.values()) if values else None


def _alone(metric: str, point: Values, level: float, noise: Noise, worse_by: float) -> Change:
    before, after = (fmean(side.values()) for side in (point.before, point.after))
    if not point.positive:
        return Change(point.axes, metric, before, after, None, _by_sign(metric, point))
    estimate = widened(ratio(point.after, point.before, level), point, noise, level)
    return Change(point.axes, metric, before, after, estimate, _verdict(metric, estimate, worse_by))


def _by_sign(metric: str, point: Values) -> Verdict:
    """Zero has no ratio and no interval: a direction shows only where every session of one run is zero and none of the other."""
    if not point.repeated:
        return "no doubt known"
    if not any(point.before.values()) and all(point.after.values()):
        return "better" if BETTER[metric] == "higher" else "worse"
    if not any(point.after.values()) and all(point.before.values()):
        return "worse" if BETTER[metric] == "higher" else "better"
    return "no difference shown"


def _together(metric: str, points: Sequence[Values], level: float, worse_by: float) -> Change:
    estimate = mean_ratio(points, level)
    return Change({}, metric, None, None, estimate, _verdict(metric, estimate, worse_by), len(points))


def _verdict(metric: str, after_by_before: Estimate, worse_by: float) -> Verdict:
    slower = after_by_before.inverse() if BETTER[metric] == "higher" else after_by_before
    if slower.low is None or slower.high is None:
        return "no doubt known"
    if slower.low > 1 + worse_by:
        return "worse"
    return "better" if slower.high < 1 else "no difference shown"
