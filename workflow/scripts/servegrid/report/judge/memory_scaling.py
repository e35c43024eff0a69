"""Throughput against memory share: the slope on logarithmic axes. 1 is in proportion, below 1 is less than linearly."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import linear_regression

from servegrid.report.evidence import MEASURED, NOT_REPEATED, Evidence
from servegrid.results.axes import level_label
from servegrid.stats.intervals import Estimate, bonferroni_level, signed_mean

AXIS = "memory_fraction"


@dataclass(frozen=True)
class Elasticity:
    """The slope of log throughput over log memory share, within rows that differ in memory share alone."""

    source: str
    place: dict[str, str]
    levels: tuple[float, ...]
    slope: Estimate


def elasticities(evidence: Evidence) -> Iterator[Elasticity]:
    """Of every group with at least two memory shares; times are of the same prompts, so throughput goes as 1 / time.

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
    """The place of each group, `source` among it, and row -> memory share."""
    rows = evidence.usable("time_s")
    rows = rows.assign(share=rows[AXIS].map(_share)).dropna(subset=["share"])
    axes = ["source", *(axis for axis in evidence.settings.all_axes if axis != AXIS)]
    for key, group in rows.groupby(axes, sort=False, dropna=False):
        if group["share"].nunique() > 1 and isinstance(key, tuple):
            place = dict(zip(axes, map(level_label, key), strict=True))
            shares = dict(zip(map(int, group.index), map(float, group["share"]), strict=True))
            yield place, shares


def _slope(evidence: Evidence, shares: Mapping[int, float], source: str, level: float) -> Estimate:
    """One least-squares slope per round that every row has, and their mean; of the rows' own times where there is none."""
    rounds = [evidence.by_round(row, "time_s") for row in shares]
    common = set.intersection(*(set(times) for times in rounds))
    if source != MEASURED or not common:
        times = [evidence.estimate(row, "time_s").value for row in shares]
        words = NOT_REPEATED if source != MEASURED else "no round has all levels: no doubt known"
        return Estimate(_fit(list(shares.values()), times), how=words)
    return signed_mean([_fit(list(shares.values()), [times[rep] for times in rounds]) for rep in sorted(common)], level)


def _fit(shares: list[float], times: list[float]) -> float:
    """Slope of log(1 / time) over log(share)."""
    return linear_regression([math.log(share) for share in shares], [-math.log(time) for time in times]).slope


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        return math.nan
    return share if share > 0 else math.nan
