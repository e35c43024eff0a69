"""Every metric, defined once. Input are the requests of one load or of several pooled; unknown is None, never 0.

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

Floats = npt.NDArray[np.float64]
READ = (
    *("thread", "planned_s", "sent_s", "first_token_s", "last_token_s", "end_s", "chunk_offsets_s", "chunk_tokens"),
    *("prompt_tokens", "output_tokens", "tokens_from", "drafted_tokens", "accepted_tokens", "status"),
)
"""The columns of REQUESTS that metrics are made of."""
LATER = pa.schema([("hidden_tokens", pa.int32())])
"""More of them, which records of earlier versions lack."""
STEADY_REQUESTS, STEADY_ROUNDS = 2, 2
"""How long a steady state is at least: in median requests, and in rounds (as many answers as requests were in flight at most)."""
BOUND = 0.7
"""Share of the client's ceiling from which a row is client-bound: waits in a queue grow steeply beyond it, and the busiest
seconds of a load lie above its mean."""
PACE = ("client_share", "lateness_ms_p99", "turnaround_ms_p99", "ttft_ms_p50")
LATE_MS, LATE_SHARE = 4.0, 0.1
"""Sends that are later than this, and than this share of the time to first token, are the client's doing. The client's own
pauses (driver.MOST_PAUSE_S) lie below."""


@dataclass(frozen=True)
class Requests:
    """The requests of one load (a table of records.REQUESTS)."""

    table: pa.Table

    @cached_property
    def ok(self) -> pa.Table:
        """The requests that were answered as asked."""
        ok = pc.equal(self.table["status"], "ok")
        return self.table if pc.all(ok).as_py() else self.table.filter(ok)  # to filter copies every chunk

    def column(self, name: str) -> Floats:
        """A numeric column of the ok requests as float64, unknown as NaN."""
        if name not in self._columns:
            known = pc.cast(self.ok[name], pa.float64()).fill_null(float("nan"))
            self._columns[name] = np.asarray(known.to_numpy(), dtype=np.float64)
        return self._columns[name]

    @cached_property
    def _columns(self) -> dict[str, Floats]:
        return {}

    @cached_property
    def chunks(self) -> Chunks:
        """The events of the ok requests."""
        return Chunks.of(self.ok)

    def count(self, status: str) -> int:
        """How many requests ended with this status."""
        return int(pc.sum(pc.equal(self.table["status"], status)).as_py() or 0)

    @cached_property
    def sent_s(self) -> Floats:
        """Send instants of all requests that were sent, in s of the host's clock."""
        return _known(self.table["sent_s"])

    @cached_property
    def end_s(self) -> Floats:
        """End instants of all requests that were sent, in s of the host's clock."""
        return _known(self.table.filter(pc.is_valid(self.table["sent_s"]))["end_s"])


def _known(column: pa.ChunkedArray) -> Floats:
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
    after = requests.end_s[requests.end_s >= requests.sent_s.max()]
    return float(after.max() - after.min()) if len(after) else None


def steady_window(requests: Requests) -> tuple[float, float] | None:
    """The steady state, from the first answer's end, when requests begin to come and go, up to but without the last send, when
    the load begins to drain; in s of the host's clock.

    None if that is shorter than STEADY_REQUESTS median requests or STEADY_ROUNDS rounds, as when all is sent at once: what was
    going on at its edges would make up too much of it.
    """
    e2e_s = ascending(requests.column("end_s") - requests.column("sent_s"))
    if not len(e2e_s) or not len(requests.sent_s) or not len(requests.end_s):
        return None
    begin, end = float(requests.end_s.min()), float(requests.sent_s.max())
    answers = int((requests.end_s < end).sum())
    is_long = end - begin >= STEADY_REQUESTS * np.median(e2e_s) and answers >= STEADY_ROUNDS * _in_flight_max(requests)
    return (begin, end) if end > begin and is_long else None


def _in_flight_max(requests: Requests) -> int:
    """Requests in flight at once, at most; one that is sent when another ends comes after it."""
    instants = np.concatenate([requests.end_s, requests.sent_s])
    steps = np.repeat([-1, 1], [len(requests.end_s), len(requests.sent_s)])
    return int(np.cumsum(steps[np.argsort(instants, kind="stable")]).max(initial=0))


def steady_s(requests: Requests) -> float | None:
    """Length of the steady state, in s."""
    window = steady_window(requests)
    return None if window is None else window[1] - window[0]


def steady_output_tokens_per_s(requests: Requests) -> float | None:
    """Output tokens of ok requests in the steady state, per second of it; None if one of them has an unknown number of tokens.

    Each request's tokens count by the share of its time, from send to end, that lies within. So the rate is never above the sum of
    the rates of the requests in flight, however their tokens are bunched into events near an edge.
    """
    window = steady_window(requests)
    if window is None or tokens(requests, "output_tokens") is None:
        return None
    sent_s, end_s = requests.column("sent_s"), requests.column("end_s")
    within_s = np.maximum(np.minimum(end_s, window[1]) - np.maximum(sent_s, window[0]), 0.0)
    lasting = end_s > sent_s
    per_request = (requests.column("output_tokens") * within_s)[lasting] / (end_s - sent_s)[lasting]
    return float(per_request.sum() / (window[1] - window[0]))


