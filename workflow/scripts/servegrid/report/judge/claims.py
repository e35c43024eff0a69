"""Verdicts on claims: every row that a claim puts ahead is compared with every row that it names as behind."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import pandas as pd

from servegrid.config.judging import Claim
from servegrid.report.evidence import MEASURED, Evidence
from servegrid.report.judge.claim_reasons import absence_reason, verdict_reason
from servegrid.report.judge.client_effect import AXIS as CLIENT
from servegrid.report.judge.ruling import (
    CONTRADICTED,
    FAILED_STATUSES,
    NO_DIFFERENCE,
    NOT_MEASURED,
    SUPPORTED,
    Comparison,
    Ruling,
    Verdict,
    selector_axes,
)
from servegrid.report.row_selectors import matching_rows
from servegrid.results.axes import level_label
from servegrid.stats.intervals import ROUNDING, Estimate, bonferroni_level


def judge_claim(claim: Claim, evidence: Evidence, source: str) -> Ruling:
    """Ruling on the claim by the rows of `source`.

    Supported if every comparison supports the claim, contradicted if one contradicts it, else no difference shown; also
    no difference shown where every comparison supports it but a row that belongs into one failed, in part or whole. The
    intervals of all comparisons of a claim hold 95 % together. A published row has no repeats: it is judged by its
    value alone. A measured row of one session has no known interval: no difference shown.
    """
    rows = evidence.rows.loc[evidence.rows["source"] == source, [*evidence.settings.all_axes]]
    unfit = evidence.unfit(claim.metric, client_bound=_compares_clients(claim))
    better, than = _rows_of_sides(claim, rows, evidence)
    candidates = [pair for pair in _matched_pairs(claim, better, than, evidence) if _axis_grows(claim, evidence, *pair)]
    left_out = Counter(unfit[row] for row in sorted({row for pair in candidates for row in pair}) if unfit[row])
    pairs = [pair for pair in candidates if not any(unfit[row] for row in pair)]
    if not pairs:
        not_measured = Ruling(claim, source, NOT_MEASURED, "", left_out=left_out)
        return replace(not_measured, because=absence_reason(not_measured, better.index, than.index, unfit))
    level = bonferroni_level(len(pairs))
    comparisons = [_compare(claim, evidence, first, second, level) for first, second in pairs]
    ruling = Ruling(claim, source, _overall_verdict(comparisons, left_out), "", comparisons, left_out)
    return replace(ruling, because=verdict_reason(ruling, evidence))


def _compares_clients(claim: Claim) -> bool:
    """Whether the claim compares kinds of client: whether one sets the pace is then what it is about."""
    return bool(claim.better.get(CLIENT) != claim.than.get(CLIENT))


def _rows_of_sides(claim: Claim, rows: pd.DataFrame, evidence: Evidence) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows that the claim puts ahead, and rows that it puts behind; an empty selector means all others."""
    better = matching_rows(rows, claim.better, evidence.settings)
    than = matching_rows(rows, claim.than, evidence.settings)
    if not claim.better:
        better = ~than
    if not claim.than:
        than = ~better
    return rows[better], rows[than]


def _matched_pairs(
    claim: Claim, better: pd.DataFrame, than: pd.DataFrame, evidence: Evidence
) -> Iterator[tuple[int, int]]:
    """Pairs of rows that agree on the matched axes and are different measurements."""
    axes = claim.matched_on
    if axes is None:
        axes = [axis for axis in evidence.settings.all_axes if axis not in selector_axes(claim)]
    rows_behind: dict[tuple[str, ...], list[int]] = {}
    for row, key in _keyed_rows(than, axes):
        rows_behind.setdefault(key, []).append(row)
    for row, key in _keyed_rows(better, axes):
        yield from (
            (row, other)
            for other in rows_behind.get(key, [])
            if other != row and not evidence.same_measurement(row, other)
        )


def _keyed_rows(rows: pd.DataFrame, axes: Sequence[str]) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Row numbers with their labels on `axes`."""
    columns = [rows[axis].map(level_label) if axis in rows else [""] * len(rows) for axis in axes]
    keys = zip(*columns, strict=True) if columns else [()] * len(rows)
    yield from zip(map(int, rows.index), keys, strict=True)


def _compare(claim: Claim, evidence: Evidence, better: int, than: int, level: float) -> Comparison:
    """Comparison of two rows by the claim's metric."""
    effect = evidence.times_better(better, than, claim.metric, level, claim.than_times)
    least, most = 1 + claim.at_least, None if claim.at_most is None else 1 + claim.at_most
    linear_limit = _axis_ratio(evidence, claim.less_than_linear_in, better, than) if claim.less_than_linear_in else None
    strict = linear_limit is not None and (most is None or linear_limit <= most)
    most = linear_limit if strict else most
    has_interval = effect.has_interval or evidence.rows["source"].iloc[better] != MEASURED
    return Comparison(
        better,
        than,
        effect,
        least,
        most,
        _comparison_verdict(effect, least, most, strict) if has_interval else NO_DIFFERENCE,
    )


def _axis_grows(claim: Claim, evidence: Evidence, better: int, than: int) -> bool:
    """Whether the first row has more of the axis in which the effect is to be less than linear, if there is one."""
    return not claim.less_than_linear_in or _clearly_less(
        1, _axis_ratio(evidence, claim.less_than_linear_in, better, than) or 0
    )


def _axis_ratio(evidence: Evidence, axis: str, row: int, other: int) -> float | None:
    """Value of one row on the axis / that of the other; None where one of them has no number there."""
    if axis not in evidence.rows:
        return None
    numerator, denominator = pd.to_numeric(evidence.rows[axis].iloc[[row, other]], errors="coerce")
    return float(numerator / denominator) if numerator > 0 and denominator > 0 else None


def _comparison_verdict(effect: Estimate, least: float, most: float | None, strict: bool) -> Verdict:
    """Verdict on an effect stated to lie from `least` to `most`, or below `most` if `strict`.

    It is by the interval, or by the value where there is none.
    """
    low, high = effect.interval
    if _clearly_less(high, least) or (most is not None and _clearly_less(most, low)):
        return CONTRADICTED
    enough = _clearly_less(least, low) if least == 1 else not _clearly_less(low, least)
    within = most is None or (_clearly_less(high, most) if strict else not _clearly_less(most, high))
    return SUPPORTED if enough and within else NO_DIFFERENCE


def _clearly_less(value: float, limit: float) -> bool:
    """Whether `value` is less by more than rounding, which is not to decide whether 200 s are twice 100 s."""
    return value < limit * (1 - ROUNDING)


def _overall_verdict(comparisons: Sequence[Comparison], left_out: Mapping[str, int]) -> Verdict:
    verdicts = {comparison.verdict for comparison in comparisons} | (
        {NO_DIFFERENCE} if any(left_out.get(status) for status in FAILED_STATUSES) else set()
    )
    return CONTRADICTED if CONTRADICTED in verdicts else NO_DIFFERENCE if NO_DIFFERENCE in verdicts else SUPPORTED
