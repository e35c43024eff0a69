"""Every metric, defined once. Input are the requests of one load or of several pooled; unknown is None, never 0.

Only requests with status `ok` (answered as asked) count for throughput and latency; the others are counted apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Floats = npt.NDArray[np.float64]
PERCENTILES = (50, 90, 99)


@dataclass(frozen=True)
class Requests:
    """The requests of one load (a table of records.REQUESTS)."""

    table: pa.Table

    @cached_property
    def ok(self) -> pa.Table:
        """The requests that were answered as asked."""
        return self.table.filter(pc.equal(self.table["status"], "ok"))

    def column(self, name: str) -> Floats:
        """A numeric column of the ok requests as float64, unknown as NaN."""
        return np.asarray(pc.cast(self.ok[name], pa.float64()).fill_null(float("nan")).to_numpy(), dtype=np.float64)

    @cached_property
    def sent_s(self) -> Floats:
        """Send instants of all requests that were sent, in s of the host's clock."""
        return _known(self.table["sent_s"])

    @cached_property
    def end_s(self) -> Floats:
        """End instants of all requests that were sent, in s of the host's clock."""
        return _known(self.table["end_s"])


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


def tpot_ms(requests: Requests) -> Floats:
    """Time per output token after the first event: (last - first event) / tokens after the first event, in ms.

    Per ok request with at least two events. Where the server does not say how many tokens the first event carried, it is
    taken to be one.
    """
    first = np.array([chunk[0] if chunk else 1 for chunk in requests.ok["chunk_tokens"].to_pylist()], dtype=np.float64)
    after = requests.column("output_tokens") - (first if len(first) else 1)
    spans = requests.column("last_token_s") - requests.column("first_token_s")
    valid = (after >= 1) & (spans > 0)
    return 1e3 * spans[valid] / after[valid]


def chunk_gaps_ms(requests: Requests) -> Floats:
    """Gaps between the events that carry output, over all ok requests, in ms. An event may carry several tokens."""
    lists = requests.ok["chunk_offsets_s"].combine_chunks()
    flat, lengths = np.asarray(lists.flatten().to_numpy(), dtype=np.float64), np.asarray(pc.list_value_length(lists))
    if not len(flat):
        return np.empty(0)
    within = np.ones(len(flat), dtype=bool)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    within[starts[lengths > 0]] = False
    return 1e3 * np.diff(flat, prepend=flat[0])[within]


def itl_ms(requests: Requests) -> Floats:
    """Inter-token latency: each gap between events, shared evenly among the tokens of the later event, in ms.

    One value per token after the first event, over all ok requests. A request counts if the server says how many tokens
    each event carried, or if there are as many events as tokens; with others it is unknown, so all is (empty).
    """
    gaps: list[Floats] = []
    columns = ("chunk_offsets_s", "chunk_tokens", "output_tokens")
    for offsets, counts, total in zip(*(requests.ok[name].to_pylist() for name in columns), strict=True):
        if counts is None and len(offsets) != total:
            return np.empty(0)
        gap = np.diff(np.asarray(offsets, dtype=np.float64))
        carried = np.diff(np.asarray(counts)) if counts is not None else np.ones(len(gap), dtype=int)
        gaps.append(np.repeat(gap / np.maximum(carried, 1), carried))
    return 1e3 * np.concatenate(gaps) if gaps else np.empty(0)


def percentile(values: Floats, percent: int) -> float | None:
    """Percentile by linear interpolation, or None where fewer than 100 / (100 - percent) values (at least 2) stand behind it."""
    values = values[~np.isnan(values)]
    if len(values) < max(2.0, 100 / (100 - percent)):
        return None
    return float(np.percentile(values, percent))


def lateness_ms(requests: Requests) -> Floats:
    """Send minus planned send, over all requests with a plan, in ms: how far the client fell behind."""
    planned = pc.and_(pc.is_valid(requests.table["planned_s"]), pc.is_valid(requests.table["sent_s"]))
    table = requests.table.filter(planned)
    return 1e3 * (_known(table["sent_s"]) - _known(table["planned_s"]))


def acceptance_rate(requests: Requests) -> float | None:
    """Accepted / drafted tokens over the ok requests, where the server says both; None if nothing was drafted."""
    drafted, accepted = requests.column("drafted_tokens"), requests.column("accepted_tokens")
    known = ~np.isnan(drafted) & ~np.isnan(accepted)
    total = drafted[known].sum()
    return float(accepted[known].sum() / total) if total else None


def agreement(texts: Sequence[dict[str, str]], baseline: dict[str, str]) -> float | None:
    """Share of answers whose text is that of the baseline's answer to the same prompt; None without common prompts.

    Args:
        texts: for each session, text hash by prompt id, of ok requests.
        baseline: text hash by prompt id, of one session of the baseline point.
    """
    same = [hash == baseline[prompt] for session in texts for prompt, hash in session.items() if prompt in baseline]
    return sum(same) / len(same) if same else None
