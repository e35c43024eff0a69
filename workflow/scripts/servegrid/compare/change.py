"""A difference between two runs, and its verdict."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from servegrid.results.columns import BETTER
from servegrid.stats.intervals import Estimate

Judgement = Literal["better", "worse", "no difference shown", "no doubt known"]
Verdict = Judgement | Literal["gone", "new", "client-bound", "another load", "garbled", "untrusted", "other lengths"]
COMPARED = ("better", "worse", "no difference shown")
"""Verdicts on a metric that was compared."""
INCOMPARABLE = ("gone", "new", "client-bound", "another load", "garbled")
"""Verdicts on a point that keep its metrics from being compared."""
METRICS = (
    *("time_s", "output_tokens_per_s", "ttft_ms_p50", "itl_ms_p50", "e2e_ms_p50"),
    *("ttft_ms_p99", "itl_ms_p99", "e2e_ms_p99", "j_per_output_token", "startup_s"),
)
"""Metrics compared where none are named: time, throughput, medians, tails, energy and start-up."""


@dataclass(frozen=True)
class Change:
    """One metric or fact of one point, or of several together: after against before.

    Attributes:
        axes: axis -> value of the point, or of the server for a metric of the launch; empty for several together.
        metric: column of results/sessions; for a fact `texts`, or a column of results/points (`status`, `warnings`,
            `client_bound`, `load_id`).
        before, after: mean over sessions, None for several points; a fact's values; the warnings of an untrusted metric.
        ratio: after / before, with its interval where there is one; over several points their geometric mean. None for
            a fact, and where a session's value is zero.
        points: number of points, or servers, that the ratio is taken over.
    """

    axes: dict[str, str]
    metric: str
    before: Any
    after: Any
    ratio: Estimate | None
    verdict: Verdict
    points: int = 1

    @property
    def judged(self) -> bool:
        """Whether a metric was compared, so that a difference could have been shown."""
        return self.metric in BETTER and self.verdict in COMPARED

    def row(self) -> dict[str, Any]:
        """Flat row for a table."""
        estimate = asdict(self.ratio) if self.ratio else dict.fromkeys(("value", "low", "high", "how"))
        ratio_columns = {"ratio": estimate["value"], "ratio_low": estimate["low"], "ratio_high": estimate["high"]}
        facts = {"metric": self.metric, "verdict": self.verdict, "before": self.before, "after": self.after}
        return self.axes | {"points": self.points} | facts | ratio_columns | {"doubt": estimate["how"]}
