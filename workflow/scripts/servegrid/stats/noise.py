"""What the noise of all points of a sweep says of the noise of one, which two or three sessions alone tell poorly.

Variances are moderated by empirical Bayes (Smyth 2004, "Linear models and empirical Bayes methods for assessing differential
expression in microarray experiments", Statistical Applications in Genetics and Molecular Biology 3, sections 3 and 6.2): the points'
true variances are taken as drawn from a scaled inverse chi-square distribution, whose two parameters are estimated from
all variances that were measured. Where these are alike, many degrees of freedom stand behind each; where they are not, a point keeps
its own. Only half of what the method gives is counted, since a sweep has few points and their variances may be spread otherwise:
tests/unit/test_noise.py shows that a setting as good as the best is then ruled out in no more than 5 % of sweeps, also where
variances differ much.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, variance

LEAST_POINTS = 8
"""Points from which their variances tell how far variances differ."""
MOST_FREEDOM = 1000
"""Beyond, a t-quantile is as good as the normal one."""
_TINY = 1e-5
"""Share of the median variance that stands for less, such as that of equal values, whose logarithm is not finite."""


@dataclass(frozen=True)
class Noise:
    """The common variance of the logarithms, and how many degrees of freedom of a point's own it is worth; 0: nothing is known."""

    variance: float = 0.0
    freedom: int = 0
    points: int = 0

    def moderated(self, squares: float, freedom: int) -> tuple[float, int]:
        """Variance and degrees of freedom of a sum of squared deviations with `freedom` degrees of its own."""
        together = self.freedom + freedom
        return (self.freedom * self.variance + squares) / together, together


NONE = Noise()


def noise_of(points: Iterable[Sequence[float]]) -> Noise:
    """From the session values of every point; NONE with fewer than LEAST_POINTS that have two sessions or more, all above zero."""
    several = [values for values in points if len(values) > 1 and min(values) > 0]
    known = [(variance(map(math.log, values)), len(values) - 1) for values in several]
    if len(known) < LEAST_POINTS or not any(square > 0 for square, _ in known):
        return NONE
    least = _TINY * sorted(square for square, _ in known)[len(known) // 2] or min(
        square for square, _ in known if square
    )
    logs = [math.log(max(square, least)) - digamma(d / 2) + math.log(d / 2) for square, d in known]
    centre = fmean(logs)
    beyond_chance = variance(logs) - fmean(trigamma(d / 2) for _, d in known)
    total = sum(d for _, d in known)
    if beyond_chance <= 0:
        return Noise(sum(square * d for square, d in known) / total, min(total // 2, MOST_FREEDOM), len(known))
    half = trigamma_inverse(beyond_chance)
    freedom = min(math.floor(half), total // 2, MOST_FREEDOM)
    return Noise(math.exp(centre + digamma(half) - math.log(half)), freedom, len(known))


def digamma(x: float) -> float:
    """Derivative of log Gamma for x > 0: recurrence, then Abramowitz and Stegun (1964), 6.3.18."""
    below = 0.0
    while x < 8:
        below, x = below - 1 / x, x + 1
    return below + math.log(x) - 1 / (2 * x) - 1 / (12 * x**2) + 1 / (120 * x**4) - 1 / (252 * x**6) + 1 / (240 * x**8)


def trigamma(x: float) -> float:
    """Derivative of digamma for x > 0: recurrence, then Abramowitz and Stegun (1964), 6.4.12."""
    above = 0.0
    while x < 8:
        above, x = above + 1 / x**2, x + 1
    return above + 1 / x + 1 / (2 * x**2) + 1 / (6 * x**3) - 1 / (30 * x**5) + 1 / (42 * x**7) - 1 / (30 * x**9)


def trigamma_inverse(value: float) -> float:
    """x with trigamma(x) = `value` (above zero), by bisection of log x: trigamma falls."""
    low, high = -30.0, 30.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if trigamma(math.exp(middle)) > value else (low, middle)
    return math.exp(low)
