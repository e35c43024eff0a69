"""Throughput against memory share: the slope on logarithmic axes. 1 is in proportion, below 1 is less than linear."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import linear_regression

from servegrid.report.evidence import MEASURED, NOT_REPEATED, POOLED_ONLY, Evidence
from servegrid.results.axes import level_label
from servegrid.stats.intervals import Estimate, bonferroni_level

AXIS = "memory_fraction"


@dataclass(frozen=True)
class Elasticity:
    """The slope of log throughput over log memory share, within rows that differ in memory share alone."""

    source: str
    place: dict[str, str]
    levels: tuple[float, ...]
    slope: Estimate


def elasticities(evidence: Evidence) -> Iterator[Elasticity]:
    """Slopes of every group with at least two memory shares; for the same prompts throughput goes as 1 / time.

    The intervals of all groups hold 95 % together.
    """
    if AXIS not in evidence.settings.all_axes:
        return
    groups = list(_groups(evidence))
    level = bonferroni_level(sum(place["source"] == MEASURED for place, _ in groups))
    for place, shares in groups:
        source = place.pop("source")
        yield Elasticity(source, place, tuple(sorted(set(shares.values()))), _slope(evidence, shares, source, level))


def _groups(evidence: Evidence) -> Iterator[tuple[dict[str, str], dict[int, float]]]:
    """Axis values of each group, `source` among them, and row -> memory share."""
    rows = evidence.usable("time_s")
    rows = rows.assign(share=rows[AXIS].map(_positive_share)).dropna(subset=["share"])
    axes = ["source", *(axis for axis in evidence.settings.all_axes if axis != AXIS)]
    for key, group in rows.groupby(axes, sort=False, dropna=False):
        if group["share"].nunique() > 1 and isinstance(key, tuple):
            place = dict(zip(axes, map(level_label, key), strict=True))
            shares = dict(zip(map(int, group.index), map(float, group["share"]), strict=True))
            yield place, shares


def _slope(evidence: Evidence, shares: Mapping[int, float], source: str, level: float) -> Estimate:
    """Slope by the sessions of all rows; by the rows' own values, without an interval, where one has none.

    Per output token where answers end by themselves and differ in length.
    """
    first, positions = next(iter(shares)), list(shares.values())
    longer = [evidence.length_ratio(row, first, "time_s") for row in shares]
    if source == MEASURED and all(evidence.by_round(row, "time_s") for row in shares):
        slope = evidence.slope({row: math.log(share) for row, share in shares.items()}, "time_s", level).scaled(-1)
        return slope.shifted(-_least_squares_slope(positions, longer))
    times = [evidence.estimate(row, "time_s").value / length for row, length in zip(shares, longer, strict=True)]
    reason = NOT_REPEATED if source != MEASURED else POOLED_ONLY
    return Estimate(_least_squares_slope(positions, times), how=reason)


def _least_squares_slope(shares: list[float], times: list[float]) -> float:
    """Slope of log throughput (-log time) over log share."""
    return linear_regression([math.log(share) for share in shares], [-math.log(time) for time in times]).slope


def _positive_share(text: str) -> float:
    """The share as a number; NaN where it is none above zero."""
    try:
        share = float(text)
    except ValueError:
        return math.nan
    return share if share > 0 else math.nan
