"""A sweep as a split-plot experiment: rounds are blocks, sessions (a server's launch in a round) whole plots, loads sub-plots.

    log value = point + round + session + error

What a launch brings with it is in all loads of its session, so two servers differ by chance more than two loads of one server
do. Three variances are therefore estimated apart: of rounds, of sessions within a round, of loads within a session. They come from the
strata of the analysis of variance, for unbalanced data by Henderson's method 3 (Searle, Casella and McCulloch 1992, "Variance
components", chapters 4 and 5). A comparison has those parts that it does not cancel, with the degrees of freedom of
Satterthwaite (1946), "An approximate distribution of estimates of variance components", Biometrics Bulletin 2. Mean squares of sessions
and of loads are pooled over servers that vary alike (strata.py).

bench/verdicts.py holds what is promised against simulated sweeps, also of kinds that the model does not know.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from servegrid.stats.strata import Floats, Integers, Stratum

FEW_DOF = 3
"""Below this many degrees of freedom of sessions, Satterthwaite's rule gives too many where launches differ (10 to 12 % false
alarms for two servers in two rounds): then they alone are taken."""
_NONE = 1e-9
"""Share of a weight or a square below which it is rounding."""


@dataclass(frozen=True)
class Value:
    """A session's value at a point, as its natural logarithm.

    Attributes:
        point: what was measured, such as server id and load id.
        server: whose sessions the loads share.
        round: the block: the sessions of a round may have something in common.
        log: the logarithm.
    """

    point: Hashable
    server: Hashable
    round: Hashable
    log: float


@dataclass(frozen=True)
class Contrast:
    """A weighted sum of points' mean logarithms: its value, its variance, and the degrees of freedom of that; 0 if unknown."""

    value: float
    variance: float
    dof: float


@dataclass(frozen=True)
class _MeanSquare:
    """A mean square, its degrees of freedom (0: unknown), and how often the variances of sessions and rounds are in it."""

    square: float
    dof: float
    of_sessions: float = 0.0
    of_rounds: float = 0.0


