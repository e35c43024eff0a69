"""Estimates with intervals, and the quantiles that these take.

Speeds and times vary by shares of themselves and cannot fall below zero, so intervals are taken on logarithms: these are nearer to
a normal distribution, and a ratio becomes a difference. The sessions of a sweep are few, so no bootstrap: it is too narrow below
about ten.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean, stdev

LEVEL = 0.95
ROUNDING = 1e-9
"""Share by which a ratio may differ from 1, or a number from a limit, by rounding alone."""
ONE_SESSION = "one session: no doubt known"


@dataclass(frozen=True)
class Estimate:
    """A number with its interval.

    Attributes:
        value: the number.
        low: lower end of the interval; None where there is no interval.
        high: upper end.
        how: what the interval is over, in words, or why there is none.
    """

    value: float
    low: float | None = None
    high: float | None = None
    how: str = ONE_SESSION

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper end of the interval; the number twice where there is none."""
        return self.value if self.low is None else self.low, self.value if self.high is None else self.high

    @property
    def has_interval(self) -> bool:
        """Whether there is an interval."""
        return self.low is not None and self.high is not None

    def scaled(self, factor: float) -> "Estimate":
        """Estimate of `factor` times the number."""
        low, high = (None if end is None else factor * end for end in (self.low, self.high)[:: 1 if factor > 0 else -1])
        return Estimate(factor * self.value, low, high, self.how)

    def shifted(self, by: float) -> "Estimate":
        """Estimate of the number and `by`."""
        low, high = (None if end is None else end + by for end in (self.low, self.high))
        return Estimate(self.value + by, low, high, self.how)

    def inverse(self) -> "Estimate":
        """Estimate of 1 / value, for a ratio read the other way round."""
        if self.low is None or self.high is None:
            return Estimate(ratio_of_values(1, self.value), how=self.how)
        low, high = ratio_of_values(1, self.high), ratio_of_values(1, self.low)
        return Estimate(ratio_of_values(1, self.value), low, high, self.how)


def mean(values: Sequence[float], level: float = LEVEL) -> Estimate:
    """Mean of the sessions of one point by themselves (values above zero): mean x exp(+-t s / sqrt(n)), s of the logarithms."""
    centre = fmean(values)
    if len(values) < 2 or min(values) <= 0:
        return Estimate(centre, how=ONE_SESSION if len(values) < 2 else "not all above zero: no interval")
    half = t_quantile(level, len(values) - 1) * stdev(map(math.log, values)) / math.sqrt(len(values))
    how = f"{percent_text(level)} interval over {len(values)} sessions"
    return Estimate(centre, centre * math.exp(-half), centre * math.exp(half), how)


def bonferroni_level(comparisons: int, level: float = LEVEL) -> float:
    """Level of each of several comparisons with which `level` holds for all of them together (Bonferroni)."""
    return 1 - (1 - level) / max(comparisons, 1)


def t_quantile(level: float, dof: float) -> float:
    """Quantile t with P(-t < T < t) = `level` for Student's T of `dof` (above 0) degrees of freedom."""
    from scipy.special import stdtrit  # not at the top: to read the Snakefile takes nothing of scipy

    return float(stdtrit(dof, (1 + level) / 2))


def range_quantile(level: float, dof: float, means: int) -> float:
    """Quantile that the largest |difference| / its standard error of several `means` keeps below with probability `level`.

    For two means Student's; for more that of the studentized range (Tukey 1953, "The problem of multiple comparisons") divided
    by the square root of 2, with `dof` rounded down where it is 1 or more.
    """
    return t_quantile(level, dof) if means <= 2 else _studentized_range(level, max(math.floor(dof), 1), means)


@cache
def _studentized_range(level: float, dof: int, means: int) -> float:
    from scipy.stats import studentized_range

    return float(studentized_range.ppf(level, means, dof)) / math.sqrt(2)


def percent_text(level: float) -> str:
    """The level as a text, `95 %`."""
    return f"{100 * level:.4g} %"


def ratio_of_values(above: float, below: float) -> float:
    """Ratio of two numbers that are not below zero; infinite where only the second is 0, 1 where both are."""
    return above / below if below else math.inf if above else 1.0
