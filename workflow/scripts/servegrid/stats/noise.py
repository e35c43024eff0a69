"""Noise between sessions, estimated from all points of a sweep: two or three sessions alone tell that of their point poorly.

Variances are moderated by empirical Bayes (Smyth 2004, "Linear models and empirical Bayes methods for assessing differential
expression in microarray experiments", Statistical Applications in Genetics and Molecular Biology 3, sections 3 and 6.2): the points'
true variances are taken as drawn from a scaled inverse chi-square distribution, whose two parameters are estimated from
all variances that were measured. Where these are alike, many degrees of freedom stand behind each; where they are not, a point keeps
its own. Only half of what the method gives is counted, since a sweep has few points and their variances may be spread otherwise:
tests/unit/stats/test_noise.py shows that a setting as good as the best is then ruled out in no more than 5 % of sweeps, also where
variances differ much.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, variance

LEAST_POINTS = 8
"""Points from which their variances tell how far variances differ."""
MOST_DOF = 1000
"""Beyond, a t-quantile is as good as the normal one."""
_TINY = 1e-5
"""Share of the median variance that stands for less, such as that of equal values, whose logarithm is not finite."""


@dataclass(frozen=True)
class Noise:
    """The common variance of the logarithms of session values.

    Attributes:
        variance: the variance.
        dof: degrees of freedom of a point's own sessions that it is worth; 0: nothing is known.
        points: number of points that it was estimated from.
    """

    variance: float = 0.0
    dof: int = 0
    points: int = 0

    def moderated_variance(self, squares: float, dof: int) -> tuple[float, int]:
        """Variance, moderated by this noise, of a sum of squared deviations with `dof` degrees of freedom; and the degrees of both."""
        total_dof = self.dof + dof
        return (self.dof * self.variance + squares) / total_dof, total_dof


UNKNOWN_NOISE = Noise()


def estimate_noise(points: Iterable[Sequence[float]]) -> Noise:
    """Estimate the noise from the session values of every point.

    UNKNOWN_NOISE with fewer than LEAST_POINTS that have two sessions or more, all above zero.
    """
    from scipy.special import digamma, polygamma  # not at the top: to read the Snakefile takes nothing of scipy

    repeated = [values for values in points if len(values) > 1 and min(values) > 0]
    variances = [(variance(map(math.log, values)), len(values) - 1) for values in repeated]
    if len(variances) < LEAST_POINTS or not any(square > 0 for square, _ in variances):
        return UNKNOWN_NOISE
    median = sorted(square for square, _ in variances)[len(variances) // 2]
    least = _TINY * median or min(square for square, _ in variances if square)
    logs = [math.log(max(square, least)) - float(digamma(d / 2)) + math.log(d / 2) for square, d in variances]
    centre = fmean(logs)
    beyond_chance = variance(logs) - fmean(float(polygamma(1, d / 2)) for _, d in variances)
    total_dof = sum(d for _, d in variances)
    if beyond_chance <= 0:
        pooled = sum(square * d for square, d in variances) / total_dof
        return Noise(pooled, min(total_dof // 2, MOST_DOF), len(variances))
    half_dof = _trigamma_inverse(beyond_chance)  # half of the degrees that the method gives, which is what is counted
    dof = min(math.floor(half_dof), total_dof // 2, MOST_DOF)
    return Noise(math.exp(centre + float(digamma(half_dof)) - math.log(half_dof)), dof, len(variances))


def _trigamma_inverse(value: float) -> float:
    """Number x with trigamma(x) = `value` (above zero); 1e12 where it would be larger."""
    from scipy.optimize import brentq
    from scipy.special import polygamma

    log_value = math.log(max(value, 1e-12))
    return math.exp(brentq(lambda log_x: math.log(polygamma(1, math.exp(log_x))) - log_value, -30, 30))
