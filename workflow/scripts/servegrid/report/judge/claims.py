"""Claims: sentences held against the rows. Every row that a sentence puts ahead is compared with every row it names."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import pandas as pd

from servegrid.config.judging import Claim
from servegrid.report.evidence import MEASURED, Evidence
from servegrid.report.judge.claim_reasons import because, why_absent
from servegrid.report.judge.client_effect import AXIS as CLIENT
from servegrid.report.judge.ruling import (
    ABSENT,
    CONTRADICTED,
    FAILED,
    OPEN,
    SUPPORTED,
    Comparison,
    Ruling,
    Verdict,
    apart,
)
from servegrid.report.selectors import chosen
from servegrid.results.axes import level_label
from servegrid.stats.intervals import Estimate, bonferroni_level

ROUNDING = 1e-9


def rule(claim: Claim, evidence: Evidence, source: str) -> Ruling:
    """The verdict of the rows of `source`.

    Supported if every comparison supports the claim, contradicted if one contradicts it, else no difference shown; also
    where a row that belongs into a comparison failed, in part or whole, as one cannot count on what holds of the others.
    The intervals of all comparisons of a claim hold 95 % together. A published row has no repeats: it is judged by its figure.
    A measured row of one session has doubt that nobody knows: no difference shown.
    """
    rows = evidence.rows.loc[evidence.rows["source"] == source, [*evidence.settings.all_axes]]
    unfit = evidence.unfit(claim.metric, client_bound=_of_clients(claim))
    better, than = _sides(claim, rows, evidence)
    every = [pair for pair in _pairs(claim, better, than, evidence) if _grows(claim, evidence, *pair)]
    left_out = Counter(unfit[row] for row in sorted({row for pair in every for row in pair}) if unfit[row])
    pairs = [pair for pair in every if not any(unfit[row] for row in pair)]
    if not pairs:
        absent = Ruling(claim, source, ABSENT, "", left_out=left_out)
        return replace(absent, because=why_absent(absent, better.index, than.index, unfit))
    level = bonferroni_level(len(pairs))
    comparisons = [_compare(claim, evidence, one, two, level) for one, two in pairs]
    ruling = Ruling(claim, source, _overall(comparisons, left_out), "", comparisons, left_out)
    return replace(ruling, because=because(ruling, evidence))


def _of_clients(claim: Claim) -> bool:
    """Whether it compares kinds of client: that one sets the pace is then the very thing it is about."""
    return bool(claim.better.get(CLIENT) != claim.than.get(CLIENT))


def _sides(claim: Claim, rows: pd.DataFrame, evidence: Evidence) -> tuple[pd.DataFrame, pd.DataFrame]:
    better = chosen(rows, claim.better, evidence.settings)
    than = chosen(rows, claim.than, evidence.settings)
    if not claim.better:
        better = ~than
    if not claim.than:
        than = ~better
    return rows[better], rows[than]


def _pairs(claim: Claim, better: pd.DataFrame, than: pd.DataFrame, evidence: Evidence) -> Iterator[tuple[int, int]]:
    axes = claim.matched_on
    if axes is None:
        axes = [axis for axis in evidence.settings.all_axes if axis not in apart(claim)]
    others: dict[tuple[str, ...], list[int]] = {}
    for row, key in _keyed(than, axes):
        others.setdefault(key, []).append(row)
    for row, key in _keyed(better, axes):
        yield from ((row, other) for other in others.get(key, []) if other != row and not evidence.same(row, other))


def _keyed(rows: pd.DataFrame, axes: Sequence[str]) -> Iterator[tuple[int, tuple[str, ...]]]:
    columns = [rows[axis].map(level_label) if axis in rows else [""] * len(rows) for axis in axes]
    keys = zip(*columns, strict=True) if columns else [()] * len(rows)
    yield from zip(map(int, rows.index), keys, strict=True)


def _compare(claim: Claim, evidence: Evidence, one: int, two: int, level: float) -> Comparison:
    effect = evidence.times_better(one, two, claim.metric, level, claim.than_times)
    least, most = 1 + claim.at_least, None if claim.at_most is None else 1 + claim.at_most
    share = _share(evidence, claim.less_than_linear_in, one, two) if claim.less_than_linear_in else None
    strict = share is not None and (most is None or share <= most)
    most = share if strict else most
    known = effect.has_interval or evidence.rows["source"].iloc[one] != MEASURED
    return Comparison(one, two, effect, least, most, _verdict(effect, least, most, strict) if known else OPEN)


def _grows(claim: Claim, evidence: Evidence, one: int, two: int) -> bool:
    """Whether the first row has more of the axis that the effect is to be less than linear in, if there is one."""
    return not claim.less_than_linear_in or _less(1, _share(evidence, claim.less_than_linear_in, one, two) or 0)


def _share(evidence: Evidence, axis: str, one: int, two: int) -> float | None:
    """How many times the axis of one row is that of the other; None where one of them has no number there."""
    if axis not in evidence.rows:
        return None
    above, below = pd.to_numeric(evidence.rows[axis].iloc[[one, two]], errors="coerce")
    return float(above / below) if above > 0 and below > 0 else None


def _verdict(effect: Estimate, least: float, most: float | None, strict: bool) -> Verdict:
    """Whether the effect lies from `least` to `most`, or below that if `strict`: by its interval, or by its figure where there is none."""
    low, high = effect.interval
    if _less(high, least) or (most is not None and _less(most, low)):
        return CONTRADICTED
    enough = _less(least, low) if least == 1 else not _less(low, least)
    within = most is None or (_less(high, most) if strict else not _less(most, high))
    return SUPPORTED if enough and within else OPEN


def _less(one: float, two: float) -> bool:
    """By more than rounding, which is not to decide whether 200 s are twice 100 s."""
    return one < two * (1 - ROUNDING)


def _overall(comparisons: Sequence[Comparison], left_out: Mapping[str, int]) -> Verdict:
    found = {one.verdict for one in comparisons} | ({OPEN} if any(left_out.get(one) for one in FAILED) else set())
    return CONTRADICTED if CONTRADICTED in found else OPEN if OPEN in found else SUPPORTED
