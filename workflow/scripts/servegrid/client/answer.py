"""From the log of reads to the answer: head, body, and when each byte of the body was there. Runs after the load."""

from bisect import bisect_left
from dataclasses import dataclass, field
from itertools import accumulate
from operator import ge, le, sub
from typing import Any

from servegrid.client.framing import Framing, Head, MalformedError

NO_LIMIT = 1 << 62  # the limit was kept while reading


@dataclass(slots=True)
class Answer:
    """A response, as far as it came."""

    head: Head | None = None
    body: bytes = b""
    times_s: list[float] = field(default_factory=list)  # of the reads
    body_ends: list[int] = field(default_factory=list)  # body bytes that were there after each read
    complete: bool = False
    received: int = 0  # bytes, head and framing included
    end_s: float | None = None  # when its last byte came; None if it never did
    fault: str | None = None  # why it is not HTTP

    def arrival_s(self, offset: int) -> float:
        """When the first `offset` bytes of the body were there."""
        return self.times_s[bisect_left(self.body_ends, offset)]


def read_answer(log: list[Any]) -> Answer:
    """Take the log of an exchange apart. Gives the same answer however its bytes were split over the reads."""
    answer = Answer(times_s=log[::2])
    blocks = log[1::2]
    ends = list(accumulate(map(len, blocks)))
    raw = b"".join(blocks)
    spans: list[int] = []
    framing = Framing(NO_LIMIT, spans)
    try:
        framing.feed(raw)
    except MalformedError as error:
        answer.fault = str(error)
    answer.head, answer.received, answer.complete = framing.head, len(raw), framing.complete
    if framing.complete:
        answer.end_s = answer.times_s[bisect_left(ends, framing.offset)]
    starts, stops = spans[::2], spans[1::2]
    answer.body = b"".join([raw[start:stop] for start, stop in zip(starts, stops, strict=True)])
    answer.body_ends = _body_ends(ends, starts, stops)
    return answer


def _body_ends(ends: list[int], starts: list[int], stops: list[int]) -> list[int]:
    """For each read's end (offset into all bytes), the body bytes before it; body byte runs are starts[i]:stops[i]."""
    if all(map(le, stops, ends)) and all(
        map(ge, starts[1:], ends)
    ):  # run i lies in read i: servers write event by event
        out = list(accumulate(map(sub, stops, starts)))
        return out + [out[-1] if out else 0] * (len(ends) - len(out))
    out, body, at, runs = [], 0, 0, len(starts)
    for end in ends:
        while at < runs and stops[at] <= end:
            body += stops[at] - starts[at]
            at += 1
        out.append(body + (end - starts[at] if at < runs and starts[at] < end else 0))
    return out
