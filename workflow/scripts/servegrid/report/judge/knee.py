"""How many client threads are enough: the knee of throughput over threads, with its interval."""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass

from servegrid.report.evidence import MEASURED, Evidence
from servegrid.results.axes import level_label
from servegrid.results.session_values import ID_COLUMNS
from servegrid.stats.intervals import Estimate, bonferroni_level

KNEE_SHARE = 0.95
STEADY = "steady_output_tokens_per_s"
DEFINITION = (
    f"The knee is the smallest level of threads that gives at least {KNEE_SHARE:.0%} of the throughput of the best level."
    f" Throughput is that of the steady state ({STEADY}) where every level has one. Else it is that of the whole load, whose"
    " drain, when threads run out of work, takes the longer the more threads there are: high levels look worse than they are."
    " Its interval goes from the smallest level that may give so much to the smallest that surely does, given the doubt in"
    " each level's ratio to the best (95 % for all pairs of levels of all groups together); the best level itself surely does."
)


NOT_TRIED = ("unsupported", "absent")
"""Statuses of levels that were skipped before anything was launched."""


@dataclass(frozen=True)
class Knee:
    """The knee of one group of rows that differ in threads alone.

    Attributes:
        source: `measured`, or the publication.
        place: the axes that the rows share.
        metric: the column that throughput was taken from, STEADY if every level has it; of `time_s` the inverse.
        shares: threads -> throughput as a share of the best level's.
        best: the level with the most throughput.
        knee: the level of threads at the knee.
        low: lower end of its interval, None without an interval.
        high: upper end.
        left_out: levels that are no evidence -> reason: as Evidence.unfit gives it.
        at_end: throughput may still rise beyond it.
    """

    source: str
    place: dict[str, str]
    metric: str
    shares: dict[float, Estimate]
    best: float
    knee: float
    low: float | None
    high: float | None
    left_out: dict[float, str]
    best_is_highest_level: bool


@dataclass(frozen=True)
class _Group:
    """Rows that differ in threads alone: level -> row, and level -> why its row is no evidence."""

    metric: str
    place: dict[str, str]
    rows: dict[float, int]
    left_out: dict[float, str]


def knees(evidence: Evidence) -> Iterator[Knee]:
    """Knee of every group with at least two levels of threads."""
    groups = list(_groups(evidence))
    measured = [group for group in groups if group.place["source"] == MEASURED]
    level = bonferroni_level(len(measured))
    for group in groups:
        yield _knee(evidence, group, level)


def _groups(evidence: Evidence) -> Iterator[_Group]:
    """Groups of rows that differ in threads alone; by steady output tokens/s, else over the whole load, else by time."""
    axes = ["source", *(axis for axis in evidence.settings.all_axes if axis != "threads")]
    is_steady = evidence.unfit(STEADY) == ""
    for metric in ("output_tokens_per_s", "time_s"):
        rows = evidence.usable(metric)
        if metric == "time_s":
            rows = rows[evidence.rows.loc[rows.index, "output_tokens_per_s"].isna()]
        rows = rows[rows["threads"].notna()]
        ids = evidence.rows.loc[rows.index, ID_COLUMNS]
        rows = rows[~(ids.duplicated() & (ids != "").all(axis=1))]  # with planned arrivals threads mean nothing
        left_out = _left_out(evidence, metric, axes)
        for key, group in rows.groupby(axes, sort=False):
            if group["threads"].nunique() > 1 and isinstance(key, tuple):
                place = dict(zip(axes, map(level_label, key), strict=True))
                levels = dict(zip(map(float, group["threads"]), map(int, group.index), strict=True))
                by = STEADY if metric != "time_s" and is_steady[group.index].all() else metric
                yield _Group(by, place, levels, left_out.get(key, {}))


def _left_out(evidence: Evidence, metric: str, axes: list[str]) -> dict[tuple[Hashable, ...], dict[float, str]]:
    """Values of a group on `axes` -> level -> why its row is no evidence."""
    unfit, reasons = evidence.unfit(metric), dict[tuple[Hashable, ...], dict[float, str]]()
    rows = evidence.rows[(unfit != "") & evidence.rows["threads"].notna()].sort_values("threads")
    for row, threads, *place in zip(rows.index, rows["threads"], *(rows[axis] for axis in axes), strict=True):
        reasons.setdefault(tuple(place), {})[float(threads)] = unfit[row]
    return reasons


def _knee(evidence: Evidence, group: _Group, level: float) -> Knee:
    rows, metric = group.rows, group.metric
    best_row = evidence.ranked(list(rows.values()), metric)[0]
    best = next(threads for threads, row in rows.items() if row == best_row)
    shares = {best: Estimate(1.0, 1.0, 1.0, "the best level")} | {
        threads: evidence.times_better(row, rows[best], metric, level, among=len(rows))
        for threads, row in rows.items()
        if threads != best
    }
    all_known = all(share.has_interval for share in shares.values())
    levels_tried = [*rows, *(threads for threads, why in group.left_out.items() if why not in NOT_TRIED)]
    place = dict(group.place)
    return Knee(
        place.pop("source"), place, metric, dict(sorted(shares.items())), best,
        min(threads for threads, share in shares.items() if share.value >= KNEE_SHARE),
        min(threads for threads, share in shares.items() if (share.high or 0) >= KNEE_SHARE) if all_known else None,
        min(threads for threads, share in shares.items() if (share.low or 0) >= KNEE_SHARE) if all_known else None,
        group.left_out,
        best == max(levels_tried),
    )  # fmt: skip


def drain_caveat(knee: Knee) -> str:
    """What the throughput is of, and what that does to high levels."""
    if knee.metric == STEADY:
        return "by the rate of the steady state"
    return "by the rate of the whole load, whose drain makes high levels look worse"


def missing_interval_reason(knee: Knee) -> str:
    """Why the knee has no interval; empty if it has one."""
    if knee.low is not None:
        return ""
    if knee.source != MEASURED:
        return "published: no repeats"
    return next(share.how for share in knee.shares.values() if not share.has_interval)
