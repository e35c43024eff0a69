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
    from scipy.special import digamma, polygamma  # not at the top: to read the Snakefile takes nothing of scipy

    several = [values for values in points if len(values) > 1 and min(values) > 0]
    known = [(variance(map(math.log, values)), len(values) - 1) for values in several]
    if len(known) < LEAST_POINTS or not any(square > 0 for square, _ in known):
        return NONE
    least = _TINY * sorted(square for square, _ in known)[len(known) // 2] or min(
        square for square, _ in known if square
    )
    logs = [math.log(max(square, least)) - float(digamma(d / 2)) + math.log(d / 2) for square, d in known]
    centre = fmean(logs)
    beyond_chance = variance(logs) - fmean(float(polygamma(1, d / 2)) for _, d in known)
    total = sum(d for _, d in known)
    if beyond_chance <= 0:
        return Noise(sum(square * d for square, d in known) / total, min(total // 2, MOST_FREEDOM), len(known))
    half = _trigamma_inverse(beyond_chance)
    freedom = min(math.floor(half), total // 2, MOST_FREEDOM)
    return Noise(math.exp(centre + float(digamma(half)) - math.log(half)), freedom, len(known))


def _trigamma_inverse(value: float) -> float:
    """x with trigamma(x) = `value` (above zero); 1e12 where it would be larger."""
    from scipy.optimize import brentq
    from scipy.special import polygamma

    log_value = math.log(max(value, 1e-12))
    return math.exp(brentq(lambda log_x: math.log(polygamma(1, math.exp(log_x))) - log_value, -30, 30))
