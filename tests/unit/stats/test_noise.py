"""The noise of all points: what is planted is found, and intervals that rest on it hold."""

import math
import random
from collections.abc import Callable
from statistics import fmean

import pytest

from data.report.planted import planted
from helpers.evidence import evidence_of
from servegrid.report.judge.recommendation import recommend
from servegrid.report.settings import Settings
from servegrid.stats.intervals import bonferroni_level, mean, ratio
from servegrid.stats.noise import UNKNOWN_NOISE, Noise, estimate_noise

Sigma = Callable[[random.Random], float]


def sweep(draw: random.Random, points: int, sigma: Sigma, sessions: int = 2) -> list[dict[int, float]]:
    """Session values of points that differ in nothing but their noise."""
    deviations = [sigma(draw) for _ in range(points)]
    return [{rep: math.exp(draw.gauss(0, deviation)) for rep in range(sessions)} for deviation in deviations]


def alike(_: random.Random) -> float:
    return 0.03


def spread(draw: random.Random) -> float:
    return 0.03 * math.exp(draw.gauss(0, 1))


def mixed(draw: random.Random) -> float:
    return 0.15 if draw.random() < 0.2 else 0.03


def test_like_variances_are_pooled_and_unlike_ones_are_not() -> None:
    draw = random.Random(1)
    pooled = estimate_noise([list(rounds.values()) for rounds in sweep(draw, 200, alike)])
    assert pooled.variance == pytest.approx(0.03**2, rel=0.25) and pooled.dof > 20 and pooled.points == 200
    assert estimate_noise([list(rounds.values()) for rounds in sweep(draw, 200, spread, 5)]).dof <= 2


@pytest.mark.parametrize("values", [[], [[1.0, 1.1]] * 7, [[1.0]] * 20, [[2.0, 2.0]] * 20, [[0.0, 2.0]] * 20])
def test_few_points_or_no_repeats_or_zeros_say_nothing(values: list[list[float]]) -> None:
    assert estimate_noise(values) == UNKNOWN_NOISE


def test_a_point_whose_sessions_are_equal_is_not_taken_for_exact() -> None:
    noise = estimate_noise([[1.0, 1.02 + n / 1000] for n in range(20)] + [[1.0, 1.0]])
    assert math.isfinite(noise.variance) and noise.dof > 0
    exact = mean([1.0, 1.0], noise=noise)
    assert exact.low is not None and exact.low < 1 and "the noise of all 21 points" in exact.how


def test_moderated_by_hand() -> None:
    assert Noise(4.0, 6, 9).moderated_variance(2.0, 2) == ((24 + 2) / 8, 8)
    assert UNKNOWN_NOISE.moderated_variance(2.0, 2) == (1.0, 2)


@pytest.mark.slow
@pytest.mark.parametrize("sigma", [alike, spread, mixed])
@pytest.mark.parametrize("points", [8, 32])
def test_a_setting_that_is_as_good_as_the_best_is_rarely_ruled_out(points: int, sigma: Sigma) -> None:
    draw, tries, ruled_out = random.Random(1), 600, 0
    for _ in range(tries):
        values = sweep(draw, points, sigma)
        noise = estimate_noise([list(rounds.values()) for rounds in values])
        best = max(values, key=lambda rounds: fmean(map(math.log, rounds.values())))
        if best is not values[0]:
            low = ratio(best, values[0], bonferroni_level(points - 1), noise).low
            ruled_out += low is not None and low > 1
    assert ruled_out / tries <= 0.05 + 3 * (0.05 * 0.95 / tries) ** 0.5


@pytest.mark.slow
def test_a_tenth_is_mostly_found_with_two_sessions_of_eight_points() -> None:
    decided = 0
    for seed in range(50):
        tables = planted({"threads": range(1, 9)}, lambda p: 9.0 if p["threads"] == 3 else 10.0, 0.01, 2, seed)
        best = recommend(evidence_of(*tables, Settings()))
        decided += not best.undecided
    assert decided >= 35
