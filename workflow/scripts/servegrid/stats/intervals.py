"""The doubt in a number: intervals over sessions. All are t-intervals on logarithms, which holds for few sessions too.

Speeds and times vary by shares of themselves and cannot fall below zero, so logarithms are nearer to a normal distribution,
and a ratio becomes a difference. The sessions of a sweep are few, so no bootstrap: it is too narrow below about ten.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from servegrid.stats.noise import NONE, Noise

LEVEL = 0.95
PAIRED_FROM = 4
"""Rounds from which two conditions are compared round by round. Below, the t-quantile of half the degrees of freedom widens
an interval by more than pairing can be expected to narrow it."""
ALONE = "one session: no doubt known"


@dataclass(frozen=True)
class Estimate:
    """A number with its interval.

    Attributes:
        value: the number.
        low: lower end of the interval; None where no doubt is known.
        high: upper end.
        how: in words, what the interval is over, or why there is none.
    """

    value: float
    low: float | None = None
    high: float | None = None
    how: str = ALONE

    @property
    def ends(self) -> tuple[float, float]:
        """The interval; the number twice where there is none."""
        return self.value if self.low is None else self.low, self.value if self.high is None else self.high

    @property
    def doubted(self) -> bool:
        """Whether there is an interval."""
        return self.low is not None and self.high is not None

    def inverse(self) -> "Estimate":
        """The estimate of 1 / value, for a ratio read the other way round."""
        if self.low is None or self.high is None:
            return Estimate(_inverse(self.value), how=self.how)
        return Estimate(_inverse(self.value), _inverse(self.high), _inverse(self.low), self.how)


def mean(values: Sequence[float], level: float = LEVEL, noise: Noise = NONE) -> Estimate:
    """The mean over sessions (values above zero) with exp(+-t s / sqrt(n)) around it, s of the logarithms, moderated by `noise`."""
    centre = fmean(values)
    if len(values) < 2 or min(values) <= 0:
        return Estimate(centre, how=ALONE if len(values) < 2 else "not all above zero: no interval")
    half = _half([math.log(value) for value in values], level, noise)
    words = f"{_percent(level)} t-interval over {len(values)} sessions{_with(noise)}"
    return Estimate(centre, centre * math.exp(-half), centre * math.exp(half), words)


def ratio(
    above: Mapping[int, float], below: Mapping[int, float], level: float = LEVEL, noise: Noise = NONE
) -> Estimate:
    """How many times `below` goes into `above`, both session values by round (none below zero).

    Paired by round (t of the log-ratios, n - 1 degrees of freedom) where both have the same PAIRED_FROM rounds or more; else
    unpaired with a pooled variance of the logarithms (n + m - 2 degrees of freedom; both are taken to vary by like shares), which
    is moderated by the `noise` of all points, if that is known.
    No interval where either side has one session, or where some sessions are 0. Where all of one side are 0 and none of the
    other, the ratio is 0 or infinite, and so are both ends: which is more is told, and how many times is not.
    """
    if min(*above.values(), *below.values()) <= 0:
        return _with_zeros(list(above.values()), list(below.values()))
    logs_above, logs_below = ({rep: math.log(v) for rep, v in side.items()} for side in (above, below))
    centre = fmean(logs_above.values()) - fmean(logs_below.values())
    if min(len(above), len(below)) < 2:
        return Estimate(math.exp(centre))
    if above.keys() == below.keys() and len(above) >= PAIRED_FROM:
        half = _half([logs_above[rep] - logs_below[rep] for rep in above], level)
        words = f"{_percent(level)} t-interval, paired over {len(above)} rounds"
    else:
        half = _pooled_half(list(logs_above.values()), list(logs_below.values()), level, noise)
        words = f"{_percent(level)} t-interval over {len(above)} and {len(below)} sessions, unpaired{_with(noise)}"
    return Estimate(math.exp(centre), math.exp(centre - half), math.exp(centre + half), words)


def slope(values: Sequence[float], level: float = LEVEL) -> Estimate:
    """The mean of numbers of either sign, one per round, with mean +- t s / sqrt(n)."""
    centre = fmean(values)
    if len(values) < 2:
        return Estimate(centre)
    half = _half(values, level)
    return Estimate(centre, centre - half, centre + half, f"{_percent(level)} t-interval over {len(values)} rounds")


def shared_level(comparisons: int, level: float = LEVEL) -> float:
    """The level of each of several comparisons that holds `level` for all of them together (Bonferroni)."""
    return 1 - (1 - level) / max(comparisons, 1)


def t_quantile(level: float, freedom: int) -> float:
    """t with P(-t < T < t) = `level` for Student's T of `freedom` (1 or more) degrees of freedom."""
    from scipy.special import stdtrit  # not at the top: to read the Snakefile takes nothing of scipy

    return float(stdtrit(freedom, (1 + level) / 2))


def _half(values: Sequence[float], level: float, noise: Noise = NONE) -> float:
    variance, freedom = noise.moderated(_squares(values), len(values) - 1)
    return t_quantile(level, freedom) * math.sqrt(variance / len(values))


def _pooled_half(first: Sequence[float], second: Sequence[float], level: float, noise: Noise) -> float:
    variance, freedom = noise.moderated(_squares(first) + _squares(second), len(first) + len(second) - 2)
    return t_quantile(level, freedom) * math.sqrt(variance * (1 / len(first) + 1 / len(second)))


def _with_zeros(above: Sequence[float], below: Sequence[float]) -> Estimate:
    """The ratio of the means; 1 of two that are both 0."""
    one, two = fmean(above), fmean(below)
    value = one / two if two else math.inf if one else 1.0
    if min(len(above), len(below)) < 2:
        return Estimate(value)
    if max(above) == 0 < min(below) or max(below) == 0 < min(above):
        return Estimate(value, value, value, "0 in every session of one, in none of the other")
    return Estimate(value, how="0 in some sessions: no interval")


def _inverse(value: float) -> float:
    return 1 / value if value else math.inf


def _squares(values: Sequence[float]) -> float:
    centre = fmean(values)
    return sum((value - centre) ** 2 for value in values)


def _with(noise: Noise) -> str:
    return f", and the noise of all {noise.points} points" if noise.freedom else ""


def _percent(level: float) -> str:
    return f"{100 * level:.4g} %"
