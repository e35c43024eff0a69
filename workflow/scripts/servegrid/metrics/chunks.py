"""Events that carried output, of many requests at once, as flat arrays: thousands of requests need no loop."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from servegrid.records.request import MOST_TOGETHER_S, TOGETHER_S, TOGETHER_SHARE

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Chunks:
    """All events of some requests, request after request.

    Attributes:
        offsets_s: arrival after the request's send, in s; one per event.
        lengths: events of each request.
        has_counts: for each request, whether the server says how many tokens its events carried.
        token_counts: output tokens so far at each event of the requests with counts.
        output_tokens: of each request; NaN if unknown.
    """

    offsets_s: Floats
    lengths: Ints
    has_counts: Mask
    token_counts: Ints
    output_tokens: Floats

    @classmethod
    def from_table(cls, requests: pa.Table) -> "Chunks":
        """Events of the requests in a table of records.schema.REQUESTS."""
        offsets, counts = (_lists(requests[name]) for name in ("chunk_offsets_s", "chunk_tokens"))
        tokens = pc.cast(requests["output_tokens"], pa.float64()).fill_null(float("nan"))
        return cls(
            np.asarray(offsets.flatten().to_numpy(zero_copy_only=False), dtype=np.float64),
            np.asarray(pc.fill_null(pc.list_value_length(offsets), 0), dtype=np.int64),
            np.asarray(pc.is_valid(counts)),
            np.asarray(counts.flatten().to_numpy(zero_copy_only=False), dtype=np.int64),
            np.asarray(tokens.to_numpy(), dtype=np.float64),
        )

    @cached_property
    def _starts(self) -> Ints:
        """Position of each request's first event."""
        return np.cumsum(self.lengths) - self.lengths

    @cached_property
    def not_first(self) -> Mask:
        """Mask of the events that are not the first of their request."""
        mask = np.ones(len(self.offsets_s), dtype=bool)
        mask[self._starts[self.lengths > 0]] = False
        return mask

    @cached_property
    def gaps_s(self) -> Floats:
        """Time since the event before, in s; of a request's first event since the send."""
        return np.where(self.not_first, np.diff(self.offsets_s, prepend=0.0), self.offsets_s)

    @cached_property
    def came_together(self) -> Mask:
        """Mask of the events that came together with the one before; see records.request.TOGETHER_S."""
        near_s = np.clip(TOGETHER_SHARE * self._median_gaps_s, TOGETHER_S, MOST_TOGETHER_S)
        return self.not_first & (self.gaps_s <= np.repeat(near_s, self.lengths))

    @cached_property
    def arrivals(self) -> Ints:
        """Arrivals of each request: events that came together are one."""
        together: Ints = np.concatenate([[0], np.cumsum(self.came_together)])
        arrivals: Ints = self.lengths - (together[self._starts + self.lengths] - together[self._starts])
        return arrivals

    @cached_property
    def came_at_once(self) -> Mask:
        """For each request, whether its first event is not told apart from its last: there is one, or a burst of them."""
        return self._spans_s <= TOGETHER_S * np.maximum(0, self.lengths - 1)

    @cached_property
    def _median_gaps_s(self) -> Floats:
        """Median gap between the events of each request, the lower of two, in s; 0 with fewer than two events."""
        medians_s, has_gaps = np.zeros(len(self.lengths)), self.lengths > 1
        request = np.repeat(np.arange(len(self.lengths)), self.lengths)
        gaps_s = np.where(self.not_first, self.gaps_s, -1.0)  # ahead of the request's gaps
        ordered = np.sort(request + 1j * gaps_s).imag  # by request, then by gap: much faster than to sort by two keys
        medians_s[has_gaps] = ordered[(self._starts + self.lengths // 2)[has_gaps]]
        return medians_s

    @cached_property
    def _spans_s(self) -> Floats:
        """From the first event of each request to its last, in s; 0 without events."""
        spans_s, has_events = np.zeros(len(self.lengths)), self.lengths > 0
        first = self._starts[has_events]
        spans_s[has_events] = self.offsets_s[first + self.lengths[has_events] - 1] - self.offsets_s[first]
        return spans_s

    @cached_property
    def tokens_carried(self) -> Ints | None:
        """Output tokens that each event carried, or None where that is not known for every request.

        It is known where the server says it, and where there are as many events as tokens.
        """
        if (self.lengths != self.output_tokens)[~self.has_counts].any():
            return None
        so_far = self._tokens_so_far
        before = np.where(self.not_first, np.concatenate([[0], so_far[:-1]]), 0)
        return so_far - before

    @cached_property
    def _tokens_so_far(self) -> Ints:
        """Output tokens of the request up to each event: one an event where the server does not say."""
        so_far = np.arange(len(self.offsets_s)) - np.repeat(self._starts, self.lengths) + 1
        so_far[np.repeat(self.has_counts, self.lengths)] = self.token_counts
        return so_far

    @cached_property
    def by_arrival(self) -> "Chunks":
        """The same with one event for each arrival, at its last stamp, which carries the tokens of all events that came together.

        So a step's tokens count alike in one event and in several. The events stay as they are where nobody knows their tokens.
        """
        if self.tokens_carried is None or not self.came_together.any():
            return self
        last = np.flatnonzero(~np.append(self.came_together[1:], False))
        is_told = np.ones(len(self.lengths), dtype=bool)
        return Chunks(self.offsets_s[last], self.arrivals, is_told, self._tokens_so_far[last], self.output_tokens)

    @cached_property
    def one_token_each(self) -> bool:
        """Whether every arrival is known to be one event of one token: the gaps between events are those between tokens then."""
        if self.tokens_carried is None or self.came_together.any():
            return False
        return bool((self.tokens_carried == 1).all())

    @cached_property
    def first_event_tokens(self) -> Ints:
        """Output tokens of each request's first event; one where the server does not say."""
        tokens = np.ones(len(self.lengths), dtype=np.int64)
        is_known = self.has_counts & (self.lengths > 0)
        count_lengths = np.where(self.has_counts, self.lengths, 0)
        tokens[is_known] = self.token_counts[(np.cumsum(count_lengths) - count_lengths)[is_known]]
        return tokens


def _lists(column: pa.ChunkedArray) -> pa.ListArray:
    """The column as one array."""
    return column.combine_chunks() if column.num_chunks else pa.array([], column.type)
