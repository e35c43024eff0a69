"""Parse the log of reads into a response: head, body, and when each byte of the body arrived. Runs after the load."""

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Any

from servegrid.client.framing import PARSE_ERRORS, ResponseReader, parse_error_text


@dataclass(slots=True)
class Response:
    """An HTTP response, as far as it was received."""

    status: int | None = None  # None: its header never came whole
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    times_s: list[float] = field(default_factory=list)  # of the reads
    body_ends: list[int] = field(default_factory=list)  # body bytes that were there after each read
    complete: bool = False  # by its framing; a body that goes on until the connection closes never is
    until_close: bool = False
    received: int = 0  # bytes, head and framing included
    end_s: float | None = None  # when its last byte came; None if it never did
    fault: str | None = None  # why it is not HTTP

    def arrival_s(self, offset: int) -> float:
        """Time when the first `offset` bytes of the body had arrived, in s."""
        return self.times_s[bisect_left(self.body_ends, offset)]


class _BodyReader(ResponseReader):
    """Reader that keeps the body."""

    __slots__ = ("body", "size")

    def __init__(self) -> None:
        self.body: list[bytes] = []
        self.size = 0
        super().__init__()

    def on_body(self, data: bytes) -> None:
        """Keep a part of the body; called by the parser."""
        if not self.complete:
            self.body.append(data)
            self.size += len(data)


def parse_response(log: list[Any]) -> Response:
    """Parse the log of an exchange; the response is the same however its bytes were split over the reads."""
    blocks = log[1::2]
    response = Response(times_s=log[::2][: len(blocks)], received=sum(map(len, blocks)))
    reader = _BodyReader()
    feed, body_ends = reader.feed, response.body_ends
    for block in blocks:
        try:
            feed(block)
        except PARSE_ERRORS as error:
            response.fault = None if reader.complete else parse_error_text(error, block, reader)
        body_ends.append(reader.size)
        if reader.complete or response.fault:
            break
    if reader.complete:
        response.complete, response.end_s = True, response.times_s[len(body_ends) - 1]
    response.body = b"".join(reader.body)
    if reader.has_head:
        response.status, response.headers = reader.status, reader.headers
        response.until_close = not response.complete and reader.end_of_stream()
    return response
