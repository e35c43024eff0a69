"""Every metric of requests, defined once: of one load, or of several pooled. Unknown is None or an empty array, never 0.

Only requests with status `ok` (answered as asked) count for throughput and latency; the others are counted apart.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from servegrid.metrics.chunks import Chunks
from servegrid.results.columns import split_latency_column

Floats = npt.NDArray[np.float64]
REQUEST_COLUMNS = (
    *("thread", "planned_s", "sent_s", "first_token_s", "last_token_s", "end_s", "chunk_offsets_s", "chunk_tokens"),
    *("prompt_tokens", "output_tokens", "tokens_from", "max_tokens", "drafted_tokens", "accepted_tokens", "status"),
)
"""Columns of records.schema.REQUESTS that metrics are computed from."""
LATER_COLUMNS = pa.schema(
    [(name, pa.int32()) for name in ("hidden_tokens", "cached_tokens", "own_tokens", "late_chunks")]
)
"""More of them, which records of earlier versions lack."""
CLIENT_BOUND_SHARE = 0.7
"""Share of the client's ceiling from which a row is client-bound: waits in a queue grow steeply beyond it, and the busiest
seconds of a load lie above its mean."""
CLIENT_BOUND_INPUTS = ("client_share", "lateness_ms_mean", "turnaround_ms_mean", "ttft_ms_p50", "e2e_ms_p50")
"""Columns that `is_client_bound` takes, in its order."""
LATE_MS, LATE_SHARE, TURNAROUND_SHARE = 4.0, 0.1, 0.02
"""Sends that are later than this on the mean are the client's doing: after the plan, by this share of the time to first token; after a
thread's last answer, by this share of the time of an answer, which is how much slower the load was for it. The client's own pauses
(driver.MAX_PAUSE_S) lie below. The mean is known of any number of requests."""


@dataclass(frozen=True)
class Requests:
    """Requests of one load.

    Attributes:
        table: all of them, with REQUEST_COLUMNS of records.schema.REQUESTS.
    """

    table: pa.Table

    @cached_property
    def ok(self) -> pa.Table:
        """Requests that were answered as asked."""
        is_ok = pc.equal(self.table["status"], "ok")
        return self.table if pc.all(is_ok).as_py() else self.table.filter(is_ok)  # to filter copies every chunk

    def column(self, name: str) -> Floats:
        """Values of a numeric column of the ok requests as float64, unknown as NaN."""
        if name not in self._columns:
            values = pc.cast(self.ok[name], pa.float64()).fill_null(float("nan"))
            self._columns[name] = np.asarray(values.to_numpy(), dtype=np.float64)
        return self._columns[name]

    @cached_property
    def _columns(self) -> dict[str, Floats]:
        """Columns that were asked for before."""
        return {}

    @cached_property
    def chunks(self) -> Chunks:
        """Events of the ok requests."""
        return Chunks.from_table(self.ok)

    def count(self, status: str) -> int:
        """Number of requests that ended with this status."""
        return int(pc.sum(pc.equal(self.table["status"], status)).as_py() or 0)

    @cached_property
    def sent_s(self) -> Floats:
        """Send instants of all requests that were sent, in s of the host's clock."""
        return _non_null(self.table["sent_s"])

    @cached_property
    def end_s(self) -> Floats:
        """End instants of all requests that were sent, in s of the host's clock."""
        return _non_null(self.table.filter(pc.is_valid(self.table["sent_s"]))["end_s"])


def _non_null(column: pa.ChunkedArray) -> Floats:
    return np.asarray(column.drop_null().to_numpy(), dtype=np.float64)


def time_s(requests: Requests) -> float | None:
    """Time to complete: first send to last end, over all requests whatever their outcome, in s."""
    if not len(requests.sent_s) or not len(requests.end_s):
        return None
    return float(requests.end_s.max() - requests.sent_s.min())


def tail_s(requests: Requests) -> float | None:
    """Drain: from the first answer after the last send, when a thread ran out of work, to the last end, in s."""
    if not len(requests.sent_s) or not len(requests.end_s):
        return None
    last_ends = requests.end_s[requests.end_s >= requests.sent_s.max()]
    return float(last_ends.max() - last_ends.min()) if len(last_ends) else None


