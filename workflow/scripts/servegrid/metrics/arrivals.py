"""Whether the events of answers came as the server made their tokens: not if the client read them late, or something held them back."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from servegrid.metrics.request_metrics import Floats, Requests
from servegrid.records.request import TOGETHER_S

LATE_SHARE = 0.05
"""Share of the events from which those that were read late make the times between tokens unknown."""
BURST_SHARE = 1 / 3
"""Share of the events from which those that came together with the one before, read on time, are bursts: at a half the median gap is 0, and
far below it lie servers that send the last two events of a short answer together."""
HELD_BACK_SHARE = 0.05
"""Share of the answers from which those that came at once, or in a few arrivals, speak for the row."""
LEAST_TOKENS = 4
"""Tokens of an answer that tells whether it was held back: of fewer, an honest server may send the last two together, or all but the end."""
MOST_TOKENS = 16
"""Tokens in an arrival, on the mean of an answer, that a server may put together to save work, as SGLang's `--stream-interval` asks: more
are held back. Also the tokens of a step of a server that speculates nobody says how far."""


def step_tokens(speculation: Mapping[str, Any], requests: Requests) -> int:
    """Most tokens of an answer that one step of the server yields: 1 without speculation, else those drafted and one more.

    Args:
        speculation: `kind` and `length` of the server, as in session.json.
        requests: a server that says what it drafted speculates, whatever the settings say (at a URL they are not known).
    """
    if speculation["kind"] != "none" and speculation["length"]:
        return int(speculation["length"]) + 1
    has_drafted = np.nansum(requests.column("drafted_tokens")) > 0
    return MOST_TOKENS if has_drafted or speculation["kind"] != "none" else 1


def stamps_shared(loads: Sequence[Requests]) -> float | None:
    """Share of the events after an answer's first that were read late, together with the one before; None if unknown."""
    late, later_events = _pooled(loads, "late_chunks").sum(), sum(int(load.chunks.not_first.sum()) for load in loads)
    return float(late / later_events) if later_events and np.isfinite(late) else None


def are_read_late(loads: Sequence[Requests]) -> bool:
    """Whether the client read too many events late for the times between them to be known."""
    return (stamps_shared(loads) or 0.0) > LATE_SHARE


def are_held_back(requests: Requests, most_per_step: int) -> bool:
    """Whether a server or proxy held events back: answers come at once, or in bursts that no step of the server yields."""
    return _come_at_once(requests, most_per_step) or _come_in_bursts(requests, most_per_step)


def _come_at_once(requests: Requests, most_per_step: int) -> bool:
    """Whether answers of more tokens than a step yields come at once, or in arrivals of more than MOST_TOKENS."""
    tokens, arrivals = _tokens(requests), requests.chunks.arrivals
    can_tell = tokens >= max(LEAST_TOKENS, most_per_step + 1)
    held_back = requests.chunks.came_at_once | (tokens > max(MOST_TOKENS, most_per_step) * arrivals)
    return bool(held_back[can_tell].sum() > HELD_BACK_SHARE * can_tell.sum())


def _come_in_bursts(requests: Requests, most_per_step: int) -> bool:
    """Whether events that were read on time come together, more of them than a step yields; False where nobody knows how they were read."""
    tokens = _tokens(requests)
    can_tell = (tokens >= LEAST_TOKENS) & (requests.chunks.lengths > 0)
    events, arrivals = requests.chunks.lengths[can_tell], requests.chunks.arrivals[can_tell]
    later_events, together = int((events - 1).sum()), int((events - arrivals).sum())
    late = requests.column("late_chunks")[can_tell].sum()
    if not later_events or not together - late > BURST_SHARE * later_events:
        return False
    return most_per_step == 1 or bool(tokens[can_tell].sum() > most_per_step * arrivals.sum())


def _tokens(requests: Requests) -> Floats:
    """Output tokens of each ok request that arrived: those asked for where they are not known.

    Without one for the end, which has no text, where the end came after the text and not every token had an event.
    """
    tokens = requests.column("output_tokens") - np.nan_to_num(requests.column("hidden_tokens"))
    ended_later = requests.column("end_s") - requests.column("last_token_s") > TOGETHER_S
    tokens = np.where(np.isnan(tokens), requests.column("max_tokens"), tokens)
    return tokens - (ended_later & (tokens > requests.chunks.lengths))


def _pooled(loads: Sequence[Requests], column: str) -> Floats:
    return np.concatenate([load.column(column) for load in loads])
