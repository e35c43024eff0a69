"""Rulings: a claim judged by the rows of one source, comparison by comparison."""

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
    """Two rows compared.

    Attributes:
        better: number of the row that the claim puts ahead.
        than: number of the other.
        effect: how many times better the first is.
        least: the least effect that the claim states.
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
    """Verdict on a claim by the rows of one source; `deciding` is the comparison that speaks least for it.

    `left_out` gives the reasons why rows that belong into a comparison are no evidence -> how many.
    """

    claim: Claim
    source: str
    verdict: Verdict
    because: str
    comparisons: Sequence[Comparison] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def deciding(self) -> Comparison | None:
        """The comparison that speaks least for the claim.

        A contradicting one before an open one before one that supports; of several, the least effect.
        """
        order = (CONTRADICTED, NO_DIFFERENCE, SUPPORTED)
        return min(
            self.comparisons,
            key=lambda comparison: (order.index(comparison.verdict), _margin(comparison)),
            default=None,
        )

    def count(self, verdict: Verdict) -> int:
        """Number of comparisons with this verdict."""
        return sum(comparison.verdict == verdict for comparison in self.comparisons)


def selector_axes(claim: Claim) -> list[str]:
    """Axes that the claim's rows are selected by."""
    return list(dict.fromkeys([*claim.better, *claim.than]))


def _margin(comparison: Comparison) -> float:
    """How far the effect lies within what the claim states, as a share; below 0 outside."""
    above_least = comparison.effect.value / comparison.least - 1
    return above_least if comparison.most is None else min(above_least, 1 - comparison.effect.value / comparison.most)
