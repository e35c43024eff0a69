"""Verdicts: a claim held against the rows of one source, comparison by comparison."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from servegrid.config.judging import Claim
from servegrid.stats.intervals import Estimate

Verdict = Literal["supported", "contradicted", "no difference shown", "not measured"]


SUPPORTED: Final = "supported"


CONTRADICTED: Final = "contradicted"


NO_DIFFERENCE: Final = "no difference shown"


NOT_MEASURED: Final = "not measured"


FAILED_STATUSES = ("failed", "partial")
"""Statuses of a row that was tried and is not whole."""


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
    """What the rows of one source say about a claim; `deciding` is the comparison that speaks least for it.

    `left_out` is why rows that belong into a comparison are no evidence -> how many.
    """

    claim: Claim
    source: str
    verdict: Verdict
    because: str
    comparisons: Sequence[Comparison] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def deciding(self) -> Comparison | None:
        """A contradicting comparison before an open one before one that supports; of several, the least effect."""
        order = (CONTRADICTED, NO_DIFFERENCE, SUPPORTED)
        return min(self.comparisons, key=lambda one: (order.index(one.verdict), _margin(one)), default=None)

    def count(self, verdict: Verdict) -> int:
        """How many comparisons have this verdict."""
        return sum(one.verdict == verdict for one in self.comparisons)


def selector_axes(claim: Claim) -> list[str]:
    """The axes that the claim's rows are chosen by."""
    return list(dict.fromkeys([*claim.better, *claim.than]))


def _margin(one: Comparison) -> float:
    """How far the effect lies within what the sentence states; below 0 outside."""
    above = one.effect.value / one.least - 1
    return above if one.most is None else min(above, 1 - one.effect.value / one.most)
