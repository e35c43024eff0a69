"""Drift of a series: whether it goes up or down beyond chance, and by how much."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
BLOCKS, LEAST_PER_BLOCK = 10, 5
SIGNIFICANCE = 0.0075
"""P value up to which a trend is shown. It lies between two that BLOCKS medians can have: 0.0047 and 0.0091."""
LEAST_DRIFT = 0.1
"""A drift smaller than this share of the median is not reported."""


def drift(times_s: Floats, values: Floats) -> float | None:
    """Drift of the values (all above zero) from begin to end, as a share of their median; 0 if not shown, None if too few values.

    The values are put into BLOCKS of equal number by time, so that neighbours that depend on each other do not count as many.
    Their medians are tested for a trend (Mann 1945, "Nonparametric tests against trend", Econometrica 13; Kendall 1975), and its
    size is the median of all slopes between blocks (Sen 1968, JASA 63), times the number of steps.
    """
    if len(values) < BLOCKS * LEAST_PER_BLOCK:
        return None
    from scipy.stats import kendalltau, theilslopes  # here, since it is slow to load

    ordered = values[np.argsort(times_s, kind="stable")]
    medians = np.array([np.median(block) for block in np.array_split(ordered, BLOCKS)])
    steps = np.arange(BLOCKS)
    if not kendalltau(steps, medians).pvalue <= SIGNIFICANCE:  # NaN where all medians are equal
        return 0.0
    share = float(theilslopes(medians, steps).slope * (BLOCKS - 1) / np.median(medians))
    return share if abs(share) >= LEAST_DRIFT else 0.0
