"""Intervals over sessions. All but that of `signed_mean` are t-intervals on logarithms, which hold for few sessions too.

Speeds and times vary by shares of themselves and cannot fall below zero, so logarithms are nearer to a normal distribution,
and a ratio becomes a difference. The sessions of a sweep are few, so no bootstrap: it is too narrow below about ten.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from servegrid.stats.noise import UNKNOWN_NOISE, Noise

LEVEL = 0.95
PAIRED_FROM = 4
"""Rounds from which two conditions are compared round by round. Below, the t-quantile of half the degrees of freedom widens
an interval by more than pairing can be expected to narrow it."""
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

    def inverse(self) -> "Estimate":
        """Estimate of 1 / value, for a ratio read the other way round."""
        if self.low is None or self.high is None:
            return Estimate(_inverse(self.value), how=self.how)
        return Estimate(_inverse(self.value), _inverse(self.high), _inverse(self.low), self.how)


def mean(values: Sequence[float], level: float = LEVEL, noise: Noise = UNKNOWN_NOISE) -> Estimate:
    """Mean over sessions (values above zero), with the interval mean x exp(+-t s / sqrt(n)).

    s is the standard deviation of the logarithms, moderated by `noise`.
    """
    centre = fmean(values)
    if len(values) < 2 or min(values) <= 0:
        return Estimate(centre, how=ONE_SESSION if len(values) < 2 else "not all above zero: no interval")
    half = _half_width([math.log(value) for value in values], level, noise)
    how = f"{_percent(level)} t-interval over {len(values)} sessions{_noise_suffix(noise)}"
    return Estimate(centre, centre * math.exp(-half), centre * math.exp(half), how)


def ratio(
    above: Mapping[int, float], below: Mapping[int, float], level: float = LEVEL, noise: Noise = UNKNOWN_NOISE
) -> Estimate:
    """Ratio `above` / `below` of the (geometric) means of two sets of session values by round (none below zero).

    Paired by round (t of the log-ratios, n - 1 degrees of freedom) where both have the same PAIRED_FROM rounds or more; else
    unpaired with a pooled variance of the logarithms (n + m - 2 degrees of freedom; both are taken to vary by like shares), which
    is moderated by the `noise` of all points, if that is known.
    No interval where either side has one session, or where some sessions are 0. Where all of one side are 0 and none of the
    other, the ratio is 0 or infinite, and so are both ends: it says which is more, and not how many times.
    """
    if min(*above.values(), *below.values()) <= 0:
        return _ratio_with_zeros(list(above.values()), list(below.values()))
    logs_above, logs_below = ({rep: math.log(value) for rep, value in side.items()} for side in (above, below))
    centre = fmean(logs_above.values()) - fmean(logs_below.values())
    if min(len(above), len(below)) < 2:
        return Estimate(math.exp(centre))
    if above.keys() == below.keys() and len(above) >= PAIRED_FROM:
        half = _half_width([logs_above[rep] - logs_below[rep] for rep in above], level)
        how = f"{_percent(level)} t-interval, paired over {len(above)} rounds"
    else:
        half = _pooled_half_width(list(logs_above.values()), list(logs_below.values()), level, noise)
        how = (
            f"{_percent(level)} t-interval over {len(above)} and {len(below)} sessions, unpaired{_noise_suffix(noise)}"
        )
    return Estimate(math.exp(centre), math.exp(centre - half), math.exp(centre + half), how)


def signed_mean(values: Sequence[float], level: float = LEVEL) -> Estimate:
    """Mean of numbers of either sign, one per round, with the interval mean +- t s / sqrt(n)."""
    centre = fmean(values)
    if len(values) < 2:
        return Estimate(centre)
    half = _half_width(values, level)
    return Estimate(centre, centre - half, centre + half, f"{_percent(level)} t-interval over {len(values)} rounds")


def bonferroni_level(comparisons: int, level: float = LEVEL) -> float:
    """Level of each of several comparisons with which `level` holds for all of them together (Bonferroni)."""
    return 1 - (1 - level) / max(comparisons, 1)


def t_quantile(level: float, dof: int) -> float:
    """Quantile t with P(-t < T < t) = `level` for Student's T of `dof` (1 or more) degrees of freedom."""
    from scipy.special import stdtrit  # not at the top: to read the Snakefile takes nothing of scipy

    return float(stdtrit(dof, (1 + level) / 2))


def _half_width(values: Sequence[float], level: float, noise: Noise = UNKNOWN_NOISE) -> float:
    """Half the width of the t-interval of a mean."""
    variance, dof = noise.moderated_variance(_squared_deviations(values), len(values) - 1)
    return t_quantile(level, dof) * math.sqrt(variance / len(values))


def _pooled_half_width(first: Sequence[float], second: Sequence[float], level: float, noise: Noise) -> float:
    """Half the width of the t-interval of a difference of two means, with pooled variance."""
    squares = _squared_deviations(first) + _squared_deviations(second)
    variance, dof = noise.moderated_variance(squares, len(first) + len(second) - 2)
    return t_quantile(level, dof) * math.sqrt(variance * (1 / len(first) + 1 / len(second)))


def _ratio_with_zeros(above: Sequence[float], below: Sequence[float]) -> Estimate:
    """Ratio of the arithmetic means; 1 if both are 0."""
    mean_above, mean_below = fmean(above), fmean(below)
    value = mean_above / mean_below if mean_below else math.inf if mean_above else 1.0
    if min(len(above), len(below)) < 2:
        return Estimate(value)
    if max(above) == 0 < min(below) or max(below) == 0 < min(above):
        return Estimate(value, value, value, "0 in every session of one, in none of the other")
    return Estimate(value, how="0 in some sessions: no interval")


def _inverse(value: float) -> float:
    return 1 / value if value else math.inf


def _squared_deviations(values: Sequence[float]) -> float:
    centre = fmean(values)
    return sum((value - centre) ** 2 for value in values)


def _noise_suffix(noise: Noise) -> str:
    return f", and the noise of all {noise.points} points" if noise.dof else ""


def _percent(level: float) -> str:
    return f"{100 * level:.4g} %"
