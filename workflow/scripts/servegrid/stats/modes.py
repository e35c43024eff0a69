"""Sessions that fall into two groups, as where a clock or the placement of memory differs from launch to launch."""

import math
from collections.abc import Iterable, Sequence
from itertools import combinations
from statistics import fmean

LEAST_PAIRS = 6
_LEAST_SHARE = 0.2
_CLEAR, _CLEAR_OF_FEW = 4.0, 25.0
"""How many times the spread within the groups they lie apart: this, and this divided by the number of pairs. Found by simulation: with
one normal or heavy-tailed group 1 to 2 % of sweeps pass; of two groups eight times their noise apart half with 10 pairs, nine in ten
with 30 (tests/unit/stats/test_modes.py)."""


def distance_of_two_groups(effects: Iterable[Sequence[float]]) -> float | None:
    """Distance of the two groups that sessions fall into; None where they do not, or where too few tell.

    Sessions of one server are of one group or of two, so the differences of pairs of them are either small or of one size.

    Args:
        effects: of the sessions of each server, as logarithms.
    """
    pairs = sorted(abs(first - second) for sessions in effects for first, second in combinations(sessions, 2))
    count = len(pairs)
    if count < LEAST_PAIRS:
        return None
    least = max(2, math.ceil(_LEAST_SHARE * count))
    clear, distance = max((_clearness(pairs, split) for split in range(least, count - least + 1)), default=(0.0, 0.0))
    return distance if clear >= _CLEAR + _CLEAR_OF_FEW / count else None


def _clearness(pairs: Sequence[float], split: int) -> tuple[float, float]:
    """Mean of the larger differences in units of the spread within both groups; and that mean."""
    small, large = pairs[:split], pairs[split:]
    distance = fmean(large)
    squares = math.fsum(value**2 for value in small) + math.fsum((value - distance) ** 2 for value in large)
    spread = math.sqrt(squares / len(pairs))
    return (distance / spread if spread else 0.0), distance
