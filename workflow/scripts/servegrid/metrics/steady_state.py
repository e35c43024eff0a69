"""How many requests were in flight, and the steady state of a load: when requests come and go, between filling and draining."""

import numpy as np

from servegrid.metrics.request_metrics import Floats, Requests, ascending, e2e_ms, time_s

STEADY_ROUNDS = 2
"""Times the median request, and rounds of as many requests as are in flight at once, that a steady state lasts at least."""
_ROUNDING = 1e-9
_LEAST_GAP_S = 1e-6
"""Least time that the tokens of an arrival are spread over."""


def in_flight_mean(requests: Requests) -> float | None:
    """Requests in flight, on the mean of the time to complete: all times from send to end / time to complete (Little's law)."""
    seconds, in_flight = time_s(requests), _in_flight(requests)
    return float((in_flight[:, 1] - in_flight[:, 0]).sum() / seconds) if seconds else None


def _in_flight(requests: Requests) -> Floats:
    """Send and end of every request that has both, whatever its outcome, in s of the host's clock; a row each."""
    known = requests.table.select(["sent_s", "end_s"]).drop_null()
    return np.column_stack([known["sent_s"].to_numpy(), known["end_s"].to_numpy()])


def in_flight_max(requests: Requests) -> int:
    """Requests in flight at once, at most: as many as threads, or fewer where there are fewer requests."""
    sent, end = np.sort(_in_flight(requests).T)
    return int((np.arange(1, len(sent) + 1) - np.searchsorted(end, sent, side="right")).max(initial=0))


def steady_window(requests: Requests) -> tuple[float, float] | None:
    """Begin and end of the steady state, in s of the host's clock; the begin belongs to it, the end does not.

    It lasts from the first ok answer's end, when requests begin to come and go, to the last send, when the load begins to drain.
    None if it is shorter than STEADY_ROUNDS: of the median ok request, and of as many ok ends as requests were in flight at once.
    """
    ends = ascending(requests.column("end_s"))
    if not len(ends) or not len(requests.sent_s):
        return None
    begin, end = float(ends[0]), float(requests.sent_s.max())
    shortest_s = STEADY_ROUNDS * float(np.median(e2e_ms(requests))) / 1e3
    rounds = np.searchsorted(ends, end) / max(in_flight_max(requests), 1)
    long_enough = end - begin >= max(shortest_s * (1 - _ROUNDING), _LEAST_GAP_S)
    return (begin, end) if long_enough and rounds >= STEADY_ROUNDS else None


def steady_s(requests: Requests) -> float | None:
    """Length of the steady state, in s."""
    window = steady_window(requests)
    return None if window is None else window[1] - window[0]


def steady_output_tokens_per_s(requests: Requests) -> float | None:
    """Output tokens that were made within the steady state, of ok requests, per second of it.

    The tokens of an arrival (events that came together) are spread evenly over the time since the one before, or since the
    send: what falls together, of threads in step too, would else count too much or too little at the edges, up to a whole round.
    Unknown (None) where an event may carry several tokens and the server does not say how many.
    """
    window, chunks = steady_window(requests), requests.chunks.by_arrival
    tokens = chunks.tokens_carried
    if window is None or tokens is None:
        return None
    begin, end = window
    arrived_s = np.repeat(requests.column("sent_s"), chunks.lengths) + chunks.offsets_s
    gaps_s = np.maximum(chunks.gaps_s, _LEAST_GAP_S)
    inside_s = np.minimum(arrived_s, end) - np.maximum(arrived_s - gaps_s, begin)
    return float((tokens * np.maximum(inside_s, 0) / gaps_s).sum() / (end - begin))
