"""Estimates over sessions: zeros, single sessions, families of comparisons, and how many sessions more it takes."""

import math

import numpy as np
import pytest

from servegrid.report.sweep_model import sweep_model
from servegrid.stats.intervals import Estimate
from servegrid.stats.session_model import SessionModel

Ids = tuple[str, str]


def planted(servers: int, rounds: int, noise: float = 0.01, factor: float = 1.0) -> SessionModel[Ids]:
    """Model of servers with two loads; server 0 has `factor` times the values of the others."""
    draw = np.random.default_rng(5)
    return sweep_model(
        {
            (f"s{server}", load): {
                rep: (1 if server else factor) * math.exp(draw.normal(0, noise)) for rep in range(rounds)
            }
            for server in range(servers)
            for load in "ab"
        }
    )


def test_one_session_has_no_interval() -> None:
    model = sweep_model({("a", "l"): {1: 2.0}, ("b", "l"): {1: 4.0, 2: 4.2}})
    assert model.mean(("a", "l")) == Estimate(2.0)
    ratio = model.ratio(("a", "l"), ("b", "l"))
    assert not ratio.has_interval and ratio.value == pytest.approx(0.5), "of the round that both have"


@pytest.mark.parametrize("times", [1.0, 2.0])
def test_a_side_that_is_always_zero_is_less_and_nothing_says_how_many_times(times: float) -> None:
    model = sweep_model({("zero", ""): {1: 0.0, 2: 0.0}, ("some", ""): {1: 3.0 * times, 2: 4.0}})
    below, above = model.ratio(("zero", ""), ("some", "")), model.ratio(("some", ""), ("zero", ""))
    assert below.interval == (0, 0) and above.interval == (math.inf, math.inf)
    assert below.inverse() == above and below.has_interval


@pytest.mark.parametrize(
    ("above", "below", "value"),
    [([0.0, 4.0], [1.0, 1.0], 2), ([0.0, 0.0], [0.0, 1.0], 0), ([0.0], [1.0, 1.0], 0), ([0.0, 0.0], [0.0, 0.0], 1)],
)
def test_some_zeros_or_one_session_of_them_tell_nothing(above: list[float], below: list[float], value: float) -> None:
    model = sweep_model({("a", ""): dict(enumerate(above)), ("b", ""): dict(enumerate(below))})
    estimate = model.ratio(("a", ""), ("b", ""))
    assert estimate.value == value and not estimate.has_interval, "a session of 0 is not left out"


def test_the_inverse_of_a_ratio_is_the_ratio_of_the_other_side() -> None:
    model = planted(4, 3)
    there, back = model.ratio(("s0", "a"), ("s1", "a")), model.ratio(("s1", "a"), ("s0", "a")).inverse()
    assert (there.value, there.low, there.high) == pytest.approx((back.value, back.low, back.high))


def test_more_that_holds_together_is_wider_and_says_so() -> None:
    model = planted(5, 3)
    alone, pairs = model.ratio(("s0", "a"), ("s1", "a")), model.ratio(("s0", "a"), ("s1", "a"), among=10)
    assert pairs.high / pairs.value > alone.high / alone.value
    assert pairs.how == "95 % interval over 3 and 3 sessions, for all pairs of 10 points"
    one, chosen = model.mean(("s0", "a")), model.mean(("s0", "a"), of=10)
    assert chosen.high > one.high and chosen.how == "95 % interval over 3 sessions, for the one chosen of 10 points"


def test_an_interval_that_says_nothing_is_not_given() -> None:
    model = planted(2, 2, noise=0.3)
    assert model.ratio(("s0", "a"), ("s1", "a")).how == "2 and 2 sessions are too few for an interval"
    assert not model.mean(("s0", "a"), of=3000).has_interval
    far = planted(2, 2, noise=0.3, factor=1e6).ratio(("s0", "a"), ("s1", "a"))
    assert far.has_interval and far.low > 1, "a difference that is sure is given, however inexact"


def test_how_many_further_sessions_would_show_a_difference() -> None:
    assert planted(2, 2, factor=1.08).further_sessions(("s0", "a"), ("s1", "a")) in (1, 2, 3)
    assert planted(10, 3, factor=1.5).further_sessions(("s0", "a"), ("s1", "a")) == 0
    alike = sweep_model({("s0", "a"): {1: 1.0, 2: 1.1}, ("s1", "a"): {1: 1.1, 2: 1.0}})
    assert alike.further_sessions(("s0", "a"), ("s1", "a")) is None
    assert planted(2, 1).further_sessions(("s0", "a"), ("s1", "a")) is None


def test_a_slope_by_hand() -> None:
    """Values 1, 2 and 4 at 1, 2 and 3: the logarithm grows by ln 2 each."""
    values = {("s", load): dict.fromkeys((1, 2, 3), value) for load, value in (("a", 1.0), ("b", 2.0), ("c", 4.0))}
    slope = sweep_model(values).slope({("s", "a"): 1, ("s", "b"): 2, ("s", "c"): 3})
    assert slope.interval == pytest.approx((math.log(2), math.log(2)))