def tokens(requests: Requests, column: str) -> int | None:
    """Sum of `prompt_tokens` or `output_tokens` over the ok requests; None if any of them is unknown."""
    values = requests.column(column)
    return None if not len(values) or np.isnan(values).any() else int(values.sum())


def tokens_from(requests: Requests) -> str | None:
    """Where the token counts come from: `usage` (the server), `tokenizer`, or `mixed`; None if unknown."""
    sources = set(pc.unique(requests.ok["tokens_from"]).to_pylist())
    return sources.pop() if len(sources) == 1 else "mixed" if sources else None


def per_second(amount: float | None, seconds: float | None) -> float | None:
    """A rate over the time to complete."""
    return amount / seconds if amount is not None and seconds else None


def ttft_ms(requests: Requests) -> Floats:
    """Time to first token: send to the first event that carries output, per ok request, in ms."""
    return 1e3 * (requests.column("first_token_s") - requests.column("sent_s"))


def e2e_ms(requests: Requests) -> Floats:
    """End to end: send to the end of the answer, per ok request, in ms."""
    return 1e3 * (requests.column("end_s") - requests.column("sent_s"))


def after_planned_ms(requests: Requests, column: str) -> Floats:
    """Planned send to the instant in `column` (`first_token_s` or `end_s`), per ok request with a plan, in ms.

    With planned arrivals this is the latency that users would have had: a request that a late client or a full server held up
    has waited all the same (coordinated omission). Empty in a closed loop, where nothing is planned.
    """
    waits = requests.column(column) - requests.column("planned_s")
    return 1e3 * waits[~np.isnan(waits)]


def tpot_ms(requests: Requests) -> Floats:
    """Time per output token after the first event: (last - first event) / tokens after the first event, in ms.

    Per ok request with at least two events. Where the server does not say how many tokens the first event carried, it is
    taken to be one. Tokens that the server says it keeps (hidden reasoning) are not among those after the first event.
    """
    each = _each_tpot_ms(requests)
    return each[~np.isnan(each)]


def _each_tpot_ms(requests: Requests) -> Floats:
    """NaN for a request with one event."""
    hidden = np.where(requests.chunks.counted, 0.0, np.nan_to_num(requests.column("hidden_tokens")))
    after = requests.column("output_tokens") - hidden - requests.chunks.first_carried
    spans = requests.column("last_token_s") - requests.column("first_token_s")
    valid = (after >= 1) & (spans > 0)
    return 1e3 * np.where(valid, spans, np.nan) / np.where(valid, after, 1)


def goodput_requests_per_s(requests: Requests, slo: Mapping[str, float]) -> float | None:
    """Requests answered as asked and within every limit, per second of the time to complete; None without a limit,
    with one of planned sends where nothing was planned, and with one between tokens where those of an answer are not known.

    Zhong et al. 2024, DistServe (arXiv:2401.09670). `slo` has limits of percentiles in ms, by column. One request has one value of
    each latency, for which the highest limit counts; its ITL and chunk gaps are taken as their mean, TPOT, which a request with one event keeps.
    """
    limits: dict[str, float] = {}
    for column, limit in slo.items():
        name = column.rpartition("_ms_p")[0]
        limits[name] = max(limit, limits.get(name, limit))
    if not limits or any(_unknown(requests, name) for name in limits):
        return None
    within = [~(_each_ms(requests, name) > limit) for name, limit in limits.items()]
    return per_second(int(np.all(within, axis=0).sum()), time_s(requests))


_ENDS = {"ttft": "first_token_s", "e2e": "end_s"}


def _unknown(requests: Requests, latency: str) -> bool:
    if latency.endswith("_planned") and np.isnan(requests.column("planned_s")).all():
        return True
    if (end := _ENDS.get(latency.removesuffix("_planned"))) is not None:
        return bool(np.isnan(requests.column(end)).any())
    spread = requests.column("last_token_s") > requests.column("first_token_s")
    return bool(np.isnan(requests.column("output_tokens"))[spread].any())


def _each_ms(requests: Requests, latency: str) -> Floats:
    """One value per ok request, of any of LATENCIES."""
    begin = "planned_s" if latency.endswith("_planned") else "sent_s"
    end = _ENDS.get(latency.removesuffix("_planned"))
    return _each_tpot_ms(requests) if end is None else 1e3 * (requests.column(end) - requests.column(begin))


def chunk_gaps_ms(requests: Requests) -> Floats:
    """Gaps between the events that carry output, over all ok requests, in ms. An event may carry several tokens."""
    return 1e3 * requests.chunks.gaps_s[requests.chunks.later]


