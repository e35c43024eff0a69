"""Rows that comparisons may rest on: whole, not client-bound, without a warning; and their sessions."""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd

from servegrid.report.result_table import ResultTable
from servegrid.report.settings import Settings
from servegrid.report.sweep_model import evident_model
from servegrid.results.answer_lengths import LENGTH_COLUMNS, UNKNOWN_LENGTHS, is_unknown_length, length_ratio
from servegrid.results.axes import level_label
from servegrid.results.columns import BETTER, PER_ANSWER
from servegrid.results.points import COMPARABLE_STATUSES, PUBLISHED, client_bound_rows
from servegrid.results.session_values import ID_COLUMNS, PointIds, has_value, session_values_by_point
from servegrid.results.warnings import RowWarning, disqualifying_warning
from servegrid.stats import intervals
from servegrid.stats.intervals import Estimate, ratio_of_values
from servegrid.stats.session_model import SessionModel, ValueByRound

MEASURED = "measured"
NOT_REPEATED = "published: no repeats, no doubt known"
POOLED_ONLY = "no session has enough requests for it by itself: no doubt known"
"""A percentile of a point may rest on the requests of all its sessions."""
SAME_LOAD = "the same load as with fewer threads"
"""Why a level of threads is none: it has no fewer threads than requests, so it sends them all at once, as another such level does."""
PER_TOKEN = "; per output token, as the answers differ in length"
_REQUEST_COUNTS = ["requests_ok", "requests_short", "requests_failed"]


