"""Comparison of two result folders: which differences between two runs of the same points exceed the noise.

Points are the same if they agree on all axes that both runs have; versions, hosts and prices may differ, as they are
what is compared. The load may not differ: where it does, where the client set the pace, or where texts are garbage, a
change says so in place of a comparison.
"""

from collections.abc import Sequence

from servegrid.compare.change import METRICS, Change
from servegrid.compare.metric_changes import metric_changes
from servegrid.compare.runs import NotComparable, Run, point_pairs, read_run
from servegrid.compare.status_changes import comparable, status_changes

__all__ = ["METRICS", "Change", "NotComparable", "Run", "changes", "default_metrics", "read_run"]
GOODPUT = "goodput_requests_per_s"


def default_metrics(before: Run, after: Run) -> tuple[str, ...]:
    """Metrics to compare where none are named: METRICS, and those that `report.slo` limits in either run."""
    return tuple(dict.fromkeys((*METRICS, *before.slo, *after.slo)))


def changes(before: Run, after: Run, metrics: Sequence[str] | None = None, worse_by: float = 0.0) -> list[Change]:
    """Changes of status, load, texts, pace and metrics at the points of either run, and metrics that may not differ.

    All intervals hold together (see metric_changes.py).

    `metrics`: any of results.columns.BETTER; None for the `default_metrics`. `worse_by`: the share by which a metric
    must be worse, beyond the noise, to count: 0.02 for 2 %.

    Raises:
        NotComparable: when the runs have no point in common, or count a goodput under different limits.
    """
    metrics = default_metrics(before, after) if metrics is None else metrics
    if GOODPUT in metrics and before.slo != after.slo:
        raise NotComparable(f"{GOODPUT} is under other limits: report.slo is {before.slo} before and {after.slo} after")
    point_changes = [(pair, status_changes(pair)) for pair in point_pairs(before, after)]
    comparable_pairs = [pair for pair, pair_changes in point_changes if comparable(pair_changes)]
    return [
        *(change for _, pair_changes in point_changes for change in pair_changes),
        *metric_changes(comparable_pairs, metrics, worse_by),
    ]
