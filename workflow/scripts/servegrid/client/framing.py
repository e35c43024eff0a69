"""Find where HTTP/1.1 responses begin and end in pieces of any size; llhttp does the parsing."""

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

MAX_HEAD_BYTES = 64 * 1024
FRAMING_HEADERS = (b"content-length", b"transfer-encoding")

PARSE_ERRORS = (HttpParserError, HttpParserUpgrade)
"""Exceptions of `ResponseReader.feed` for bytes that are not HTTP/1.1 or that follow the end of a response."""


class ResponseReader:
    """Reads the responses of one connection, one after another.

    `feed(data)` parses more bytes, and raises one of PARSE_ERRORS; `complete` says whether the response has ended.
    """

    __slots__ = ("_begun", "_parser", "complete", "feed", "has_head", "headers", "keep_alive", "status")

    def __init__(self) -> None:
        self._parser = HttpResponseParser(self)
        self.feed = self._parser.feed_data
        self.begin()

    def begin(self) -> None:
        """Reset for the next response."""
        self._begun = 0
        self.complete = self.has_head = self.keep_alive = False
        self.status = 0
        self.headers: dict[str, str] = {}  # names in lower case; repeated fields joined by ", "

    def on_message_begin(self) -> None:
        """Count a response; called by the parser."""
        self._begun += 1

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header field; called by the parser, also for fields of a trailer, which are ignored."""
        if not self.has_head:
            key, text = name.decode("latin-1").lower(), value.decode("latin-1").strip(" \t")
            self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text

    def on_headers_complete(self) -> None:
        """Keep status and keep-alive; called by the parser."""
        if not self.has_head:
            self.status = self._parser.get_status_code()
            self.keep_alive = self._parser.should_keep_alive()
            self.has_head = True

    def on_message_complete(self) -> None:
        """Mark the response as complete; called by the parser. An informational response (100 Continue) is skipped."""
        if self.status < 200 and not self.complete:
            self.begin()
        else:
            self.complete = True

    @property
    def reusable(self) -> bool:
        """Whether the connection may carry another request: the response has ended, and nothing followed it."""
        return self.complete and self.keep_alive and self._begun == 1

    def end_of_stream(self) -> bool:
        """Note that the server has closed; return whether that completes the response, whose body then went on until the close."""
        framed = "content-length" in self.headers or "chunked" in self.headers.get("transfer-encoding", "").lower()
        self.complete |= self.has_head and self.status >= 200 and not framed
        return self.complete


def parse_error_text(error: Exception, data: bytes, reader: ResponseReader) -> str:
    """Text of one of PARSE_ERRORS: what is wrong, and the bytes received."""
    if isinstance(error, HttpParserUpgrade):
        return "the server switched protocols"
    where = "in the body" if reader.has_head else "in the header"
    return f"not HTTP/1.1, {where}: {str(error).lower()}: {data[:60]!r}"


def with_content_length(head: bytes, size: int) -> bytes:
    """Head of a response with a Content-Length of `size` in place of its framing, which a library has taken off its body.

    A header that had no framing, so that the body went on until the connection closed, is left as it was.
    """
    fields = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    other_fields = [field for field in fields if field.partition(b":")[0].strip().lower() not in FRAMING_HEADERS]
    if len(other_fields) < len(fields):
        other_fields.append(b"content-length: %d" % size)
    return b"\r\n".join(other_fields) + b"\r\n\r\n"
