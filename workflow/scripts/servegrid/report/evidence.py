"""The rows that comparisons rest on: whole, not set by the client, not to be distrusted; and their sessions if measured here."""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd

from servegrid.report.result_table import ResultTable
from servegrid.report.settings import Settings
from servegrid.results.axes import level_label
from servegrid.results.columns import BETTER
from servegrid.results.points import COMPARABLE_STATUSES, PUBLISHED, client_bound_rows
from servegrid.results.session_values import ID_COLUMNS, PointIds, ValueByRound, has_value, session_values_by_point
from servegrid.results.warnings import RowWarning, disqualifying_warning
from servegrid.stats import intervals
from servegrid.stats.intervals import Estimate
from servegrid.stats.noise import Noise, estimate_noise

MEASURED = "measured"
NOT_REPEATED = "published: no repeats, no doubt known"
OF_ALL_ALONE = "no session has enough requests for it by itself: no doubt known"
"""A percentile of a point may rest on the requests of all its sessions."""


@dataclass(frozen=True)
class Evidence:
    """Rows to compare.

    Attributes:
        rows: prepared points, published ones among them, with `source` (`measured`, or who published).
        sessions: results/sessions.
        settings: of the report, with the axes of the published rows.
    """

    rows: pd.DataFrame
    sessions: pd.DataFrame
    settings: Settings

    @classmethod
    def of(cls, table: ResultTable) -> "Evidence":
        """Take the rows of a report, measured and published."""
        source = table.rows["source"].where(table.rows["status"] == PUBLISHED, MEASURED)
        return cls(table.rows.assign(source=source), table.sessions, table.settings)

    @property
    def sources(self) -> list[str]:
        """`measured`, then the publications."""
        return [MEASURED, *dict.fromkeys(self.rows.loc[self.rows["source"] != MEASURED, "source"])]

    def usable(self, metric: str, client_bound: bool = False) -> pd.DataFrame:
        """The rows that can be held against each other by `metric`: those that are not unfit.

        Their axes, `source` and the metric, under the row's number. With `client_bound`, those are among them.
        """
        fit = self.unfit(metric, client_bound) == ""
        chosen: pd.DataFrame = self.rows.loc[fit, [*self.settings.all_axes, "source", metric]]
        return chosen

    def unfit(self, metric: str, client_bound: bool = False) -> "pd.Series[str]":
        """Why each row is no evidence about `metric`, empty if it is: its status, `client-bound`, `without <metric>`, or a warning.

        With `client_bound`, a row that the client set the pace of is as good as any.
        """
        doubtful = self.rows["warnings"].map(lambda text: _phrase(disqualifying_warning(text, metric)))
        reasons: dict[str, pd.Series[bool]] = {
            "client-bound": self._bound & (not client_bound),
            f"without {metric}": ~has_value(self.rows, metric),
        }
        found = np.select(list(reasons.values()), list(reasons), doubtful)
        return pd.Series(found, self.rows.index).where(self._whole, self.rows["status"])

    def left_out(self, metric: str, client_bound: bool = False) -> Counter[str]:
        """Why rows measured here are no evidence about `metric` -> how many."""
        why = self.unfit(metric, client_bound)
        return Counter(why[(why != "") & (self.rows["source"] == MEASURED)])

    def estimate(self, row: int, metric: str, level: float = intervals.LEVEL) -> Estimate:
        """The row's number with its interval over sessions."""
        value = self._value(row, metric)
        if self._source(row) != MEASURED:
            return Estimate(value, how=NOT_REPEATED)
        values = list(self.by_round(row, metric).values())
        if not values:
            return Estimate(value, how=OF_ALL_ALONE)
        found = intervals.mean(values, level, self.noise(metric))
        return found if found.has_interval else Estimate(value, how=found.how)

    def times_better(
        self, row: int, other: int, metric: str, level: float = intervals.LEVEL, other_times: float = 1.0
    ) -> Estimate:
        """How many times better `row` is than `other` by `metric`, of which `other`'s is multiplied by `other_times`."""
        one, two = self.by_round(row, metric), self.by_round(other, metric)
        by_session = bool(one and two)
        if not by_session:
            one, two = {0: self._value(row, metric)}, {0: self._value(other, metric)}
        two = {rep: value * other_times for rep, value in two.items()}
        found = intervals.ratio(one, two, level, self.noise(metric))
        if not by_session:
            measured = MEASURED in (self._source(row), self._source(other))
            found = Estimate(found.value, how=OF_ALL_ALONE if measured else NOT_REPEATED)
        return found if direction(metric) == "higher" else found.inverse()

    def by_round(self, row: int, metric: str) -> ValueByRound:
        """The known values of the row's sessions, by round; empty for a published row."""
        if self._source(row) != MEASURED:
            return {}
        return self._all_rounds(metric).get((self.rows["server_id"].iloc[row], self.rows["load_id"].iloc[row]), {})

    def noise(self, metric: str) -> Noise:
        """How much the sessions of all points vary in `metric`."""
        if metric not in self._noises:
            self._noises[metric] = estimate_noise([list(each.values()) for each in self._all_rounds(metric).values()])
        return self._noises[metric]

    def _all_rounds(self, metric: str) -> dict[PointIds, dict[int, float]]:
        if metric not in self._rounds:
            self._rounds[metric] = session_values_by_point(self.sessions, metric)
        return self._rounds[metric]

    def same(self, row: int, other: int) -> bool:
        """Whether two rows are one measurement under two names: `2` and `ngram:2`, or other threads where arrivals are planned."""
        return self.ids[row] == self.ids[other] != ("", "")

    def words(self, row: int, axes: list[str]) -> str:
        """The row's place on `axes`: `gpu a6000, threads 128`."""
        return ", ".join(f"{axis} {level_label(self.rows[axis].iloc[row])}" for axis in axes)

    @cached_property
    def ids(self) -> list[PointIds]:
        """Server and load of every row; empty where it was measured elsewhere."""
        return list(zip(*(self.rows[name] for name in ID_COLUMNS), strict=True))

    @cached_property
    def _whole(self) -> "pd.Series[bool]":
        return self.rows["status"].isin(COMPARABLE_STATUSES)

    @cached_property
    def _bound(self) -> "pd.Series[bool]":
        return client_bound_rows(self.rows)

    @cached_property
    def _rounds(self) -> dict[str, dict[PointIds, dict[int, float]]]:
        """Session values by metric, filled as they are asked for."""
        return {}

    @cached_property
    def _noises(self) -> dict[str, Noise]:
        return {}

    def _source(self, row: int) -> str:
        return str(self.rows["source"].iloc[row])

    def _value(self, row: int, metric: str) -> float:
        return float(self.rows[metric].iloc[row])


def _phrase(warning: RowWarning | None) -> str:
    return warning.phrase if warning else ""


def direction(metric: str) -> Literal["higher", "lower"]:
    """Which way `metric` is better."""
    return BETTER[metric]
