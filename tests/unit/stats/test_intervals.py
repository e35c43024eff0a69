import math

import pytest

from servegrid.stats.intervals import Estimate, bonferroni_level, mean, range_quantile, ratio_of_values, t_quantile


@pytest.mark.parametrize(("level", "dof", "t"), [(0.95, 1, 12.706), (0.9, 7, 1.895), (0.999, 6, 5.959)])
def test_quantiles_are_two_sided(level: float, dof: int, t: float) -> None:
    assert t_quantile(level, dof) == pytest.approx(t, abs=6e-4) == range_quantile(level, dof, 2)


@pytest.mark.parametrize(("means", "dof", "q"), [(3, 10, 3.877), (10, 20, 5.008), (8, 5.9, 6.582)])
def test_the_range_of_several_means_by_table(means: int, dof: float, q: float) -> None:
    """Quantiles at 95 % as in tables of the studentized range; broken degrees of freedom are rounded down."""
    assert range_quantile(0.95, dof, means) == pytest.approx(q / math.sqrt(2), abs=1e-3)


def test_one_session_has_no_interval() -> None:
    assert mean([5.0]) == Estimate(5.0)
    assert not mean([0.0, 1.0]).has_interval and "zero" in mean([0.0, 1.0]).how


def test_a_mean_by_hand() -> None:
    """Logarithms apart by ln(1.21): standard error ln(1.1), t of one degree of freedom."""
    estimate = mean([10.0, 12.1])
    assert estimate.high == pytest.approx(11.05 * math.exp(12.706 * math.log(1.1)), rel=1e-3)
    assert estimate.how == "95 % interval over 2 sessions"


def test_an_estimate_scaled_or_turned_round() -> None:
    estimate = Estimate(2.0, 1.0, 4.0, "how")
    assert estimate.scaled(3) == Estimate(6.0, 3.0, 12.0, "how") and estimate.scaled(-1).interval == (-4, -1)
    assert estimate.inverse() == Estimate(0.5, 0.25, 1.0, "how") and Estimate(2.0).scaled(2) == Estimate(4.0)
    assert ratio_of_values(1, 0) == math.inf and ratio_of_values(0, 0) == 1


def test_several_comparisons_share_the_error() -> None:
    assert bonferroni_level(1) == pytest.approx(0.95) and bonferroni_level(5) == pytest.approx(0.99)
