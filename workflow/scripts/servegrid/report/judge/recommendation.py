"""Recommended setting: the best measured one for the objective, and how surely it beats the others."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from servegrid.report.evidence import MEASURED, Evidence, direction
from servegrid.results.warnings import DISQUALIFYING_WARNINGS
from servegrid.stats.intervals import ROUNDING, Estimate

METRICS: Mapping[str, tuple[str, ...]] = {
    "max_throughput": ("output_tokens_per_s", "requests_per_s"),
    "max_throughput_under_slo": ("output_tokens_per_s", "requests_per_s"),
    "min_cost": ("usd_per_million_output_tokens",),
    "min_energy": ("j_per_output_token",),
}
"""Metrics of each objective: the first that any row knows is used."""
UNITS = {
    "output_tokens_per_s": "output tokens/s",
    "requests_per_s": "requests/s",
    "usd_per_million_output_tokens": "USD per million output tokens",
    "j_per_output_token": "J per output token, idle power included",
}


@dataclass(frozen=True)
class Rival:
    """Another setting, and how many times better the recommended one is."""

    row: int
    effect: Estimate

    @property
    def beaten(self) -> bool:
        """Whether the difference is shown: the interval lies wholly above 1."""
        return self.effect.low is not None and self.effect.low > 1 + ROUNDING


@dataclass(frozen=True)
class Recommendation:
    """The recommended row and the others it was compared with.

    Attributes:
        objective: of the settings.
        metric: the column that rows were ranked by.
        row: number of the best row, None if there is none to recommend.
        estimate: its value of the metric, with the interval.
        rivals: all others that were considered, the next best first.
        left_out: why rows were not considered -> how many.
        ahead: rows not considered that measured better than the recommended -> why not, the best first.
        further_sessions: of each of the two that would show it better than the next best, if it is as measured; None if unknown
            or very many.
        two_groups: how many times more one group of all sessions gives than another; None where they are one.
    """

    objective: str
    metric: str
    row: int | None = None
    estimate: Estimate | None = None
    rivals: tuple[Rival, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    ahead: Mapping[int, str] = field(default_factory=dict)
    further_sessions: int | None = None
    two_groups: float | None = None

    @property
    def second(self) -> Rival | None:
        """The next best setting; None without rivals."""
        return self.rivals[0] if self.rivals else None

    @property
    def undecided(self) -> list[Rival]:
        """Rivals against which no difference is shown."""
        return [rival for rival in self.rivals if not rival.beaten]


def recommend(evidence: Evidence) -> Recommendation:
    """Recommendation of the best row for the objective of the settings.

    Considered are rows that were measured here wholly, without the client setting the pace, within the SLOs, and that
    are neither garbled nor UNTRUSTED. The intervals of all pairs hold together (studentized range), since
    the recommended one was chosen for being ahead: in 95 % of sweeps no setting that is as good is called beaten. The
    interval of its own value holds for any one that is chosen of so many.
    """
    objective = evidence.settings.objective
    metrics = METRICS[objective]
    metric = next((name for name in metrics if len(_measured_rows(evidence, name))), metrics[0])
    reasons = _left_out_reasons(evidence, metric)
    left_out = Counter(reason for reason in reasons.values() if reason)
    considered = evidence.rows.loc[[row for row, reason in reasons.items() if not reason]]
    if considered.empty:
        return Recommendation(objective, metric, left_out=left_out)
    ranked = evidence.ranked([int(row) for row in considered.index], metric)
    best, others = ranked[0], _distinct_others(evidence, ranked)
    count = 1 + len(others)
    rivals = tuple(Rival(row, evidence.times_better(best, row, metric, among=count)) for row in others)
    ahead = _better_but_left_out(evidence, metric, best, reasons)
    further = evidence.further_sessions(best, others[0], metric, count) if others else None
    estimate, groups = evidence.estimate(best, metric, of=count), evidence.distance_of_two_groups(metric)
    return Recommendation(objective, metric, best, estimate, rivals, left_out, ahead, further, groups)


def _measured_rows(evidence: Evidence, metric: str) -> pd.DataFrame:
    """Usable rows measured here whose metric is above zero."""
    rows = evidence.usable(metric)
    return rows[(rows["source"] == MEASURED) & (rows[metric] > 0)]


def _distinct_others(evidence: Evidence, ranked: list[int]) -> list[int]:
    """All ranked rows but the first, each measurement once."""
    first_row = {evidence.ids[row]: row for row in reversed(ranked)}
    return [row for row in ranked[1:] if evidence.ids[row] == ("", "") or first_row[evidence.ids[row]] == row]


def _left_out_reasons(evidence: Evidence, metric: str) -> dict[int, str]:
    """Row measured here -> why it is not considered; empty if it is."""
    rows, unfit = evidence.rows[evidence.rows["source"] == MEASURED], evidence.unfit(metric)
    return {int(row): unfit[row] or _slo_reason(evidence, int(row), metric) for row in rows.index}


def _slo_reason(evidence: Evidence, row: int, metric: str) -> str:
    """Why a usable row is not considered: a metric of zero, or an SLO broken or not known to be kept; empty if it is."""
    if evidence.rows[metric].iloc[row] == 0:
        return f"without {metric}"
    latencies = {name: evidence.rows[name].iloc[row] for name in evidence.settings.slo}
    if any(value > evidence.settings.slo[name] for name, value in latencies.items()):
        return "beyond an SLO"
    unknown = [name for name, value in latencies.items() if not np.isfinite(value)]
    return f"not known to keep an SLO ({unknown[0]})" if unknown else ""


def _better_but_left_out(evidence: Evidence, metric: str, best: int, why: Mapping[int, str]) -> dict[int, str]:
    """Rows that measured better and were left out for their doubt -> why: each may truly be better."""
    values, sign = evidence.rows[metric], 1 if direction(metric) == "lower" else -1
    doubts = ("partial", "client-bound", *(warning.phrase for warning in DISQUALIFYING_WARNINGS.get(metric, ())))
    doubtful = {row: reason for row, reason in why.items() if reason in doubts}
    ahead = [row for row in doubtful if values.iloc[row] > 0 and sign * values.iloc[row] < sign * values.iloc[best]]
    return {row: doubtful[row] for row in sorted(ahead, key=lambda row: sign * float(values.iloc[row]))}
