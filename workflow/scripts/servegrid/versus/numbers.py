"""Metrics held against each other: each point alone, and all points together.

All intervals hold together (Bonferroni). Where points are compared together too, these few comparisons share one half of the
doubt, so that they see small changes, and those of single points share the other half.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean

from servegrid.intervals import Estimate, ratio, shared_level
from servegrid.phrases import distrust
from servegrid.versus.change import HIGHER_IS_BETTER, Change, Verdict
from servegrid.versus.joint import LEAST_POINTS, Values, mean_ratio
from servegrid.versus.runs import Pair, Side


def of_numbers(pairs: Sequence[Pair], metrics: Sequence[str], worse_by: float) -> list[Change]:
    """Every metric of every point that both sides know, after its mean over the points with repeats where these are enough;
    then those that a warning speaks against.
    """
    distrusted = [change for metric in metrics for pair in pairs if (change := _distrusted(pair, metric))]
    known = {metric: [one for pair in pairs if (one := _values(pair, metric))] for metric in metrics}
    repeated = {metric: [one for one in points if one.repeated] for metric, points in known.items()}
    together = {metric: points for metric, points in repeated.items() if len(points) >= LEAST_POINTS}
    halves = 2 if together else 1
    level = shared_level(halves * sum(map(len, repeated.values())))
    found = [_alone(metric, one, level, worse_by) for metric, points in known.items() for one in points]
    level = shared_level(halves * len(together))
    joint = [_together(metric, points, level, worse_by) for metric, points in together.items()]
    return [*joint, *found, *distrusted]


def _values(pair: Pair, metric: str) -> Values | None:
    """Session values above zero; None where a side has none, or none to rely on."""
    assert pair.before is not None and pair.after is not None
    if any(_why_not(pair, metric)):
        return None
    before, after = _by_round(pair.before, metric), _by_round(pair.after, metric)
    return Values(pair.axes, before, after) if before and after else None


def _by_round(side: Side, metric: str) -> Mapping[int, float]:
    if metric not in side.sessions:
        return {}
    rounds = zip(side.sessions["rep"], side.sessions[metric], strict=True)
    return {int(rep): float(value) for rep, value in rounds if value > 0}


def _why_not(pair: Pair, metric: str) -> list[str]:
    """Of both runs, the warning with which the metric is not to be relied on; empty if there is none."""
    return [distrust(side.point.get("warnings"), metric) if side else "" for side in (pair.before, pair.after)]


def _distrusted(pair: Pair, metric: str) -> Change | None:
    assert pair.before is not None and pair.after is not None
    was, now = _why_not(pair, metric)
    known = _by_round(pair.before, metric) or _by_round(pair.after, metric)
    return Change(pair.axes, metric, was or None, now or None, None, "untrusted") if known and (was or now) else None


def _alone(metric: str, point: Values, level: float, worse_by: float) -> Change:
    estimate = ratio(point.after, point.before, level)
    before, after = (fmean(side.values()) for side in (point.before, point.after))
    return Change(point.axes, metric, before, after, estimate, _verdict(metric, estimate, worse_by))


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
