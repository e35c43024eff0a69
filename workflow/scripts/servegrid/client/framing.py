"""Where an HTTP/1.1 response ends, in bytes that come in pieces of any size. RFC 9112, the client's side.

One implementation serves twice: while a load runs it only says whether the answer is complete; after the load, with
`spans=[]`, it also says where the body's bytes lie.
"""

import re
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import lru_cache

HEAD_BYTES = 64 * 1024
LINE_BYTES = 8 * 1024
RECHECK_BYTES = 256 * 1024

_HEAD_END = re.compile(rb"\r?\n\r?\n")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9]\d\d)(?: [^\r\n]*)?")
_HEADER = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*(.*?)[ \t]*")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?")


class MalformedError(Exception):
    """What came is not HTTP, or not within the limits; says what and where."""


@dataclass(slots=True)
class Head:
    """Status line and header fields of a response."""

    status: int
    minor_version: int
    headers: dict[str, str] = field(default_factory=dict)  # names in lower case; repeated fields joined by ", "

    @property
    def keep_alive(self) -> bool:
        """Whether the connection may carry another request."""
        options = {option.strip().lower() for option in self.headers.get("connection", "").split(",")}
        return "close" not in options and (self.minor_version == 1 or "keep-alive" in options)

    @property
    def chunked(self) -> bool:
        """Whether the body comes in chunks."""
        return self.headers.get("transfer-encoding", "").rpartition(",")[2].strip().lower() == "chunked"

    @property
    def length(self) -> int | None:
        """Body bytes as declared; None when the body ends otherwise.

        Raises:
            MalformedError: when Content-Length is no number, or two that differ.
        """
        if self.status in (204, 304):
            return 0
        if "transfer-encoding" in self.headers or "content-length" not in self.headers:
            return None
        values = {value.strip() for value in self.headers["content-length"].split(",")}
        value = values.pop()
        if values or not value.isascii() or not value.isdigit() or len(value) > 18:
            raise MalformedError(f"Content-Length is {self.headers['content-length'][:80]!r}")
        return int(value)


class State(Enum):
    """What the next byte belongs to."""

    HEAD = auto()
    SIZE = auto()
    DATA = auto()
    DATA_END = auto()
    TRAILER = auto()
    LENGTH = auto()
    UNTIL_CLOSE = auto()
    DONE = auto()