def token_sum(requests: Requests, column: str) -> int | None:
    """Sum of `prompt_tokens` or `output_tokens` over the ok requests; None if any of them is unknown."""
    values = requests.column(column)
    return None if not len(values) or np.isnan(values).any() else int(values.sum())


def tokens_from(requests: Requests) -> str | None:
    """Source of the token counts: `usage` (the server), `tokenizer`, or `mixed`; None if unknown."""
    sources = set(pc.unique(requests.ok["tokens_from"]).to_pylist())
    return sources.pop() if len(sources) == 1 else "mixed" if sources else None


def per_second(amount: float | None, seconds: float | None) -> float | None:
    """Rate of an amount over the time to complete; None if either is unknown or the time is 0."""
    return amount / seconds if amount is not None and seconds else None


def ttft_ms(requests: Requests) -> Floats:
    """Time to first token: send to the first event that carries output, per ok request, in ms."""
    return 1e3 * (requests.column("first_token_s") - requests.column("sent_s"))


def e2e_ms(requests: Requests) -> Floats:
    """End to end: send to the end of the answer, per ok request, in ms."""
    return 1e3 * (requests.column("end_s") - requests.column("sent_s"))


def since_planned_send_ms(requests: Requests, column: str) -> Floats:
    """Time from the planned send to the instant in `column` (`first_token_s` or `end_s`), per ok request with a plan, in ms.

    With planned arrivals this is the latency that users would have had: a request that a late client or a full server held up
    has waited all the same (coordinated omission). Empty in a closed loop, where nothing is planned.
    """
    waits = requests.column(column) - requests.column("planned_s")
    return 1e3 * waits[~np.isnan(waits)]


def tpot_ms(requests: Requests) -> Floats:
    """Time per output token after the first event: (last - first event) / tokens after the first event, in ms.

    Per ok request with at least two events that did not come at once. Where the server does not say how many tokens the first event carried, it is
    taken to be one. Tokens that the server says it keeps (hidden reasoning) are not among those after the first event.
    """
    by_request = _tpot_ms_by_request(requests)
    return by_request[~np.isnan(by_request)]


def _tpot_ms_by_request(requests: Requests) -> Floats:
    """TPOT of each ok request, in ms; NaN for one with a single event, one that came at once, or of unknown tokens."""
    hidden = np.where(requests.chunks.has_counts, 0.0, np.nan_to_num(requests.column("hidden_tokens")))
    later_tokens = requests.column("output_tokens") - hidden - requests.chunks.first_event_tokens
    spans = requests.column("last_token_s") - requests.column("first_token_s")
    valid = (later_tokens >= 1) & (spans > 0) & ~requests.chunks.came_at_once
    return 1e3 * np.where(valid, spans, np.nan) / np.where(valid, later_tokens, 1)


def goodput_requests_per_s(requests: Requests, slo: Mapping[str, float]) -> float | None:
    """Goodput: requests answered as asked and within every limit, per second of the time to complete.

    Zhong et al. 2024, DistServe (arXiv:2401.09670). One request has one value of each latency, for which the highest limit counts;
    its ITL and chunk gaps are taken as their mean, TPOT, and a request with one token is within such a limit.

    Args:
        requests: of one load.
        slo: column of a latency's percentile -> limit in ms.

    Returns:
        None without a limit, with one of planned sends where nothing was planned, and with one between tokens where those of an
        answer are not known.
    """
    limits: dict[str, float] = {}
    for column, limit in slo.items():
        latency, _ = split_latency_column(column)
        limits[latency] = max(limit, limits.get(latency, limit))
    if not limits or any(_is_unknown(requests, latency) for latency in limits):
        return None
    within = [~(_latency_ms_by_request(requests, latency) > limit) for latency, limit in limits.items()]
    return per_second(int(np.all(within, axis=0).sum()), time_s(requests))


_END_COLUMNS = {"ttft": "first_token_s", "e2e": "end_s"}
"""Latency -> column of the instant that it ends at; the others are times between tokens."""


