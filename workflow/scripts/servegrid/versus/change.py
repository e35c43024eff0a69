"""One difference between two runs, and what it is called."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from servegrid.intervals import Estimate

Judgement = Literal["better", "worse", "no difference shown", "no doubt known"]
Verdict = Judgement | Literal["gone", "new", "client-bound", "another load", "garbled", "untrusted"]
JUDGED = ("better", "worse", "no difference shown")
"""Verdicts of a metric that was compared."""
UNFIT = ("gone", "new", "client-bound", "another load", "garbled")
"""Verdicts on a point of which no metric is compared."""
LOWER_IS_BETTER = ("time_s", "ttft_ms_p50", "itl_ms_p50", "e2e_ms_p50", "j_per_output_token")
HIGHER_IS_BETTER = ("output_tokens_per_s",)
METRICS = (*LOWER_IS_BETTER[:1], *HIGHER_IS_BETTER, *LOWER_IS_BETTER[1:])


@dataclass(frozen=True)
class Change:
    """One metric or fact of one point, or of several together, after against before.

    Attributes:
        axes: where the point stands; empty for several points together.
        metric: column of results/sessions; or of results/points (`status`, `warnings`, `client_bound`, `load_id`) for a fact;
            or `texts`.
        before, after: mean over sessions, None for several points; of a fact what it was and is; where it is not trusted, why.
        ratio: after / before, with its interval where there is one; over several points the mean of their logarithms. None of a
            fact, and where a session's value is zero.
        points: how many points it is over.
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
        return self.metric in METRICS and self.verdict in JUDGED

    def row(self) -> dict[str, Any]:
        """As a flat row for a table."""
        estimate = asdict(self.ratio) if self.ratio else dict.fromkeys(("value", "low", "high", "how"))
        named = {"ratio": estimate["value"], "ratio_low": estimate["low"], "ratio_high": estimate["high"]}
        facts = {"metric": self.metric, "verdict": self.verdict, "before": self.before, "after": self.after}
        return self.axes | {"points": self.points} | facts | named | {"doubt": estimate["how"]}
