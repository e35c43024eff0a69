"""Two groups of sessions are seen where they are planted, and rarely elsewhere."""

import math

import numpy as np
import pytest

from servegrid.stats.modes import distance_of_two_groups

NOISE = 0.005


def sessions(kind: str, draw: np.random.Generator, servers: int, rounds: int) -> list[list[float]]:
    """Effects of sessions, with noise of one group, or of two that lie eight times the noise apart."""
    noise = draw.standard_t(3, (servers, rounds)) if kind == "heavy tails" else draw.normal(0, NOISE, (servers, rounds))
    effects: list[list[float]] = (
        noise + (8 * NOISE * draw.integers(0, 2, noise.shape) if kind == "two" else 0)
    ).tolist()
    return effects


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["one", "heavy tails", "two"])
@pytest.mark.parametrize(("servers", "rounds"), [(6, 2), (10, 2), (30, 2), (4, 3), (10, 3)])
def test_two_groups_are_seen_where_they_are(kind: str, servers: int, rounds: int) -> None:
    draw = np.random.default_rng(4)
    found = [distance_of_two_groups(sessions(kind, draw, servers, rounds)) for _ in range(300)]
    share = sum(distance is not None for distance in found) / len(found)
    if kind != "two":
        assert share <= 0.03
    elif servers * math.comb(rounds, 2) >= 30:
        assert share >= 0.85
        assert np.mean([distance for distance in found if distance]) == pytest.approx(8 * NOISE, rel=0.1)


def test_too_few_sessions_or_no_spread_tell_nothing() -> None:
    assert distance_of_two_groups([[0.0, 0.04], [0.0, 0.0]]) is None
    assert distance_of_two_groups([[0.0, 0.0]] * 10) is None
    assert distance_of_two_groups([]) is None