def itl_ms(requests: Requests) -> Floats:
    """Inter-token latency: each gap between events, shared evenly among the tokens of the later event, in ms.

    One value per token after the first event, over all ok requests. A request counts if the server says how many tokens
    each event carried, or if there are as many events as tokens; with others it is unknown, so all is (empty).
    """
    chunks = requests.chunks
    if chunks.carried is None:
        return np.empty(0)
    if chunks.one_each:
        return chunk_gaps_ms(requests)
    carried = np.maximum(chunks.carried[chunks.later], 0)
    return 1e3 * np.repeat(chunks.gaps_s[chunks.later] / np.maximum(carried, 1), carried)


def percentile(values: Floats, percent: float) -> float | None:
    """As `percentiles` gives it, of values in any order; NaN is left out."""
    return percentiles(ascending(values), [percent])[0]


def ascending(values: Floats) -> Floats:
    """The values in their order, without NaN."""
    ordered = np.sort(values)  # NaN last
    return ordered[: len(ordered) - int(np.isnan(values).sum())]


def percentiles(ordered: Floats, percents: Sequence[float], requests: float = math.inf) -> list[float | None]:
    """Percentiles of ascending values by linear interpolation between the two nearest (Hyndman and Fan 1996, definition 7).

    None where fewer values than `values_behind` stand behind it, or, of values of which a request has many, fewer `requests`
    than `requests_behind`.
    """
    return [
        _between(ordered, p / 100) if len(ordered) >= values_behind(p) and requests >= requests_behind(p) else None
        for p in percents
    ]


def values_behind(percent: float) -> int:
    """The least number of values that a percentile is given of: one beyond it, two in all."""
    return max(2, math.ceil(round(100 / min(percent, 100 - percent), 6)))  # 1000, not 1001, for 99.9


def requests_behind(percent: float) -> int:
    """The least number of requests behind a percentile of OF_TOKENS: a tenth of the values, at least 2.

    The tokens of a request are alike, and one stall of the server meets all requests in flight; how many values that is worth
    differs, so a tenth is a convention.
    """
    return max(2, math.ceil(values_behind(percent) / 10))


def _between(ordered: Floats, share: float) -> float:
    place = share * (len(ordered) - 1)
    below = int(place)
    low, high = ordered[below], ordered[min(below + 1, len(ordered) - 1)]
    return float(low + (high - low) * (place - below))


def lateness_ms(requests: Requests) -> Floats:
    """Send minus planned send, over all requests with a plan, in ms: how far the client fell behind."""
    planned = pc.and_(pc.is_valid(requests.table["planned_s"]), pc.is_valid(requests.table["sent_s"]))
    table = requests.table.filter(planned)
    return 1e3 * (_known(table["sent_s"]) - _known(table["planned_s"]))


def turnaround_ms(requests: Requests) -> Floats:
    """End of a thread's answer to its next send, over all pairs of a closed loop, in ms: what the client adds to each round,
    and a new connection where the server has closed the old one.
    """
    table = (
        requests.table.select(["thread", "sent_s", "end_s"])
        .drop_null()
        .sort_by([("thread", "ascending"), ("sent_s", "ascending")])
    )
    thread, sent, end = (table[name].to_numpy() for name in ("thread", "sent_s", "end_s"))
    return 1e3 * np.asarray((sent[1:] - end[:-1])[thread[1:] == thread[:-1]], dtype=np.float64)


def client_bound(
    share: float | None, lateness_ms_p99: float | None, turnaround_ms_p99: float | None, ttft_ms_p50: float | None
) -> bool | None:
    """Whether the client rather than the server may have set the pace. None if unknown.

    It may have where its share of its ceiling (0 to 1, see calibration) is at least BOUND, and where it sent late, after the
    plan or after a thread's last answer, by more than LATE_MS and by more than LATE_SHARE of the median time to first token.
    """
    delay_ms = max(lateness_ms_p99 or 0.0, turnaround_ms_p99 or 0.0)
    late = delay_ms > max(LATE_MS, LATE_SHARE * (ttft_ms_p50 or 0.0))
    return True if late else None if share is None else share >= BOUND


def acceptance_rate(*loads: Requests) -> float | None:
    """Accepted / drafted tokens over the ok requests, where the server says both; None if nothing was drafted."""
    drafted, accepted = (
        np.concatenate([one.column(f"{name}_tokens") for one in loads]) for name in ("drafted", "accepted")
    )
    known = ~np.isnan(drafted) & ~np.isnan(accepted)
    total = drafted[known].sum()
    return float(accepted[known].sum() / total) if total else None


def acceptance_length(by_requests: float, rate: float | None, length: float | None) -> float | None:
    """Tokens that a step yields where something was drafted: 1 + `by_requests` x tokens of a draft.

    The tokens of a draft are (`length` - 1) / `rate`, both by the server's counters: of a short load these are sampled so seldom
    that each of them is off, while their ratio is not.
    """
    return 1 + (length - 1) * by_requests / rate if rate and length else length
