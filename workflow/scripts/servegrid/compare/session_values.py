"""Session values of one metric at one point, or of one server where it is the server's, in both runs."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from servegrid.compare.runs import Pair, Side
from servegrid.plan.grid import LOAD_AXES
from servegrid.results.warnings import RowWarning, disqualifying_warning

OF_SERVER = ("startup_s",)
"""Metrics of a launch: every load of the server has the same."""


@dataclass(frozen=True)
class Values:
    """One metric of one point or server: its session values (zero or above) by round, in both runs; empty where a run knows none.

    `against`: of both runs, the warning with which the metric is not to be relied on; None where there is none.
    """

    axes: dict[str, str]
    before: Mapping[int, float]
    after: Mapping[int, float]
    against: tuple[RowWarning | None, RowWarning | None] = (None, None)

    @property
    def compared(self) -> bool:
        """Whether both runs know the metric, and it is to be relied on."""
        return bool(self.before and self.after) and not any(self.against)

    @property
    def repeated(self) -> bool:
        """Whether both runs have the two sessions that an interval takes."""
        return min(len(self.before), len(self.after)) > 1

    @property
    def positive(self) -> bool:
        """Whether all values are above zero, as ratios take them."""
        return all(value > 0 for run in (self.before, self.after) for value in run.values())

    @property
    def server(self) -> tuple[str, ...]:
        """What tells its server from others."""
        return tuple(value for axis, value in self.axes.items() if axis not in LOAD_AXES)


def values_of(pairs: Sequence[Pair], metric: str) -> list[Values]:
    """The metric at points that both runs have measured wholly in a session or more, or on their servers."""
    points = [_at(pair, metric) for pair in pairs if _measured(pair.before) and _measured(pair.after)]
    if metric not in OF_SERVER:
        return points
    servers: dict[tuple[str, ...], list[Values]] = defaultdict(list)
    for point in points:
        servers[point.server].append(point)
    return [_of_server(found) for found in servers.values()]


def _of_server(points: Sequence[Values]) -> Values:
    """Of each round, what the first load says that knows it."""
    axes = {axis: value for axis, value in points[0].axes.items() if axis not in LOAD_AXES}
    before = {rep: value for point in reversed(points) for rep, value in point.before.items()}
    after = {rep: value for point in reversed(points) for rep, value in point.after.items()}
    return Values(axes, before, after)


def _at(pair: Pair, metric: str) -> Values:
    assert pair.before is not None and pair.after is not None
    against = _against(pair.before, metric), _against(pair.after, metric)
    return Values(pair.axes, _by_round(pair.before, metric), _by_round(pair.after, metric), against)


def _measured(side: Side | None) -> bool:
    return side is not None and bool(len(side.sessions))


def _against(side: Side, metric: str) -> RowWarning | None:
    return disqualifying_warning(side.point.get("warnings"), metric)


def _by_round(side: Side, metric: str) -> Mapping[int, float]:
    if metric not in side.sessions:
        return {}
    rounds = zip(side.sessions["rep"], side.sessions[metric], strict=True)
    return {int(rep): float(value) for rep, value in rounds if math.isfinite(value) and value >= 0}