class Framing:
    """Reads one response, fed piece by piece.

    `spans`, when a list is given, gets start and stop of every run of body bytes, as offsets into all bytes fed.
    """

    __slots__ = ("_held", "_left", "_searched", "body_bytes", "fed", "head", "limit", "offset", "spans", "state")

    def __init__(self, limit: int, spans: list[int] | None = None) -> None:
        self.limit = limit
        self.spans = spans
        self.head: Head | None = None
        self.state = State.HEAD
        self.body_bytes = 0
        self.fed = 0
        self.offset = 0  # bytes consumed: where the response ends, once it is complete
        self._left = 0  # bytes still to come of the chunk or body at hand
        self._held = b""  # start of a line or head that is not complete
        self._searched = 0  # bytes of `_held` known not to end it

    @property
    def complete(self) -> bool:
        """Whether the response has ended."""
        return self.state is State.DONE

    def room(self) -> int:
        """Bytes that may come before it is worth feeding them."""
        if self.state is State.LENGTH:
            return min(self._left - 1, RECHECK_BYTES)
        return 0 if self.state is State.HEAD else RECHECK_BYTES

    def feed(self, block: bytes) -> bool:
        """Read on. True when the response has ended, with `offset` on the byte after its last.

        Raises:
            MalformedError: when this is not HTTP/1.1, or larger than the limits.
        """
        self.fed += len(block)
        if self._held:
            block = self._held + block
            self._held = b""
        at = 0
        while at < len(block) and self.state is not State.DONE:
            went = _STEPS[self.state](self, block, at)
            if went == at:  # an incomplete line
                self._held = block[at:]
                break
            self._searched = 0
            self.offset += went - at
            at = went
        return self.state is State.DONE

    def end_of_stream(self) -> bool:
        """The peer has closed. True if that ends the response rightly."""
        if self.state is State.UNTIL_CLOSE:
            self.state = State.DONE
        return self.state is State.DONE

    def _grow(self, count: int) -> None:
        self.body_bytes += count
        if self.body_bytes > self.limit:
            raise MalformedError(f"the answer is larger than the limit of {self.limit} bytes")

    def _span(self, at: int, start: int, stop: int) -> None:
        if self.spans is not None:
            base = self.offset - at
            self.spans += (base + start, base + stop)

    def _read_head(self, block: bytes, at: int) -> int:
        match = _HEAD_END.search(block, max(at, at + self._searched - 3))
        if (match.end() if match else len(block)) - at > HEAD_BYTES:
            raise MalformedError(f"the header is larger than {HEAD_BYTES} bytes")
        if not match:
            _early_refusal(block, at)
            self._searched = len(block) - at
            return at
        head = parse_head(block[at : match.start()])
        if head.status == 101:
            raise MalformedError("the server switched protocols (status 101)")
        if head.status >= 200:
            self.head = head
            self._begin_body(head)
        return match.end()

    def _begin_body(self, head: Head) -> None:
        length = head.length
        if head.chunked:
            self.state = State.SIZE
        elif length is None:
            self.state = State.UNTIL_CLOSE
        else:
            self._grow(length)
            self._left = length
            self.state = State.LENGTH if length else State.DONE

    def _read_size(self, block: bytes, at: int) -> int:
        """Chunks that lie whole in the block, as many as there are, then the size line of the one that does not."""
        spans, base, total, body = self.spans, self.offset - at, len(block), self.body_bytes
        while True:
            line_end = block.find(b"\r\n", at)
            if line_end < 0:
                self._line_too_long(block, at)
                self.body_bytes = body
                return at
            size = chunk_size(block[at:line_end])
            start, stop = line_end + 2, line_end + 2 + size
            body += size
            if not size or stop + 2 > total or body > self.limit:
                break
            if block[stop : stop + 2] != b"\r\n":
                raise MalformedError(f"no line end after the chunk that ends at byte {base + stop}")
            if spans is not None:
                spans += (base + start, base + stop)
            at = stop + 2
        self._grow(body - self.body_bytes)
        self._left = size
        self.state = State.DATA if size else State.TRAILER
        return start

    def _read_data(self, block: bytes, at: int) -> int:
        stop = min(at + self._left, len(block))
        self._span(at, at, stop)
        self._left -= stop - at
        if not self._left:
            self.state = State.DATA_END if self.state is State.DATA else State.DONE
        return stop

    def _read_data_end(self, block: bytes, at: int) -> int:
        end = block[at : at + 2]
        if not b"\r\n".startswith(end):
            raise MalformedError(f"no line end after the chunk that ends at byte {self.offset}")
        if len(end) < 2:
            return at
        self.state = State.SIZE
        return at + 2

    def _read_trailer(self, block: bytes, at: int) -> int:
        line_end = block.find(b"\r\n", at)
        if line_end < 0:
            self._line_too_long(block, at)
            return at
        if line_end == at:
            self.state = State.DONE
        else:
            self._left += line_end - at  # counts the trailer's bytes: no chunk is open here
            if self._left > HEAD_BYTES:
                raise MalformedError(f"the trailer is larger than {HEAD_BYTES} bytes")
        return line_end + 2

    def _read_until_close(self, block: bytes, at: int) -> int:
        self._grow(len(block) - at)
        self._span(at, at, len(block))
        return len(block)

    def _line_too_long(self, block: bytes, at: int) -> None:
        if len(block) - at > LINE_BYTES:
            raise MalformedError(f"a chunk's size line is longer than {LINE_BYTES} bytes")


_STEPS = {
    State.HEAD: Framing._read_head,
    State.SIZE: Framing._read_size,
    State.DATA: Framing._read_data,
    State.DATA_END: Framing._read_data_end,
    State.TRAILER: Framing._read_trailer,
    State.LENGTH: Framing._read_data,
    State.UNTIL_CLOSE: Framing._read_until_close,
}


def parse_head(text: bytes) -> Head:
    """Read status line and header fields, without the empty line at the end.

    Raises:
        MalformedError: when it is no HTTP/1.x response head.
    """
    status_line, *lines = text.replace(b"\r\n", b"\n").split(b"\n")
    match = _STATUS_LINE.fullmatch(status_line)
    if not match:
        raise MalformedError(f"not an HTTP/1.1 status line: {status_line[:80]!r}")
    head = Head(int(match[2]), int(match[1]))
    for line in lines:
        field_match = _HEADER.fullmatch(line)
        if not field_match:
            raise MalformedError(f"not a header field: {line[:80]!r}")
        name, value = field_match[1].decode("ascii").lower(), field_match[2].decode("latin-1")
        head.headers[name] = f"{head.headers[name]}, {value}" if name in head.headers else value
    return head


@lru_cache(4096)
def chunk_size(line: bytes) -> int:
    """Size in bytes from a chunk's first line, extensions left aside; cached, for a stream's sizes repeat.

    Raises:
        MalformedError: when it is no chunk size.
    """
    match = _CHUNK_SIZE.fullmatch(line)
    if not match:
        raise MalformedError(f"not a chunk size: {line[:80]!r}")
    return int(match[1], 16)


def _early_refusal(block: bytes, at: int) -> None:
    """Do not wait for the end of a header that cannot be one: a server that speaks something else may never send it."""
    start = block[at : at + 5]
    if not b"HTTP/".startswith(start) and not start.startswith(b"HTTP/"):
        raise MalformedError(f"not an HTTP/1.1 status line: {block[at : at + 80]!r}")
