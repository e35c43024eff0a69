"""From the log of reads to the answer: head, body, and when each byte of the body was there. Runs after the load."""

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Any

from servegrid.client.framing import REFUSALS, Reader, refusal


@dataclass(slots=True)
class Answer:
    """A response, as far as it came."""

    status: int | None = None  # None: its header never came whole
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    times_s: list[float] = field(default_factory=list)  # of the reads
    body_ends: list[int] = field(default_factory=list)  # body bytes that were there after each read
    complete: bool = False  # by its own account; a body that goes on until the connection closes never is
    until_close: bool = False
    received: int = 0  # bytes, head and framing included
    end_s: float | None = None  # when its last byte came; None if it never did
    fault: str | None = None  # why it is not HTTP

    def arrival_s(self, offset: int) -> float:
        """When the first `offset` bytes of the body were there."""
        return self.times_s[bisect_left(self.body_ends, offset)]


class _BodyReader(Reader):
    """Keeps the body."""

    __slots__ = ("body", "size")

    def __init__(self) -> None:
        self.body: list[bytes] = []
        self.size = 0
        super().__init__()

    def on_body(self, data: bytes) -> None:
        """Called by the parser."""
        if not self.complete:
            self.body.append(data)
            self.size += len(data)


def read_answer(log: list[Any]) -> Answer:
    """Take the log of an exchange apart. Gives the same answer however its bytes were split over the reads."""
    blocks = log[1::2]
    answer = Answer(times_s=log[::2][: len(blocks)], received=sum(map(len, blocks)))
    reader = _BodyReader()
    feed, body_ends = reader.feed, answer.body_ends
    for block in blocks:
        try:
            feed(block)
        except REFUSALS as error:
            answer.fault = None if reader.complete else refusal(error, block, reader)
        body_ends.append(reader.size)
        if reader.complete or answer.fault:
            break
    if reader.complete:
        answer.complete, answer.end_s = True, answer.times_s[len(body_ends) - 1]
    answer.body = b"".join(reader.body)
    if reader.has_head:
        answer.status, answer.headers = reader.status, reader.headers
        answer.until_close = not answer.complete and reader.end_of_stream()
    return answer