def _is_unknown(requests: Requests, latency: str) -> bool:
    """Whether the latency of some ok request is not known, so that nobody can say whether it is within a limit."""
    if latency.endswith("_planned") and np.isnan(requests.column("planned_s")).all():
        return True
    if (end := _END_COLUMNS.get(latency.removesuffix("_planned"))) is not None:
        return bool(np.isnan(requests.column(end)).any())
    has_one_token = requests.column("output_tokens") == 1
    return bool((np.isnan(_tpot_ms_by_request(requests)) & ~has_one_token).any())


def _latency_ms_by_request(requests: Requests, latency: str) -> Floats:
    """Value of a latency of results.columns.LATENCIES for each ok request, in ms; times between tokens as their mean."""
    begin = "planned_s" if latency.endswith("_planned") else "sent_s"
    end = _END_COLUMNS.get(latency.removesuffix("_planned"))
    return _tpot_ms_by_request(requests) if end is None else 1e3 * (requests.column(end) - requests.column(begin))


def chunk_gaps_ms(requests: Requests) -> Floats:
    """Gaps between the events that carry output, over all ok requests, in ms. An event may carry several tokens."""
    return 1e3 * requests.chunks.gaps_s[requests.chunks.not_first]


def itl_ms(requests: Requests) -> Floats:
    """Inter-token latency: each gap between arrivals, shared evenly among the tokens of the later one, in ms.

    Events that came together are one arrival. One value per token after the first arrival, over all ok requests. A request counts if
    the server says how many tokens each event carried, or if there are as many events as tokens; with others it is unknown, so all
    is (empty).
    """
    chunks = requests.chunks.by_arrival
    if chunks.tokens_carried is None:
        return np.empty(0)
    tokens = np.maximum(chunks.tokens_carried[chunks.not_first], 0)
    return 1e3 * np.repeat(chunks.gaps_s[chunks.not_first] / np.maximum(tokens, 1), tokens)


def percentile(values: Floats, percent: float) -> float | None:
    """Percentile, as in `percentiles`, of values in any order; NaN is left out."""
    return percentiles(ascending(values), [percent])[0]


def ascending(values: Floats) -> Floats:
    """Sort the values, without NaN."""
    ordered = np.sort(values)  # NaN last
    return ordered[: len(ordered) - int(np.isnan(values).sum())]


def percentiles(ordered: Floats, percents: Sequence[float], requests: float = math.inf) -> list[float | None]:
    """Percentiles of ascending values by linear interpolation between the two nearest (Hyndman and Fan 1996, definition 7).

    None where fewer values than `least_values` stand behind it, or, of values of which a request has many, fewer `requests`
    than `least_requests`.
    """
    return [
        _interpolated(ordered, p / 100) if len(ordered) >= least_values(p) and requests >= least_requests(p) else None
        for p in percents
    ]


def least_values(percent: float) -> int:
    """Least number of values that a percentile is given of: one beyond it, two in all."""
    return max(2, math.ceil(round(100 / min(percent, 100 - percent), 6)))  # 1000, not 1001, for 99.9


def least_requests(percent: float) -> int:
    """Least number of requests behind a percentile of results.columns.TOKEN_LATENCIES: a tenth of the values, at least 2.

    The tokens of a request are alike, and one stall of the server meets all requests in flight; how many values that is worth
    differs, so a tenth is a convention.
    """
    return max(2, math.ceil(least_values(percent) / 10))


def _interpolated(ordered: Floats, share: float) -> float:
    """Value at a share (0 to 1) of the way through ascending values."""
    position = share * (len(ordered) - 1)
    below = int(position)
    low, high = ordered[below], ordered[min(below + 1, len(ordered) - 1)]
    return float(low + (high - low) * (position - below))


def lateness_ms(requests: Requests) -> Floats:
    """Lateness: send minus planned send, over all requests with a plan, in ms: how far the client fell behind."""
    was_planned = pc.and_(pc.is_valid(requests.table["planned_s"]), pc.is_valid(requests.table["sent_s"]))
    table = requests.table.filter(was_planned)
    return 1e3 * (_non_null(table["sent_s"]) - _non_null(table["planned_s"]))