class SplitPlot:
    """Fit of the model to the values of one metric at all points."""

    def __init__(self, values: Sequence[Value]) -> None:
        self._logs = np.array([value.log for value in values], dtype=float)
        self.points, self._point = _numbered(value.point for value in values)
        _, self._server = _numbered(value.server for value in values)
        _, self._round = _numbered(value.round for value in values)
        _, self._session = _numbered((value.server, value.round) for value in values)
        self._counts = np.bincount(self._point)
        self._server_of_point = self._server[np.unique(self._point, return_index=True)[1]]

    def contrast(self, weights: Mapping[Any, float]) -> Contrast:
        """Contrast of points, with `weights` by point.

        Where the weights add up to 0, the effects of rounds that have points in common are taken out; what is left of them counts
        as doubt, such as that of other rounds in another run.
        """
        by_point = np.zeros(len(self.points))
        by_point[[self.points[point] for point in weights]] = list(weights.values())
        by_value = (by_point / self._counts)[self._point]
        if abs(by_point.sum()) < _NONE:
            by_value = by_value - self._round_effects.T @ np.bincount(self._round, by_value)
        return Contrast(float(by_value @ self._logs), *self._doubt(by_value, np.flatnonzero(by_point)))

    def session_effects(self) -> list[dict[int, float]]:
        """Effects of each server's sessions, what rounds do among them, by the round's number: means of their loads' deviations."""
        means = np.bincount(self._session, self._deviations) / np.bincount(self._session)
        first = np.unique(self._session, return_index=True)[1]
        effects: list[dict[int, float]] = [{} for _ in range(self._server.max() + 1)]
        for server, number, mean in zip(self._server[first], self._round[first], means, strict=True):
            effects[server][int(number)] = float(mean)
        return effects

    def _doubt(self, weights: Floats, points: Integers) -> tuple[float, float]:
        """Variance of the sum of the logarithms with these weights, in which `points` take part; and its degrees of freedom."""
        error, error_dof = self._errors.mean_square(points)
        session, session_dof = self._sessions.mean_square(np.unique(self._server_of_point[points]))
        of_round, of_session, of_error = self._shares(weights)
        parts = [
            (of_round, self._rounds.square, self._rounds.dof),
            (of_session, max(session, error), session_dof),
            (of_error, error, error_dof),
        ]
        parts = [part for part in parts if part[0]]
        if not parts or not all(dof for _, _, dof in parts):
            return 0.0, 0.0
        few = session_dof if of_session and not of_round and session_dof < FEW_DOF else np.inf
        return sum(share * square for share, square, _ in parts), min(_satterthwaite(parts), few)

    def _shares(self, weights: Floats) -> tuple[float, float, float]:
        """How often the mean squares of rounds, sessions and errors are in the variance of the sum with these weights.

        The squared weights, summed by round, by session and by value, say how often each variance is in it; a mean square
        has its own variance, and those below it, in known numbers (as _MeanSquare tells).
        """
        errors = float(weights @ weights)
        sessions, rounds = (_sum_of_squares(group, weights) for group in (self._session, self._round))
        of_round = rounds / self._rounds.of_rounds if self._rounds.dof and rounds > _NONE * errors else 0.0
        left = sessions - of_round * self._rounds.of_sessions
        of_session = left / self._session_size if self._sessions.dof and left > _NONE * errors else 0.0
        of_error = errors - of_round - of_session
        return of_round, of_session, of_error if of_error > _NONE * errors else 0.0

    @cached_property
    def _deviations(self) -> Floats:
        """The logarithms less the means of their points."""
        return self._logs - (np.bincount(self._point, self._logs) / self._counts)[self._point]

    def _without(self, basis: Floats) -> Floats:
        """The deviations less what these columns explain."""
        return self._deviations - basis @ (basis.T @ self._deviations)

    @cached_property
    def _round_columns(self) -> Floats:
        return _columns(self._round, self._point)

    @cached_property
    def _round_basis(self) -> Floats:
        """Orthonormal columns of what rounds explain beyond points; shape (values, degrees of freedom)."""
        return _basis(self._round_columns)

    @cached_property
    def _round_effects(self) -> Floats:
        """Matrix that gives the effects of rounds from the logarithms; shape (rounds, values)."""
        return np.linalg.pinv(self._round_columns, rcond=1e-8)

    @cached_property
    def _rounds(self) -> _MeanSquare:
        dof = self._round_basis.shape[1]
        if not dof:
            return _MeanSquare(0.0, 0.0)
        groups = ((self._session, self._round), self._round_basis.T)
        of_sessions, of_rounds = (sum(_sum_of_squares(group, c) for c in groups[1]) / dof for group in groups[0])
        return _MeanSquare(
            float(((self._round_basis.T @ self._deviations) ** 2).sum()) / dof, dof, of_sessions, of_rounds
        )

    @cached_property
    def _within_sessions(self) -> tuple[Floats, Floats]:
        """What sessions do not explain of the deviations, and how many degrees of freedom each server's sessions take."""
        residuals, ranks = self._deviations.copy(), np.zeros(self._server.max() + 1)
        for server in range(len(ranks)):
            members = np.flatnonzero(self._server == server)
            basis = _basis(_columns(_numbered(self._session[members])[1], _numbered(self._point[members])[1]))
            residuals[members] -= basis @ (basis.T @ residuals[members])
            ranks[server] = basis.shape[1]
        return residuals, ranks

    @cached_property
    def _errors(self) -> Stratum:
        """Squares of loads within sessions, by point; of a server's degrees of freedom each point has its part."""
        residuals, ranks = self._within_sessions
        spare = self._counts - 1.0
        of_server = np.bincount(self._server_of_point, spare)
        part = np.divide(of_server - ranks, of_server, out=np.zeros_like(of_server), where=of_server > 0)
        squares, dofs = np.bincount(self._point, residuals**2).astype(float), spare * part[self._server_of_point]
        return Stratum(squares, dofs, self._server_of_point)

    @cached_property
    def _sessions(self) -> Stratum:
        """Squares of sessions within rounds, by server; of the rounds' degrees of freedom each server has paid its part."""
        residuals, ranks = self._within_sessions
        squares = np.bincount(self._server, self._without(self._round_basis) ** 2 - residuals**2)
        part = 1 - self._rounds.dof / ranks.sum() if ranks.sum() else 0.0
        return Stratum(np.maximum(squares, 0.0), ranks * part, np.arange(len(ranks)))

    @cached_property
    def _session_size(self) -> float:
        """How often the variance of sessions is in their mean square: the number of loads, where all sessions have the same."""
        explained = float((1 - 1 / self._counts)[self._point].sum())
        return (explained - self._rounds.of_sessions * self._rounds.dof) / self._sessions.dof


def _satterthwaite(parts: Sequence[tuple[float, float, float]]) -> float:
    """Degrees of freedom of a sum of mean squares, given as (weight, mean square, degrees of freedom)."""
    total = sum(weight * square for weight, square, _ in parts)
    doubt = sum((weight * square) ** 2 / dof for weight, square, dof in parts)
    return total**2 / doubt if doubt else min(dof for _, _, dof in parts)


def _numbered(keys: Iterable[Hashable]) -> tuple[dict[Hashable, int], Integers]:
    """The different keys with a number each, and the number of every key."""
    numbers: dict[Hashable, int] = {}
    return numbers, np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


def _sum_of_squares(group: Integers, values: Floats) -> float:
    """Sum over the groups of the squared sum of their values."""
    return float((np.bincount(group, values) ** 2).sum())


def _columns(group: Integers, point: Integers) -> Floats:
    """Columns that tell with 1 and 0 which values are in which group, less their means at each point; shape (values, groups)."""
    columns = np.eye(group.max() + 1)[group]
    means = np.zeros((point.max() + 1, columns.shape[1]))
    np.add.at(means, point, columns)
    return columns - (means / np.bincount(point)[:, None])[point]


def _basis(columns: Floats) -> Floats:
    """Orthonormal basis of what the columns span; shape (values, rank)."""
    left, singular, _ = np.linalg.svd(columns, full_matrices=False)
    return left[:, singular > 1e-8 * max(1.0, singular[0])]
