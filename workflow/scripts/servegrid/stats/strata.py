"""Mean squares of a stratum: pooled over its members while these vary alike, else moderated towards what is common to them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, variance
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.int64]

POOL_DOF = 2
"""Degrees of freedom that the common variance is worth beside a member's own, where its own is larger."""
DIFFER = 0.01
"""Probability of Bartlett's test below which servers do not vary alike."""
MOST_DOF = 1000
"""Beyond, a t-quantile is as good as the normal one."""
_LEAST_SERVERS = 4
"""Servers from which their variances tell how far variances differ."""
_NONE = 1e-9
_TINY = 1e-5
"""Share of the median variance that stands for less, such as that of equal values, whose logarithm is not finite."""


@dataclass(frozen=True)
class Stratum:
    """Sums of squares of members (points, or servers), their degrees of freedom and their servers; shape (members,) each."""

    squares: Floats
    dofs: Floats
    server: Integers

    @cached_property
    def dof(self) -> float:
        """Degrees of freedom of all members; 0 if these are none but for rounding."""
        total = float(self.dofs.sum())
        return total if total > _NONE else 0.0

    def mean_square(self, members: Integers) -> tuple[float, float]:
        """Mean square that stands for these members, with its degrees of freedom; (0, 0) where nothing is known.

        While servers vary alike it is that of all; if the `members` vary more, their own counts in part. What varies less by
        chance is not believed, as two or three sessions tell little. Where servers do not vary alike it is that of the
        members' servers, beside as much of the common one as the spread of the variances allows.
        """
        if not self.dof:
            return 0.0, 0.0
        if self._prior is None:
            pooled = float(self.squares.sum()) / self.dof
            return max(pooled, _beside(pooled, POOL_DOF, self.squares[members], self.dofs[members])[0]), self.dof
        chosen = np.isin(self.server, self.server[members])
        return _beside(*self._prior, self.squares[chosen], self.dofs[chosen])

    @cached_property
    def _prior(self) -> tuple[float, float] | None:
        """Common variance of servers that do not vary alike, and the degrees of freedom it is worth; None while they do."""
        squares, dofs = np.bincount(self.server, self.squares), np.bincount(self.server, self.dofs)
        known = dofs > _NONE
        variances, degrees = (squares[known] / dofs[known]).tolist(), dofs[known].tolist()
        if len(variances) < _LEAST_SERVERS or not any(variances):
            return None
        median = sorted(variances)[len(variances) // 2]
        least = _TINY * median or min(value for value in variances if value)
        variances = [max(value, least) for value in variances]
        return _common_variance(variances, degrees) if _differ(variances, degrees) else None


def _beside(common: float, worth: float, squares: Floats, dofs: Floats) -> tuple[float, float]:
    """Mean square of members with a common variance of so many degrees of freedom beside them; and those of both."""
    dof = worth + float(dofs.sum())
    return (worth * common + float(squares.sum())) / dof, dof


def _differ(variances: Sequence[float], dofs: Sequence[float]) -> bool:
    """Whether variances differ by more than chance (Bartlett 1937, "Properties of sufficiency and statistical tests")."""
    from scipy.special import chdtrc

    total, count = math.fsum(dofs), len(dofs)
    pooled = math.fsum(value * dof for value, dof in zip(variances, dofs, strict=True)) / total
    excess = math.fsum(dof * math.log(pooled / value) for value, dof in zip(variances, dofs, strict=True))
    correction = 1 + (math.fsum(1 / dof for dof in dofs) - 1 / total) / (3 * (count - 1))
    return float(chdtrc(count - 1, excess / correction)) < DIFFER


def _common_variance(variances: Sequence[float], dofs: Sequence[float]) -> tuple[float, float] | None:
    """Common variance and the degrees of freedom that it is worth; None where variances differ by chance alone.

    Empirical Bayes: true variances are taken as drawn from a scaled inverse chi-square distribution (Smyth 2004, "Linear models and
    empirical Bayes methods for assessing differential expression in microarray experiments", section 6.2).
    """
    from scipy.special import digamma, polygamma

    logs = [
        math.log(value) - float(digamma(dof / 2)) + math.log(dof / 2)
        for value, dof in zip(variances, dofs, strict=True)
    ]
    beyond_chance = variance(logs) - fmean(float(polygamma(1, dof / 2)) for dof in dofs)
    if beyond_chance <= 0:
        return None
    half = min(_trigamma_inverse(beyond_chance), MOST_DOF / 2)
    return math.exp(fmean(logs) + float(digamma(half)) - math.log(half)), 2 * half


def _trigamma_inverse(value: float) -> float:
    """Number x with trigamma(x) = `value` (above zero); 1e12 where it would be larger."""
    from scipy.optimize import brentq
    from scipy.special import polygamma

    log_value = math.log(max(value, 1e-12))
    return math.exp(brentq(lambda log_x: math.log(polygamma(1, math.exp(log_x))) - log_value, -30, 30))
