"""Estimates from the session values of all points: means, ratios, slopes, by the one model of their noise (split_plot.py)."""

import math
from bisect import bisect_left
from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import Generic, TypeVar

from servegrid.stats.intervals import (
    LEVEL,
    ONE_SESSION,
    Estimate,
    bonferroni_level,
    percent_text,
    range_quantile,
    ratio_of_values,
)
from servegrid.stats.modes import distance_of_two_groups
from servegrid.stats.split_plot import Contrast, SplitPlot, Value

Point = TypeVar("Point", bound=Hashable)
ValueByRound = Mapping[int, float]
"""Round -> the session's value."""

WIDEST = math.log(3)
"""Half the width (of a logarithm) beyond which an interval says nothing: from a third to three times."""
MOST_FURTHER = 50
"""Further sessions beyond which no number is named."""


@dataclass(frozen=True)
class SessionModel(Generic[Point]):
    """Session values of one metric at all points.

    Attributes:
        values: point -> round -> value, zero or above.
        server_of: point -> the server whose sessions it shares with other loads.
        block_of: point and round -> the block: what is shared by the sessions of a round.
    """

    values: Mapping[Point, ValueByRound]
    server_of: Callable[[Point], Hashable]
    block_of: Callable[[Point, int], Hashable]

    def mean(self, point: Point, level: float = LEVEL, of: int = 1) -> Estimate:
        """Mean over the point's sessions, with an interval about what further rounds would give as well.

        With `of`, the interval holds for any that was chosen of so many points (Bonferroni).
        """
        values = list(self.values[point].values())
        centre, sessions = fmean(values), len(values)
        if sessions < 2 or min(values) <= 0:
            return Estimate(centre, how=ONE_SESSION if sessions < 2 else "not all above zero: no interval")
        half = _half_width(self._fit.contrast({point: 1.0}), bonferroni_level(of, level))
        if half > WIDEST:
            return Estimate(centre, how=f"{sessions} sessions are too few for an interval")
        chosen = f", for the one chosen of {of} points" if of > 1 else ""
        how = f"{percent_text(level)} interval over {sessions} sessions{chosen}"
        return Estimate(centre, centre * math.exp(-half), centre * math.exp(half), how)

    def ratio(self, above: Point, below: Point, level: float = LEVEL, among: int = 2) -> Estimate:
        """Ratio `above` / `below` of the (geometric) means of two points, with its interval.

        Rounds that both share are taken out. With `among`, the intervals of all pairs of so many points hold together
        (studentized range): as a comparison with the best of them takes, which was chosen for being the best.
        No interval where either has one session, where some sessions are 0, or where it would say nothing. Where all of
        one are 0 and none of the other, the ratio is 0 or infinite, and so are both ends: it says which is more, and
        not how many times.
        """
        values, other = list(self.values[above].values()), list(self.values[below].values())
        if min(*values, *other) <= 0:
            return _ratio_with_zeros(values, other)
        contrast = self._fit.contrast({above: 1.0, below: -1.0})
        counts = f"{len(values)} and {len(other)} sessions"
        if min(len(values), len(other)) < 2:
            return Estimate(math.exp(contrast.value))
        pairs = f", for all pairs of {among} points" if among > 2 else ""
        return _ratio_estimate(contrast, level, among, counts, pairs)

    def mean_ratio(self, pairs: Collection[tuple[Point, Point]], level: float = LEVEL) -> Estimate:
        """Geometric mean of above / below over pairs of points, all repeated and above zero; one pair alone may differ."""
        weights = {point: sign / len(pairs) for pair in pairs for point, sign in zip(pair, (1.0, -1.0), strict=True)}
        contrast = self._fit.contrast(weights)
        return _ratio_estimate(contrast, level, 2, "all sessions", f", mean over {len(pairs)} points")

    def slope(self, position: Mapping[Point, float], level: float = LEVEL) -> Estimate:
        """Slope (least squares) of the logarithm of the values over the `position` of each point, with its interval."""
        centre = fmean(position.values())
        squares = sum((x - centre) ** 2 for x in position.values())
        contrast = self._fit.contrast({point: (x - centre) / squares for point, x in position.items()})
        sessions = min(len(self.values[point]) for point in position)
        if sessions < 2 or not contrast.dof:
            return Estimate(contrast.value)
        half, how = _half_width(contrast, level), f"{percent_text(level)} interval over {sessions} sessions of each"
        if half > WIDEST:
            return Estimate(contrast.value, how=f"{sessions} sessions of each are too few for an interval")
        return Estimate(contrast.value, contrast.value - half, contrast.value + half, how)

    def further_sessions(self, above: Point, below: Point, level: float = LEVEL, among: int = 2) -> int | None:
        """How many further sessions of each would show this difference, if it is as measured; None beyond MOST_FURTHER."""
        sessions = min(len(self.values[point]) for point in (above, below))
        if sessions < 2 or min(*self.values[above].values(), *self.values[below].values()) <= 0:
            return None
        contrast = self._fit.contrast({above: 1.0, below: -1.0})

        def is_shown(further: int) -> bool:
            total = sessions + further
            later = Contrast(0.0, contrast.variance * sessions / total, contrast.dof * (total - 1) / (sessions - 1))
            return _half_width(later, level, among) < abs(contrast.value)

        if not contrast.dof or not is_shown(MOST_FURTHER):
            return None
        return bisect_left(range(MOST_FURTHER), True, key=is_shown)

    def distance_of_two_groups(self) -> float | None:
        """How many times more the sessions of one group give than those of the other; None where there are no two groups."""
        distance = distance_of_two_groups(self._fit.session_effects()) if self.values else None
        return None if distance is None else math.exp(distance)

    @cached_property
    def _fit(self) -> SplitPlot:
        """Fit to the points whose values are all above zero."""
        return SplitPlot(
            [
                Value(point, self.server_of(point), self.block_of(point, number), math.log(value))
                for point, rounds in self.values.items()
                if rounds and min(rounds.values()) > 0
                for number, value in rounds.items()
            ]
        )


def _half_width(contrast: Contrast, level: float, among: int = 2) -> float:
    """Half the width of the interval of a contrast; infinite where its variance is not known."""
    return range_quantile(level, contrast.dof, among) * math.sqrt(contrast.variance) if contrast.dof else math.inf


def _ratio_estimate(contrast: Contrast, level: float, among: int, counts: str, family: str) -> Estimate:
    """Ratio with its interval; without one where it would say neither which is more nor about how many times."""
    half, value = _half_width(contrast, level, among), math.exp(contrast.value)
    if half > max(WIDEST, abs(contrast.value)):
        return Estimate(value, how=f"{counts} are too few for an interval")
    how = f"{percent_text(level)} interval over {counts}{family}"
    return Estimate(value, value * math.exp(-half), value * math.exp(half), how)


def _ratio_with_zeros(above: Collection[float], below: Collection[float]) -> Estimate:
    """Ratio of the arithmetic means."""
    value = ratio_of_values(fmean(above), fmean(below))
    if min(len(above), len(below)) < 2:
        return Estimate(value)
    if max(above) == 0 < min(below) or max(below) == 0 < min(above):
        return Estimate(value, value, value, "0 in every session of one, in none of the other")
    return Estimate(value, how="0 in some sessions: no interval")
