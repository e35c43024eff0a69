"""One difference between two runs, and what it is called."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from servegrid.results.columns import BETTER
from servegrid.stats.intervals import Estimate

Judgement = Literal["better", "worse", "no difference shown", "no doubt known"]
Verdict = Judgement | Literal["gone", "new", "client-bound", "another load", "garbled", "untrusted"]
COMPARED = ("better", "worse", "no difference shown")
"""Verdicts of a metric that was compared."""
INCOMPARABLE = ("gone", "new", "client-bound", "another load", "garbled")
"""Verdicts on a point of which no metric is compared."""
METRICS = (
    *("time_s", "output_tokens_per_s", "ttft_ms_p50", "itl_ms_p50", "e2e_ms_p50"),
    *("ttft_ms_p99", "itl_ms_p99", "e2e_ms_p99", "j_per_output_token", "startup_s"),
)
"""Metrics that are looked at where none are named: the middle, the tail, the energy and the start."""


@dataclass(frozen=True)
class Change:
    """One metric or fact of one point, or of several together, after against before.

    Attributes:
        axes: where the point stands, or the server for what is its own; empty for several together.
        metric: column of results/sessions; or of results/points (`status`, `warnings`, `client_bound`, `load_id`) for a fact;
            or `texts`.
        before, after: mean over sessions, None for several points; of a fact what it was and is; where it is not trusted, why.
        ratio: after / before, with its interval where there is one; over several points the mean of their logarithms. None of a
            fact, and where a session's value is zero.
        points: how many points it is over, or servers.
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
        """As a flat row for a table."""
        estimate = asdict(self.ratio) if self.ratio else dict.fromkeys(("value", "low", "high", "how"))
        named = {"ratio": estimate["value"], "ratio_low": estimate["low"], "ratio_high": estimate["high"]}
        facts = {"metric": self.metric, "verdict": self.verdict, "before": self.before, "after": self.after}
        return self.axes | {"points": self.points} | facts | named | {"doubt": estimate["how"]}
