"""Claims: sentences held against the rows. Every row that a sentence puts ahead is compared with every row it names."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import pandas as pd

from servegrid.config.judging import Claim
from servegrid.intervals import Estimate, shared_level
from servegrid.report.evidence import MEASURED, Evidence
from servegrid.report.points import label, varying
from servegrid.report.selectors import chosen

Verdict = Literal["supported", "contradicted", "no difference shown", "not measured"]
SUPPORTED: Final = "supported"
CONTRADICTED: Final = "contradicted"
OPEN: Final = "no difference shown"
ABSENT: Final = "not measured"
_NAMED = 3


@dataclass(frozen=True)
class Comparison:
    """Two rows held against each other.

    Attributes:
        better: number of the row that the sentence puts ahead.
        than: number of the other.
        effect: how many times better the first is.
        least: the least effect that the sentence states.
        most: the greatest, if it states one.
        verdict: on this comparison alone.
    """

    better: int
    than: int
    effect: Estimate
    least: float
    most: float | None
    verdict: Verdict


@dataclass(frozen=True)
class Ruling:
    """What the rows of one source say about a claim; `deciding` is the comparison that speaks least for it."""

    claim: Claim
    source: str
    verdict: Verdict
    because: str
    comparisons: Sequence[Comparison] = field(default_factory=tuple)

    @property
    def deciding(self) -> Comparison | None:
        """A contradicting comparison before an open one before one that supports; of several, the least effect."""
        order = (CONTRADICTED, OPEN, SUPPORTED)
        return min(self.comparisons, key=lambda one: (order.index(one.verdict), _margin(one)), default=None)

    def count(self, verdict: Verdict) -> int:
        """How many comparisons have this verdict."""
        return sum(one.verdict == verdict for one in self.comparisons)


def rule(claim: Claim, evidence: Evidence, source: str) -> Ruling:
    """The verdict of the rows of `source`.

    Supported if every comparison supports the claim, contradicted if one contradicts it, else no difference shown. The
    intervals of all comparisons of a claim hold 95 % together. A published row has no repeats: it is judged by its figure.
    A measured row of one session has doubt that nobody knows: no difference shown.
    """
    usable = evidence.usable(claim.metric)
    rows = usable[usable["source"] == source]
    better, than = _sides(claim, rows, evidence)
    pairs = list(_pairs(claim, better, than, evidence))
    if not pairs:
        return Ruling(claim, source, ABSENT, _why_absent(claim, better, than))
    level = shared_level(len(pairs))
    comparisons = [_compare(claim, evidence, one, two, level) for one, two in pairs]
    ruling = Ruling(claim, source, _overall(comparisons), "", comparisons)
    return Ruling(claim, source, ruling.verdict, _because(ruling) + _zeros(ruling, evidence), comparisons)


def apart(claim: Claim) -> list[str]:
    """The axes that the claim's rows are chosen by."""
    return list(dict.fromkeys([*claim.better, *claim.than]))


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
    columns = [rows[axis].map(label) if axis in rows else [""] * len(rows) for axis in axes]
    keys = zip(*columns, strict=True) if columns else [()] * len(rows)
    yield from zip(map(int, rows.index), keys, strict=True)


def _compare(claim: Claim, evidence: Evidence, one: int, two: int, level: float) -> Comparison:
    effect = evidence.times_better(one, two, claim.metric, level, claim.than_times)
    least, most = 1 + claim.at_least, None if claim.at_most is None else 1 + claim.at_most
    known = effect.doubted or evidence.rows["source"].iloc[one] != MEASURED
    if claim.less_than_linear_in:
        share = _share(evidence, claim.less_than_linear_in, one, two)
        known, most = known and share is not None, min(most or float("inf"), share or float("inf"))
    return Comparison(one, two, effect, least, most, _verdict(effect, least, most) if known else OPEN)


def _share(evidence: Evidence, axis: str, one: int, two: int) -> float | None:
    """How many times the axis of one row is that of the other; None where one of them has no number there."""
    if axis not in evidence.rows:
        return None
    above, below = pd.to_numeric(evidence.rows[axis].iloc[[one, two]], errors="coerce")
    return float(above / below) if above > 0 and below > 0 else None


def _verdict(effect: Estimate, least: float, most: float | None) -> Verdict:
    """Whether the effect lies within [least, most], by its interval, or by its figure where there is none."""
    low, high = effect.ends
    if high < least or (most is not None and low > most):
        return CONTRADICTED
    enough = low > least if least == 1 else low >= least
    return SUPPORTED if enough and (most is None or high <= most) else OPEN


def _overall(comparisons: Sequence[Comparison]) -> Verdict:
    found = {one.verdict for one in comparisons}
    return CONTRADICTED if CONTRADICTED in found else OPEN if OPEN in found else SUPPORTED


def _margin(one: Comparison) -> float:
    """How far the effect lies within what the sentence states; below 0 outside."""
    above = one.effect.value / one.least - 1
    return above if one.most is None else min(above, 1 - one.effect.value / one.most)


def _why_absent(claim: Claim, better: pd.DataFrame, than: pd.DataFrame) -> str:
    sides = (("better", better, claim.better), ("than", than, claim.than))
    empty = [f"{name} ({_shown(selector)})" for name, rows, selector in sides if rows.empty]
    if empty:
        return f"no row with a {claim.metric} for {' and '.join(empty)}"
    return "no two rows agree on the axes that are matched"


def _shown(selector: Mapping[str, Any]) -> str:
    parts = [f"{axis} {', '.join(map(label, v)) if isinstance(v, list) else label(v)}" for axis, v in selector.items()]
    return ", ".join(parts) or "all others"


def _because(ruling: Ruling) -> str:
    counts = Counter(one.verdict for one in ruling.comparisons)
    words: dict[Verdict, str] = {SUPPORTED: "bear it out", CONTRADICTED: "speak against it", OPEN: "leave it open"}
    parts = [f"{counts[verdict]} {said}" for verdict, said in words.items() if counts[verdict]]
    number = len(ruling.comparisons)
    said = f"of {number} comparisons {', '.join(parts)}" if number > 1 else "one comparison"
    return said + _size(ruling)


def _zeros(ruling: Ruling, evidence: Evidence) -> str:
    """The rows that were 0 in some session, of which there is no ratio."""
    metric, axes = ruling.claim.metric, varying(evidence.rows, evidence.settings.all_axes)
    found = []
    for row in dict.fromkeys(row for one in ruling.comparisons for row in (one.better, one.than)):
        values = list(evidence.by_round(row, metric).values())
        if 0 in values:
            found.append(f"{evidence.words(row, axes)}: 0 in {values.count(0)} of {len(values)} sessions")
    more = f"; and {len(found) - _NAMED} more rows" if len(found) > _NAMED else ""
    return "".join(f"; {words}" for words in found[:_NAMED]) + more


def _size(ruling: Ruling) -> str:
    """Where the direction is as stated and the size is not, that is said."""
    one = ruling.deciding
    if one is None or ruling.verdict != CONTRADICTED:
        return ""
    low, _ = one.effect.ends
    if one.most is not None and low > one.most:
        return "; the effect is greater than stated"
    return "; the direction holds, the size does not" if one.least > 1 and low > 1 else ""
