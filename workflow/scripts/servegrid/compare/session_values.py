"""Session values of one metric in both runs: at one point, or at one server for metrics of the launch."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from servegrid.compare.runs import PointInRun, PointPair
from servegrid.plan.grid import LOAD_AXES
from servegrid.results.answer_lengths import length_ratio
from servegrid.results.warnings import RowWarning, disqualifying_warning

LAUNCH_METRICS = ("startup_s",)
"""Metrics of a launch: every load of the server has the same value."""


@dataclass(frozen=True)
class SessionValues:
    """Session values (zero or above) of one metric in both runs, by round, at one point or server; empty where unknown.

    `warnings`: per run, the warning that makes the metric untrustworthy; None where there is none. `tokens`: per run, the output
    tokens where the metric goes with the length of answers, which end by themselves and differ in it; else None.
    """

    axes: dict[str, str]
    before: Mapping[int, float]
    after: Mapping[int, float]
    warnings: tuple[RowWarning | None, RowWarning | None] = (None, None)
    tokens: tuple[float | None, float | None] | None = None

    @property
    def compared(self) -> bool:
        """Whether both runs know the metric, no warning speaks against it, and answers of other lengths do not."""
        return bool(self.before and self.after) and not any(self.warnings) and self.tokens is None

    @property
    def repeated(self) -> bool:
        """Whether both runs have the two sessions that an interval takes."""
        return min(len(self.before), len(self.after)) > 1

    @property
    def positive(self) -> bool:
        """Whether all values are above zero, as ratios need."""
        return all(value > 0 for run in (self.before, self.after) for value in run.values())

    @property
    def server(self) -> tuple[str, ...]:
        """Values on the axes that define its server."""
        return tuple(value for axis, value in self.axes.items() if axis not in LOAD_AXES)


def metric_values(pairs: Sequence[PointPair], metric: str) -> list[SessionValues]:
    """Values of the metric where both runs have a whole session: at points, or at servers for a metric of the launch."""
    points = [_point_values(pair, metric) for pair in pairs if _has_sessions(pair.before) and _has_sessions(pair.after)]
    if metric not in LAUNCH_METRICS:
        return points
    servers: dict[tuple[str, ...], list[SessionValues]] = defaultdict(list)
    for point in points:
        servers[point.server].append(point)
    return [_server_values(server_points) for server_points in servers.values()]


def _server_values(points: Sequence[SessionValues]) -> SessionValues:
    """Values of a server, in each round those of the first load that knows one."""
    axes = {axis: value for axis, value in points[0].axes.items() if axis not in LOAD_AXES}
    before = {rep: value for point in reversed(points) for rep, value in point.before.items()}
    after = {rep: value for point in reversed(points) for rep, value in point.after.items()}
    return SessionValues(axes, before, after)


def _point_values(pair: PointPair, metric: str) -> SessionValues:
    assert pair.before is not None and pair.after is not None
    warnings = _distrust_warning(pair.before, metric), _distrust_warning(pair.after, metric)
    before, after = pair.before.point, pair.after.point
    alike = length_ratio(before, after, metric) == 1
    tokens = None if alike else (before.get("output_tokens"), after.get("output_tokens"))
    return SessionValues(
        pair.axes, _values_by_round(pair.before, metric), _values_by_round(pair.after, metric), warnings, tokens
    )


def _has_sessions(side: PointInRun | None) -> bool:
    return side is not None and bool(len(side.sessions))


def _distrust_warning(side: PointInRun, metric: str) -> RowWarning | None:
    return disqualifying_warning(side.point.get("warnings"), metric)


def _values_by_round(side: PointInRun, metric: str) -> Mapping[int, float]:
    if metric not in side.sessions:
        return {}
    rounds = zip(side.sessions["rep"], side.sessions[metric], strict=True)
    return {int(rep): float(value) for rep, value in rounds if math.isfinite(value) and value >= 0}