@dataclass(frozen=True)
class Evidence:
    """Rows to compare, with the sessions of those measured here.

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
        """Evidence from the rows of a report, measured and published."""
        source = table.rows["source"].where(table.rows["status"] == PUBLISHED, MEASURED)
        return cls(table.rows.assign(source=source), table.sessions, table.settings)

    @property
    def sources(self) -> list[str]:
        """`measured`, then the publications."""
        return [MEASURED, *dict.fromkeys(self.rows.loc[self.rows["source"] != MEASURED, "source"])]

    def usable(self, metric: str, client_bound: bool = False) -> pd.DataFrame:
        """Rows that can be compared by `metric`: those that are not unfit.

        Columns are the axes, `source` and the metric; the index is the row number. With `client_bound`, client-bound
        rows are included.
        """
        fit = self.unfit(metric, client_bound) == ""
        usable_rows: pd.DataFrame = self.rows.loc[fit, [*self.settings.all_axes, "source", metric]]
        return usable_rows

    def unfit(self, metric: str, client_bound: bool = False) -> "pd.Series[str]":
        """Reason why each row is no evidence about `metric`, empty if it is.

        It is the row's status, `client-bound`, `without <metric>`, a warning, or SAME_LOAD. With `client_bound`, client-bound
        rows are evidence too.
        """
        doubtful = self.rows["warnings"].map(lambda text: _phrase(disqualifying_warning(text, metric)))
        reasons: dict[str, pd.Series[bool]] = {
            "client-bound": self._bound & (not client_bound),
            f"without {metric}": ~has_value(self.rows, metric),
            UNKNOWN_LENGTHS: self._unknown_lengths & (metric in PER_ANSWER),
        }
        row_reasons = np.select(list(reasons.values()), list(reasons), doubtful)
        unfit = pd.Series(row_reasons, self.rows.index).where(self._whole, self.rows["status"])
        return unfit.mask(self.rows.index.isin(self._repeated_levels(self.rows[unfit == ""])), SAME_LOAD)

    def _repeated_levels(self, rows: pd.DataFrame) -> pd.Index:
        """Those of `rows` with no fewer threads than requests that are the same load as one of them with fewer threads."""
        requests = rows[_REQUEST_COUNTS].sum(axis=1, skipna=False)
        at_once = rows.assign(requests=requests)[rows["threads"] >= requests].sort_values("threads", kind="stable")
        axes = ["source", "requests", *(axis for axis in self.settings.all_axes if axis != "threads")]
        return at_once.index[at_once.duplicated(axes)]

    def left_out(self, metric: str, client_bound: bool = False) -> Counter[str]:
        """Reasons why rows measured here are no evidence about `metric`, with the number of rows."""
        reasons = self.unfit(metric, client_bound)
        return Counter(reasons[(reasons != "") & (self.rows["source"] == MEASURED)])

    def estimate(self, row: int, metric: str, level: float = intervals.LEVEL, of: int = 1) -> Estimate:
        """The row's value with its interval over sessions; with `of`, for a row that was chosen of so many."""
        value = self._value(row, metric)
        if self._source(row) != MEASURED:
            return Estimate(value, how=NOT_REPEATED)
        if not self._is_modelled(row, metric):
            return Estimate(value, how=POOLED_ONLY)
        session_mean = self._model(metric).mean(self.ids[row], level, of)
        return session_mean if session_mean.has_interval else Estimate(value, how=session_mean.how)

    def times_better(
        self,
        row: int,
        other: int,
        metric: str,
        level: float = intervals.LEVEL,
        other_times: float = 1.0,
        among: int = 2,
    ) -> Estimate:
        """Ratio by which `row` is better in `metric` than `other`, whose values are first multiplied by `other_times`.

        With `among`, the intervals of all pairs of so many rows hold together. Per output token where answers end by themselves
        and differ in length, and the metric goes with their length.
        """
        lengths = self.length_ratio(row, other, metric)
        other_times *= lengths if direction(metric) == "lower" else 1 / lengths
        if self._is_modelled(row, metric) and self._is_modelled(other, metric):
            estimate = self._model(metric).ratio(self.ids[row], self.ids[other], level, among)
        else:
            measured = MEASURED in (self._source(row), self._source(other))
            value = ratio_of_values(self._value(row, metric), self._value(other, metric))
            estimate = Estimate(value, how=POOLED_ONLY if measured else NOT_REPEATED)
        estimate = estimate.scaled(1 / other_times)
        estimate = estimate if lengths == 1 else replace(estimate, how=f"{estimate.how}{PER_TOKEN}")
        return estimate if direction(metric) == "higher" else estimate.inverse()

    def length_ratio(self, row: int, other: int, metric: str) -> float:
        """How many times as long the answers of `row` are, where `metric` goes with it and answers end by themselves; else 1."""
        return length_ratio(self._lengths[row], self._lengths[other], metric)

    def slope(self, position: Mapping[int, float], metric: str, level: float = intervals.LEVEL) -> Estimate:
        """Slope of the logarithm of `metric` over the `position` of rows measured here, each with values of its sessions."""
        return self._model(metric).slope({self.ids[row]: place for row, place in position.items()}, level)

    def further_sessions(self, row: int, other: int, metric: str, among: int) -> int | None:
        """How many further sessions of each row would show their difference, if it is as measured; None if unknown or very many."""
        if not (self._is_modelled(row, metric) and self._is_modelled(other, metric)):
            return None
        return self._model(metric).further_sessions(self.ids[row], self.ids[other], among=among)

    def ranked(self, rows: Sequence[int], metric: str) -> list[int]:
        """Row numbers, the best first: by sessions with what rounds did taken out, as comparisons are."""
        by_value = sorted(rows, key=lambda row: self._value(row, metric), reverse=direction(metric) == "higher")
        lead = {
            row: 1.0
            if row == by_value[0] or self.same_measurement(row, by_value[0])
            else self.times_better(row, by_value[0], metric).value
            for row in by_value
        }
        return sorted(by_value, key=lambda row: -lead[row])

    def distance_of_two_groups(self, metric: str) -> float | None:
        """How many times more of `metric` one group of sessions gives than another; None where they are one group."""
        return self._model(metric).distance_of_two_groups()

    def by_round(self, row: int, metric: str) -> ValueByRound:
        """Known session values of the row, by round; empty for a published row."""
        if self._source(row) != MEASURED:
            return {}
        return self._all_rounds(metric).get(self.ids[row], {})

    def _model(self, metric: str) -> SessionModel[PointIds]:
        """Model of the session values of `metric` at all points that are evidence about it."""
        if metric not in self._models:
            self._models[metric] = evident_model(self.rows, self._all_rounds(metric), metric)
        return self._models[metric]

    def _is_modelled(self, row: int, metric: str) -> bool:
        """Whether the row was measured here, and the model knows its sessions."""
        return self._source(row) == MEASURED and self.ids[row] in self._model(metric).values

    def _all_rounds(self, metric: str) -> dict[PointIds, dict[int, float]]:
        if metric not in self._rounds:
            self._rounds[metric] = session_values_by_point(self.sessions, metric)
        return self._rounds[metric]

    def same_measurement(self, row: int, other: int) -> bool:
        """Whether two rows are one measurement: speculation `2` and `ngram:2`, or other threads with planned arrivals."""
        return self.ids[row] == self.ids[other] != ("", "")

    def place_label(self, row: int, axes: list[str]) -> str:
        """The row's values on `axes` as a text: `gpu a6000, threads 128`."""
        return ", ".join(f"{axis} {level_label(self.rows[axis].iloc[row])}" for axis in axes)

    @cached_property
    def ids(self) -> list[PointIds]:
        """Server id and load id of every row; empty where it was measured elsewhere."""
        return list(zip(*(self.rows[name] for name in ID_COLUMNS), strict=True))

    @cached_property
    def _lengths(self) -> list[dict[Hashable, Any]]:
        """What is known of the length of each row's answers."""
        return self.rows[list(LENGTH_COLUMNS)].to_dict("records")

    @cached_property
    def _unknown_lengths(self) -> "pd.Series[bool]":
        return pd.Series(list(map(is_unknown_length, self._lengths)), self.rows.index, dtype=bool)

    @cached_property
    def _whole(self) -> "pd.Series[bool]":
        return self.rows["status"].isin(COMPARABLE_STATUSES)

    @cached_property
    def _bound(self) -> "pd.Series[bool]":
        return client_bound_rows(self.rows)

    @cached_property
    def _rounds(self) -> dict[str, dict[PointIds, dict[int, float]]]:
        """Session values by metric, cached."""
        return {}

    @cached_property
    def _models(self) -> dict[str, SessionModel[PointIds]]:
        """Models by metric, cached."""
        return {}

    def _source(self, row: int) -> str:
        return str(self.rows["source"].iloc[row])

    def _value(self, row: int, metric: str) -> float:
        return float(self.rows[metric].iloc[row])


def _phrase(warning: RowWarning | None) -> str:
    return warning.phrase if warning else ""


def direction(metric: str) -> Literal["higher", "lower"]:
    """`higher` or `lower`: which values of `metric` are better."""
    return BETTER[metric]
