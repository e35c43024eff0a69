"""How many client threads are enough: the knee of throughput over threads, with its interval."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from servegrid.intervals import Estimate, shared_level
from servegrid.report.evidence import MEASURED, Evidence, direction
from servegrid.report.points import label
from servegrid.report.rounds import IDS

SHARE = 0.95
DEFINITION = (
    f"The knee is the smallest level of threads that gives at least {SHARE:.0%} of the throughput of the best level."
    " Its interval goes from the smallest level that may give so much to the smallest that surely does, given the doubt in"
    " each level's ratio to the best (95 % for all levels together); the best level itself surely does."
)


@dataclass(frozen=True)
class Knee:
    """The knee of one group of rows that differ in threads alone.

    Attributes:
        source: `measured`, or who published.
        place: the axes that the rows share.
        metric: what throughput was taken from; `time_s` is read as its inverse.
        shares: threads -> throughput as a share of the best level's.
        best: the level with the most throughput.
        knee: the knee.
        low: lower end of its interval, None without doubt known.
        high: upper end.
        at_end: whether the best level is the highest measured: more might come beyond.
    """

    source: str
    place: dict[str, str]
    metric: str
    shares: dict[float, Estimate]
    best: float
    knee: float
    low: float | None
    high: float | None
    at_end: bool


def knees(evidence: Evidence) -> Iterator[Knee]:
    """The knee of every group with at least two levels of threads."""
    axes = ["source", *(axis for axis in evidence.settings.all_axes if axis != "threads")]
    for metric in ("output_tokens_per_s", "time_s"):
        rows = evidence.usable(metric)
        if metric == "time_s":
            rows = rows[evidence.rows.loc[rows.index, "output_tokens_per_s"].isna()]
        rows = rows[rows["threads"].notna()]
        ids = evidence.rows.loc[rows.index, IDS]
        rows = rows[~(ids.duplicated() & (ids != "").all(axis=1))]  # with planned arrivals threads mean nothing
        for key, group in rows.groupby(axes, sort=False):
            if group["threads"].nunique() > 1 and isinstance(key, tuple):
                yield _knee(evidence, metric, dict(zip(axes, map(label, key), strict=True)), group)


def _knee(evidence: Evidence, metric: str, place: dict[str, str], group: pd.DataFrame) -> Knee:
    rows = dict(zip(map(float, group["threads"]), map(int, group.index), strict=True))
    order = group.sort_values(metric, ascending=direction(metric) == "lower", kind="stable")
    best = float(order["threads"].to_numpy()[0])
    level = shared_level(len(rows) - 1)
    shares = {best: Estimate(1.0, 1.0, 1.0, "the best level")} | {
        threads: evidence.times_better(row, rows[best], metric, level)
        for threads, row in rows.items()
        if threads != best
    }
    known = all(share.doubted for share in shares.values())
    source = place.pop("source")
    return Knee(
        source, place, metric, dict(sorted(shares.items())), best,
        min(threads for threads, share in shares.items() if share.value >= SHARE),
        min(threads for threads, share in shares.items() if (share.high or 0) >= SHARE) if known else None,
        min(threads for threads, share in shares.items() if (share.low or 0) >= SHARE) if known else None,
        best == max(rows),
    )  # fmt: skip


def doubt(knee: Knee) -> str:
    """The doubt in words, where there is no interval."""
    if knee.low is not None:
        return ""
    return "one session of some level: no doubt known" if knee.source == MEASURED else "published: no repeats"
