import math
import random

import pytest

from servegrid.stats.intervals import PAIRED_FROM, Estimate, bonferroni_level, mean, ratio, signed_mean, t_quantile


@pytest.mark.parametrize(("level", "dof", "t"), [(0.95, 1, 12.706), (0.9, 7, 1.895), (0.999, 6, 5.959)])
def test_quantiles_are_two_sided(level: float, dof: int, t: float) -> None:
    assert t_quantile(level, dof) == pytest.approx(t, abs=6e-4)


def test_one_session_has_no_interval() -> None:
    assert mean([5.0]) == Estimate(5.0)
    assert not ratio({1: 2.0}, {1: 4.0, 2: 4.2}).has_interval and ratio({1: 2.0}, {1: 4.0}).value == 0.5
    assert not signed_mean([0.3]).has_interval and "no doubt known" in signed_mean([0.3]).how


def test_a_mean_of_something_that_was_zero_has_no_interval() -> None:
    assert not mean([0.0, 1.0]).has_interval and "zero" in mean([0.0, 1.0]).how


@pytest.mark.parametrize("times", [1.0, 2.0])
def test_a_side_that_is_always_zero_is_less_and_nothing_says_how_many_times(times: float) -> None:
    zero, some = {1: 0.0, 2: 0.0}, {1: 3.0 * times, 2: 4.0}
    assert ratio(zero, some).interval == (0, 0) and ratio(some, zero).interval == (math.inf, math.inf)
    assert ratio(zero, some).inverse() == ratio(some, zero) and ratio(zero, some).has_interval


@pytest.mark.parametrize(
    ("above", "below", "value"),
    [([0.0, 4.0], [1.0, 1.0], 2), ([0.0, 0.0], [0.0, 1.0], 0), ([0.0], [1.0, 1.0], 0), ([0.0, 0.0], [0.0, 0.0], 1)],
)
def test_some_zeros_or_one_session_of_them_tell_nothing(above: list[float], below: list[float], value: float) -> None:
    estimate = ratio(dict(enumerate(above)), dict(enumerate(below)))
    assert estimate.value == value and not estimate.has_interval, "a session of 0 is not left out"
    assert not estimate.inverse().has_interval


def test_a_ratio_by_hand() -> None:
    """Logs of 10, 12.1 and of 10, 10: means apart by ln(1.1), pooled variance of half of 2 (ln(1.1))^2."""
    estimate = ratio({1: 10.0, 2: 12.1}, {1: 10.0, 2: 10.0})
    half = 4.3027 * math.log(1.1)
    assert estimate.value == pytest.approx(1.1)
    assert (estimate.low, estimate.high) == pytest.approx((1.1 * math.exp(-half), 1.1 * math.exp(half)), rel=1e-3)
    assert "unpaired" in estimate.how


def test_pairing_takes_out_what_the_rounds_share() -> None:
    rounds = {rep: 10.0 + rep for rep in range(1, PAIRED_FROM + 1)}
    faster = {rep: value * (1.05 + 0.001 * (rep % 2)) for rep, value in rounds.items()}
    paired, other = ratio(faster, rounds), ratio(faster, {rep + 1: value for rep, value in rounds.items()})
    assert paired.low and paired.low > 1.04 and "paired over" in paired.how
    assert other.low and other.low < 1 and "unpaired" in other.how, "other rounds: not paired"


def test_the_inverse_of_a_ratio_is_the_ratio_of_the_other_side() -> None:
    above, below = {1: 3.0, 2: 3.3}, {1: 2.0, 2: 2.1}
    there, back = ratio(above, below), ratio(below, above).inverse()
    assert (there.value, there.low, there.high) == pytest.approx((back.value, back.low, back.high))


@pytest.mark.slow
@pytest.mark.parametrize(("first", "second"), [(2, 2), (3, 3), (2, 5), (6, 6)])
def test_intervals_cover_what_they_promise(first: int, second: int) -> None:
    """Planted noise of 3 % and a planted ratio of 1.2: the interval misses it in 5 % of the cases, but for chance."""
    draw = random.Random(7)
    tries = 3000
    missed = 0
    for _ in range(tries):
        above = {n: 1.2 * math.exp(draw.gauss(0, 0.03)) for n in range(first)}
        below = {n: math.exp(draw.gauss(0, 0.03)) for n in range(second)}
        estimate = ratio(above, below)
        assert estimate.low is not None and estimate.high is not None
        missed += not estimate.low <= 1.2 <= estimate.high
    assert abs(missed / tries - 0.05) < 3 * math.sqrt(0.05 * 0.95 / tries)


def test_several_comparisons_share_the_error() -> None:
    assert bonferroni_level(1) == pytest.approx(0.95) and bonferroni_level(5) == pytest.approx(0.99)
