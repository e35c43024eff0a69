"""Two groups of sessions are seen where they are planted, and rarely elsewhere; by the model of a sweep, as a report asks."""

import math

import numpy as np
import pytest

from servegrid.report.sweep_model import sweep_model
from servegrid.stats.modes import distance_of_two_groups

NOISE = 0.005


def found(kind: str, draw: np.random.Generator, servers: int, rounds: int) -> float | None:
    """Distance found in a sweep of servers with two loads: sessions of one group, or of two that lie eight times the noise apart."""
    noise = draw.standard_t(3, (servers, rounds)) if kind == "heavy tails" else draw.normal(0, 1, (servers, rounds))
    logs = NOISE * (noise + (8 * draw.integers(0, 2, noise.shape) if kind == "two" else 0))
    logs += draw.normal(0, 0.03, (1, rounds)) if kind == "rounds differ" else 0
    values = {
        (str(server), load): {rep: math.exp(log) for rep, log in enumerate(logs[server].tolist())}
        for server in range(servers)
        for load in "ab"
    }
    return sweep_model(values).distance_of_two_groups()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["one", "heavy tails", "rounds differ", "two"])
@pytest.mark.parametrize(("servers", "rounds"), [(1, 4), (2, 3), (2, 5), (6, 2), (10, 2), (30, 2), (4, 3), (10, 3)])
def test_two_groups_are_seen_where_they_are(kind: str, servers: int, rounds: int) -> None:
    draw, tries = np.random.default_rng(4), 150
    distances = [found(kind, draw, servers, rounds) for _ in range(tries)]
    share = sum(distance is not None for distance in distances) / tries
    if kind != "two":
        assert share <= 0.05 + 2 * (0.05 * 0.95 / tries) ** 0.5
    elif servers >= 30:
        assert share >= 0.6
        known = [math.log(distance) for distance in distances if distance]
        assert np.median(known) == pytest.approx(8 * NOISE, rel=0.15)


def test_too_few_sessions_or_no_spread_tell_nothing() -> None:
    assert distance_of_two_groups([{0: 0.0, 1: 0.04}, {0: 0.0, 1: 0.0}]) is None
    assert distance_of_two_groups([{0: 0.0, 1: 1e-12 * (server % 2)} for server in range(10)]) is None
    assert distance_of_two_groups([]) is None
