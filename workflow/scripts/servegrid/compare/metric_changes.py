"""Metrics of two runs compared: at each point alone, and over all points together.

All intervals hold together (Bonferroni). Each metric gets an equal part of the error probability, so that one with few
comparisons, such as a server's start, does not pay for those with many. Where points are also compared together, this
one comparison gets half of its metric's part, so that it detects small changes, and those of single points share the
other half.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean

from servegrid.compare.change import Change, Verdict
from servegrid.compare.run_model import AFTER, BEFORE, RunPoint, run_model
from servegrid.compare.runs import PointPair
from servegrid.compare.session_values import SessionValues, metric_values
from servegrid.results.columns import BETTER
from servegrid.stats.intervals import ROUNDING, Estimate, bonferroni_level
from servegrid.stats.session_model import SessionModel

MIN_POINTS = 3
"""Number of points from which they are compared together."""


def metric_changes(pairs: Sequence[PointPair], metrics: Sequence[str], worse_by: float) -> list[Change]:
    """Changes of every metric that both runs know, then of those that a warning speaks against, or that one run knows.

    Where enough points are repeated, the mean over them comes before the single points.
    """
    values_by_metric = {metric: metric_values(pairs, metric) for metric in metrics}
    compared_values = {
        metric: [point for point in points if point.compared] for metric, points in values_by_metric.items()
    }
    level = bonferroni_level(sum(any(map(_has_interval, points)) for points in compared_values.values()))
    compared_changes = [
        change
        for metric, points in compared_values.items()
        for change in metric_comparisons(metric, points, level, worse_by)
    ]
    not_compared = [*_untrusted_metrics(values_by_metric), *_metrics_of_other_lengths(values_by_metric)]
    return [*compared_changes, *not_compared, *_metrics_of_one_run(values_by_metric)]


def metric_comparisons(metric: str, points: Sequence[SessionValues], level: float, worse_by: float) -> list[Change]:
    """All comparisons of one metric, which hold together at this level."""
    repeated = [number for number, point in enumerate(points) if _has_interval(point)]
    parts, model = 2 if len(repeated) >= MIN_POINTS else 1, run_model(points)
    pooled = [_pooled_change(metric, model, repeated, bonferroni_level(2, level), worse_by)] if parts == 2 else []
    level = bonferroni_level(parts * len(repeated), level)
    changes = (_point_change(metric, model, number, point, level, worse_by) for number, point in enumerate(points))
    return [*pooled, *changes]


def _has_interval(point: SessionValues) -> bool:
    return point.repeated and point.positive


def _untrusted_metrics(values_by_metric: Mapping[str, Sequence[SessionValues]]) -> list[Change]:
    """Changes for metrics that a warning of either run speaks against."""
    return [
        Change(point.axes, metric, *_warning_phrases(point), None, "untrusted")
        for metric, points in values_by_metric.items()
        for point in points
        if any(point.warnings) and (point.before or point.after)
    ]


def _metrics_of_other_lengths(values_by_metric: Mapping[str, Sequence[SessionValues]]) -> list[Change]:
    """Changes for metrics that go with the length of answers, which differs between the runs."""
    return [
        Change(point.axes, metric, *point.tokens, None, "other lengths")
        for metric, points in values_by_metric.items()
        for point in points
        if point.tokens and point.before and point.after and not any(point.warnings)
    ]


def _warning_phrases(values: SessionValues) -> tuple[str | None, str | None]:
    """Phrases of the warnings that speak against the metric in each run."""
    before, after = values.warnings
    return before and before.phrase, after and after.phrase


def _metrics_of_one_run(values_by_metric: Mapping[str, Sequence[SessionValues]]) -> list[Change]:
    """Changes for metrics that the whole sessions of one run know and those of the other do not."""
    return [
        Change(
            point.axes,
            metric,
            _mean_or_none(point.before),
            _mean_or_none(point.after),
            None,
            "gone" if point.before else "new",
        )
        for metric, points in values_by_metric.items()
        for point in points
        if bool(point.before) != bool(point.after) and not any(point.warnings)
    ]


def _mean_or_none(values: Mapping[int, float]) -> float | None:
    return fmean(values.values()) if values else None


def _point_change(
    metric: str, model: SessionModel[RunPoint], number: int, point: SessionValues, level: float, worse_by: float
) -> Change:
    before, after = (fmean(side.values()) for side in (point.before, point.after))
    if not point.positive:
        return Change(point.axes, metric, before, after, None, _verdict_with_zeros(metric, point))
    estimate = model.ratio((AFTER, number), (BEFORE, number), level)
    return Change(point.axes, metric, before, after, estimate, _verdict(metric, estimate, worse_by))


def _verdict_with_zeros(metric: str, point: SessionValues) -> Verdict:
    """Verdict where some session is zero, so that there is no ratio.

    A direction shows only where every session of one run is zero and none of the other.
    """
    if not point.repeated:
        return "no doubt known"
    if not any(point.before.values()) and all(point.after.values()):
        return "better" if BETTER[metric] == "higher" else "worse"
    if not any(point.after.values()) and all(point.before.values()):
        return "worse" if BETTER[metric] == "higher" else "better"
    return "no difference shown"


def _pooled_change(
    metric: str, model: SessionModel[RunPoint], numbers: Sequence[int], level: float, worse_by: float
) -> Change:
    """Change over all points together, which shows what is too small to show at any single one."""
    estimate = model.mean_ratio([((AFTER, number), (BEFORE, number)) for number in numbers], level)
    return Change({}, metric, None, None, estimate, _verdict(metric, estimate, worse_by), len(numbers))


def _verdict(metric: str, after_by_before: Estimate, worse_by: float) -> Verdict:
    worsening = after_by_before.inverse() if BETTER[metric] == "higher" else after_by_before
    if worsening.low is None or worsening.high is None:
        return "no doubt known"
    if worsening.low > 1 + worse_by + ROUNDING:
        return "worse"
    return "better" if worsening.high < 1 - ROUNDING else "no difference shown"
