"""The setting to deploy: the best measured one for the objective, and how surely it beats the others."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from servegrid.intervals import Estimate, shared_level
from servegrid.phrases import GARBLED
from servegrid.report.evidence import MEASURED, Evidence, direction
from servegrid.report.points import bound

METRICS: Mapping[str, tuple[str, ...]] = {
    "max_throughput": ("output_tokens_per_s", "requests_per_s"),
    "max_throughput_under_slo": ("output_tokens_per_s", "requests_per_s"),
    "min_cost": ("usd_per_million_output_tokens",),
    "min_energy": ("j_per_output_token",),
}
"""What each objective is measured by: the first that any row knows."""
UNITS = {
    "output_tokens_per_s": "output tokens/s",
    "requests_per_s": "requests/s",
    "usd_per_million_output_tokens": "USD per million output tokens",
    "j_per_output_token": "J per output token",
}


@dataclass(frozen=True)
class Rival:
    """Another setting, and how many times better the recommended one is."""

    row: int
    effect: Estimate

    @property
    def beaten(self) -> bool:
        """Whether the difference is shown: the interval lies wholly above 1."""
        return self.effect.low is not None and self.effect.low > 1


@dataclass(frozen=True)
class Recommendation:
    """The choice.

    Attributes:
        objective: of the settings.
        metric: what it was measured by.
        row: number of the best row, None if there is none to recommend.
        figure: its metric with the interval.
        rivals: all others that were considered, from the next best on.
        left_out: why rows were not considered -> how many.
    """

    objective: str
    metric: str
    row: int | None = None
    figure: Estimate | None = None
    rivals: tuple[Rival, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def second(self) -> Rival | None:
        """The next best."""
        return self.rivals[0] if self.rivals else None

    @property
    def undecided(self) -> list[Rival]:
        """Those against which no difference is shown."""
        return [rival for rival in self.rivals if not rival.beaten]


def recommend(evidence: Evidence) -> Recommendation:
    """Choose the best row for the objective of the settings.

    Considered is what was measured here wholly, without the client setting the pace, within the SLOs, and not garbled. Each of the n others
    is compared at a level of 1 - 5 % / n, so that a setting that is truly the best is the recommended one or among the
    undecided in 95 % of all sweeps, though the recommended one was chosen for being ahead: the reasoning of Hsu (1981),
    "Simultaneous confidence intervals for all distances from the best", with Bonferroni in place of Dunnett.
    """
    objective = evidence.settings.objective
    known = METRICS[objective]
    metric = next((name for name in known if len(_measured(evidence, name))), known[0])
    rows = _measured(evidence, metric)
    garbled = evidence.rows.loc[rows.index, "warnings"].str.contains(GARBLED, regex=False)
    sound = rows[~garbled]
    good = sound[_within_slo(evidence, sound)]
    left_out = _left_out(evidence, metric, len(sound) - len(good)) | (
        {GARBLED: count} if (count := int(garbled.sum())) else {}
    )
    if good.empty:
        return Recommendation(objective, metric, left_out=left_out)
    ranked = good.sort_values(metric, ascending=direction(metric) == "lower", kind="stable").index
    best, others = int(ranked[0]), _others(evidence, [int(row) for row in ranked])
    level = shared_level(len(others))
    rivals = tuple(Rival(row, evidence.times_better(best, row, metric, level)) for row in others)
    return Recommendation(objective, metric, best, evidence.estimate(best, metric), rivals, left_out)


def _measured(evidence: Evidence, metric: str) -> pd.DataFrame:
    rows = evidence.usable(metric)
    return rows[rows["source"] == MEASURED]


def _within_slo(evidence: Evidence, rows: pd.DataFrame) -> "pd.Series[bool]":
    mask = pd.Series(True, rows.index)
    for name, limit in evidence.settings.slo.items():
        mask &= evidence.rows.loc[rows.index, name] <= limit
    return mask


def _others(evidence: Evidence, ranked: list[int]) -> list[int]:
    """The rest, without rows that are the best one under another name (`2` and `ngram:2`)."""
    ids = evidence.rows[["server_id", "load_id"]].apply(tuple, axis=1)
    return [row for row in ranked[1:] if ids.iloc[row] != ids.iloc[ranked[0]] or ids.iloc[row] == ("", "")]


def _left_out(evidence: Evidence, metric: str, over_slo: int) -> dict[str, int]:
    rows = evidence.rows[evidence.rows["source"] == MEASURED]
    reasons = Counter(str(status) for status in rows["status"] if status != "ok")
    whole = rows[rows["status"] == "ok"]
    reasons["client-bound"] = int(bound(whole).sum())
    reasons[f"without {metric}"] = int((whole[metric].isna() & ~bound(whole)).sum())
    reasons["beyond an SLO, or not known to keep it"] = over_slo
    return {reason: count for reason, count in reasons.items() if count}