def turnaround_ms(requests: Requests) -> Floats:
    """Turnaround: end of a thread's answer to its next send, over all pairs of a closed loop, in ms.

    It is what the client adds to each round, with a new connection where the server has closed the old one.
    """
    table = (
        requests.table.select(["thread", "sent_s", "end_s"])
        .drop_null()
        .sort_by([("thread", "ascending"), ("sent_s", "ascending")])
    )
    thread, sent, end = (table[name].to_numpy() for name in ("thread", "sent_s", "end_s"))
    return 1e3 * np.asarray((sent[1:] - end[:-1])[thread[1:] == thread[:-1]], dtype=np.float64)


def is_client_bound(
    share: float | None,
    lateness_ms: float | None,
    turnaround_ms: float | None,
    ttft_ms_p50: float | None,
    e2e_ms_p50: float | None,
) -> bool | None:
    """Whether the client rather than the server may have set the pace. None if that cannot be judged.

    It may have where its share of its ceiling (0 to 1, see calibration) is at least CLIENT_BOUND_SHARE, and where it sent late on the
    mean: by more than LATE_MS and, after the plan, LATE_SHARE of the median time to first token, after a thread's last answer,
    TURNAROUND_SHARE of the median answer. It has not where all that applies is known and lies below.
    """
    delays = ((lateness_ms, ttft_ms_p50, LATE_SHARE), (turnaround_ms, e2e_ms_p50, TURNAROUND_SHARE))
    judged = [
        delay_ms > max(LATE_MS, part * time_ms)
        for delay_ms, time_ms, part in delays
        if delay_ms is not None and time_ms is not None
    ]
    late = any(judged) if judged else None
    if late or (share is not None and share >= CLIENT_BOUND_SHARE):
        return True
    return None if late is None or share is None else False


def prefix_cache_hit_rate(requests: Requests) -> float | None:
    """Prompt tokens that were cached / all, over the ok requests (0 to 1); None if the server said it of none, or more than there are.

    A server that says it of some of them leaves it out of the others where there were none, as SGLang does.
    """
    prompt, cached = requests.column("prompt_tokens"), requests.column("cached_tokens")
    is_known = ~np.isnan(prompt)
    if np.isnan(cached).all() or not prompt[is_known].sum() or (cached[is_known] > prompt[is_known]).any():
        return None
    return float(np.nansum(cached[is_known]) / prompt[is_known].sum())


def unasked_hit_rate(requests: Requests) -> float | None:
    """Prompt tokens that only a prompt seen before can have had cached / all, over the ok requests (0 to 1); None if unknown.

    What it has in common with other prompts of the load a cold prompt may have had cached too: all but its own tokens.
    """
    prompt, cached, own = (requests.column(f"{name}_tokens") for name in ("prompt", "cached", "own"))
    unasked = np.clip(cached - (prompt - own), 0, own)
    is_known = ~np.isnan(unasked)
    return float(unasked[is_known].sum() / prompt[is_known].sum()) if prompt[is_known].sum() else None


def acceptance_rate(*loads: Requests) -> float | None:
    """Acceptance rate: accepted / drafted tokens over the ok requests, where the server says both; None if nothing was drafted."""
    drafted, accepted = (
        np.concatenate([requests.column(f"{name}_tokens") for requests in loads]) for name in ("drafted", "accepted")
    )
    both_known = ~np.isnan(drafted) & ~np.isnan(accepted)
    total = drafted[both_known].sum()
    return float(accepted[both_known].sum() / total) if total else None


def acceptance_length(request_rate: float, counter_rate: float | None, counter_length: float | None) -> float | None:
    """Acceptance length: tokens that a step yields where something was drafted, 1 + `request_rate` x tokens of a draft.

    The tokens of a draft are (`counter_length` - 1) / `counter_rate`, both by the server's counters: of a short load these are
    sampled so seldom that each of them is off, while their ratio is not.

    Args:
        request_rate: acceptance rate of the requests (0 to 1).
        counter_rate: acceptance rate by the server's counters (0 to 1).
        counter_length: acceptance length by the server's counters, in tokens.

    Returns:
        `counter_length` where either of the server's figures is unknown or 0.
    """
    if not counter_rate or not counter_length:
        return counter_length
    return 1 + (counter_length - 1) * request_rate / counter_rate
