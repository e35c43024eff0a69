"""Two result folders held against each other: what changed beyond the noise between two runs of the same points.

Points are the same when all axes that both runs have are; versions, hosts and prices may differ, for they are what is compared.
The load may not: where it differs, where the client set the pace, or where texts are garbage, that is said in place of a
comparison.
"""

from collections.abc import Sequence

from servegrid.compare.change import METRICS, Change
from servegrid.compare.metric_changes import metric_changes
from servegrid.compare.runs import NotComparable, Run, point_pairs, read_run
from servegrid.compare.status_changes import comparable, status_changes

__all__ = ["METRICS", "Change", "NotComparable", "Run", "changes", "default_metrics", "read_run"]
GOODPUT = "goodput_requests_per_s"


def default_metrics(before: Run, after: Run) -> tuple[str, ...]:
    """The metrics to compare where none are named: METRICS, and what `report.slo` limits in either run."""
    return tuple(dict.fromkeys((*METRICS, *before.slo, *after.slo)))


def changes(before: Run, after: Run, metrics: Sequence[str] | None = None, worse_by: float = 0.0) -> list[Change]:
    """Every fact and metric that differs, or may, at the points of either run. All intervals hold together (see numbers.py).

    `metrics`: any of metrics.BETTER; None for those that are `looked_at`. `worse_by`: the share by which a metric must be worse, beyond the noise, to count: 0.02 for 2 %.

    Raises:
        NotComparable: when the runs have no point in common, or count a goodput under different limits.
    """
    metrics = default_metrics(before, after) if metrics is None else metrics
    if GOODPUT in metrics and before.slo != after.slo:
        raise NotComparable(f"{GOODPUT} is under other limits: report.slo is {before.slo} before and {after.slo} after")
    found = [(pair, status_changes(pair)) for pair in point_pairs(before, after)]
    fit = [pair for pair, facts in found if comparable(facts)]
    return [*(change for _, facts in found for change in facts), *metric_changes(fit, metrics, worse_by)]
