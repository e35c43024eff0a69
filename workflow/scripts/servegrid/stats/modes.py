"""Sessions that fall into two groups, as where a clock or the placement of memory differs from launch to launch."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from statistics import fmean, median

LEAST_PAIRS = 6
LEAST_SERVERS = 4
"""Servers of which both rounds of a pair are known: of fewer, what the rounds did cannot be told from the groups."""
LEAST_DISTANCE = 1e-4
"""Distance below which groups are rounding."""
_LEAST_SHARE = 0.2
_CLEAR, _CLEAR_OF_FEW = 4.0, 25.0
"""How many times the spread within the groups they lie apart: this, and this divided by the number of pairs. Found by simulation
(tests/unit/stats/test_modes.py holds how often groups are seen, where there are some and where there are none)."""


def distance_of_two_groups(effects: Sequence[Mapping[int, float]]) -> float | None:
    """Distance of the two groups that sessions fall into; None where they do not, or where too few tell.

    Sessions of one server are of one group or of two, so the differences of pairs of them are either small or of one size.

    Args:
        effects: of the sessions of each server, as logarithms, by round.
    """
    pairs = sorted(_differences(effects))
    count = len(pairs)
    if count < LEAST_PAIRS:
        return None
    least = max(2, math.ceil(_LEAST_SHARE * count))
    clear, distance = max((_clearness(pairs, split) for split in range(least, count - least + 1)), default=(0.0, 0.0))
    return distance if clear >= _CLEAR + _CLEAR_OF_FEW / count and distance > LEAST_DISTANCE else None


def _differences(effects: Sequence[Mapping[int, float]]) -> Iterator[float]:
    """Yield how far every server's sessions of two rounds differ, beyond what the rounds did: the median over servers."""
    rounds = sorted({number for sessions in effects for number in sessions})
    for first, second in combinations(rounds, 2):
        both = [sessions[first] - sessions[second] for sessions in effects if {first, second} <= sessions.keys()]
        if len(both) >= LEAST_SERVERS:
            middle = median(both)
            yield from (abs(difference - middle) for difference in both)


def _clearness(pairs: Sequence[float], split: int) -> tuple[float, float]:
    """Mean of the larger differences in units of the spread within both groups; and that mean."""
    small, large = pairs[:split], pairs[split:]
    distance = fmean(large)
    squares = math.fsum(value**2 for value in small) + math.fsum((value - distance) ** 2 for value in large)
    spread = math.sqrt(squares / len(pairs))
    return (distance / spread if spread else 0.0), distance
