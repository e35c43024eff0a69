"""Session values of one metric at one point, or of one server where it is the server's, in both runs."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from servegrid.compare.runs import PointInRun, PointPair
from servegrid.plan.grid import LOAD_AXES
from servegrid.results.warnings import distrust

LAUNCH_METRICS = ("startup_s",)
"""Metrics of a launch: every load of the server has the same."""


@dataclass(frozen=True)
class SessionValues:
    """One metric of one point or server: its session values (zero or above) by round, in both runs; empty where a run knows none.

    `against`: of both runs, the warning with which the metric is not to be relied on; None where there is none.
    """

    axes: dict[str, str]
    before: Mapping[int, float]
    after: Mapping[int, float]
    against: tuple[str | None, str | None] = (None, None)

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


def metric_values(pairs: Sequence[PointPair], metric: str) -> list[SessionValues]:
    """The metric at points that both runs have measured wholly in a session or more, or on their servers."""
    points = [_at(pair, metric) for pair in pairs if _measured(pair.before) and _measured(pair.after)]
    if metric not in LAUNCH_METRICS:
        return points
    servers: dict[tuple[str, ...], list[SessionValues]] = defaultdict(list)
    for point in points:
        servers[point.server].append(point)
    return [_of_server(found) for found in servers.values()]


def _of_server(points: Sequence[SessionValues]) -> SessionValues:
    """Of each round, what the first load says that knows it."""
    axes = {axis: value for axis, value in points[0].axes.items() if axis not in LOAD_AXES}
    before = {rep: value for point in reversed(points) for rep, value in point.before.items()}
    after = {rep: value for point in reversed(points) for rep, value in point.after.items()}
    return SessionValues(axes, before, after)


def _at(pair: PointPair, metric: str) -> SessionValues:
    assert pair.before is not None and pair.after is not None
    against = _against(pair.before, metric), _against(pair.after, metric)
    return SessionValues(pair.axes, _by_round(pair.before, metric), _by_round(pair.after, metric), against)


def _measured(side: PointInRun | None) -> bool:
    return side is not None and bool(len(side.sessions))


def _against(side: PointInRun, metric: str) -> str | None:
    return distrust(side.point.get("warnings"), metric) or None


def _by_round(side: PointInRun, metric: str) -> Mapping[int, float]:
    if metric not in side.sessions:
        return {}
    rounds = zip(side.sessions["rep"], side.sessions[metric], strict=True)
    return {int(rep): float(value) for rep, value in rounds if math.isfinite(value) and value >= 0}
