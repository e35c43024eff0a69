"""Where HTTP/1.1 responses begin and end in bytes that come in pieces of any size; llhttp does the reading."""

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

HEAD_BYTES = 64 * 1024
FRAMING = (b"content-length", b"transfer-encoding")

REFUSALS = (HttpParserError, HttpParserUpgrade)
"""What `Reader.feed` raises when the bytes are not HTTP/1.1, or when something follows the end of a response."""


class Reader:
    """Reads the responses of one connection, one after another.

    `feed(data)` reads on, and raises one of REFUSALS; `complete` says whether the response has ended.
    """

    __slots__ = ("_begun", "_parser", "complete", "feed", "has_head", "headers", "keep_alive", "status")

    def __init__(self) -> None:
        self._parser = HttpResponseParser(self)
        self.feed = self._parser.feed_data
        self.begin()

    def begin(self) -> None:
        """Wait for the next response."""
        self._begun = 0
        self.complete = self.has_head = self.keep_alive = False
        self.status = 0
        self.headers: dict[str, str] = {}  # names in lower case; repeated fields joined by ", "

    def on_message_begin(self) -> None:
        """Called by the parser."""
        self._begun += 1

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser for every field; those of a trailer are left aside."""
        if not self.has_head:
            key, text = name.decode("latin-1").lower(), value.decode("latin-1").strip(" \t")
            self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        if not self.has_head:
            self.status = self._parser.get_status_code()
            self.keep_alive = self._parser.should_keep_alive()
            self.has_head = True

    def on_message_complete(self) -> None:
        """Called by the parser; an informational response (100 Continue) is not the answer."""
        if self.status < 200 and not self.complete:
            self.begin()
        else:
            self.complete = True

    @property
    def reusable(self) -> bool:
        """Whether the connection may carry another request: the response has ended, and nothing followed it."""
        return self.complete and self.keep_alive and self._begun == 1

    def end_of_stream(self) -> bool:
        """The server has closed. True if that ends the response rightly: its body was to go on until then."""
        framed = "content-length" in self.headers or "chunked" in self.headers.get("transfer-encoding", "").lower()
        self.complete |= self.has_head and self.status >= 200 and not framed
        return self.complete


def refusal(error: Exception, data: bytes, reader: Reader) -> str:
    """Words for one of REFUSALS: what is wrong, and what came."""
    if isinstance(error, HttpParserUpgrade):
        return "the server switched protocols"
    where = "in the body" if reader.has_head else "in the header"
    return f"not HTTP/1.1, {where}: {str(error).lower()}: {data[:60]!r}"


def reframed(head: bytes, size: int) -> bytes:
    """A response's header for a body whose framing somebody else has taken off, and of which `size` bytes were left.

    A header that had no framing, so that the body went on until the connection closed, is left as it was.
    """
    fields = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    kept = [field for field in fields if field.partition(b":")[0].strip().lower() not in FRAMING]
    if len(kept) < len(fields):
        kept.append(b"content-length: %d" % size)
    return b"\r\n".join(kept) + b"\r\n\r\n"
