"""Two result folders held against each other: what changed beyond the noise between two runs of the same points.

Points are the same when all axes that both runs have are; versions, hosts and prices may differ, for they are what is compared.
The load may not: where it differs, where the client set the pace, or where texts are garbage, that is said in place of a
comparison.
"""

from collections.abc import Sequence

from servegrid.compare.change import METRICS, Change
from servegrid.compare.metric_changes import of_numbers
from servegrid.compare.runs import NotComparable, Run, pairs, read_run
from servegrid.compare.status_changes import comparable, of_facts

__all__ = ["METRICS", "Change", "NotComparable", "Run", "changes", "looked_at", "read_run"]
GOODPUT = "goodput_requests_per_s"


def looked_at(before: Run, after: Run) -> tuple[str, ...]:
    """The metrics to compare where none are named: METRICS, and what `report.slo` limits in either run."""
    return tuple(dict.fromkeys((*METRICS, *before.slo, *after.slo)))


def changes(before: Run, after: Run, metrics: Sequence[str] | None = None, worse_by: float = 0.0) -> list[Change]:
    """Every fact and metric that differs, or may, at the points of either run. All intervals hold together (see numbers.py).

    `metrics`: any of metrics.BETTER; None for those that are `looked_at`. `worse_by`: the share by which a metric must be worse, beyond the noise, to count: 0.02 for 2 %.

    Raises:
        NotComparable: when the runs have no point in common, or count a goodput under different limits.
    """
    metrics = looked_at(before, after) if metrics is None else metrics
    if GOODPUT in metrics and before.slo != after.slo:
        raise NotComparable(f"{GOODPUT} is under other limits: report.slo is {before.slo} before and {after.slo} after")
    found = [(pair, of_facts(pair)) for pair in pairs(before, after)]
    fit = [pair for pair, facts in found if comparable(facts)]
    return [*(change for _, facts in found for change in facts), *of_numbers(fit, metrics, worse_by)]
