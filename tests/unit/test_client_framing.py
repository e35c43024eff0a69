"""Framing against httptools (llhttp) as an independent reader, over any split."""

import httptools
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from servegrid.client.framing import HEAD_BYTES, Framing, MalformedError, chunk_size, parse_head

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LIMIT = 1 << 20


class Reference:
    """llhttp's reading of a response."""

    def __init__(self) -> None:
        self.body = b""
        self.complete = False
        self._parser = httptools.HttpResponseParser(self)

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.complete = self._parser.get_status_code() >= 200

    def feed(self, data: bytes) -> None:
        self._parser.feed_data(data)


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    at = sorted({cut % (len(data) + 1) for cut in cuts})
    return [data[a:b] for a, b in zip([0, *at], [*at, len(data)], strict=True) if a < b]


def read(pieces: list[bytes], limit: int = LIMIT) -> tuple[Framing, bytes]:
    spans: list[int] = []
    framing = Framing(limit, spans)
    for piece in pieces:
        if framing.feed(piece):
            break
    raw = b"".join(pieces)
    return framing, b"".join(raw[a:b] for a, b in zip(spans[::2], spans[1::2], strict=True))


bodies = st.lists(
    st.binary(max_size=40) | st.sampled_from([b"0\r\n\r\n", b"\r\n0\r\n\r\n", b"\r\n", b"5\r\nhello\r\n"]), max_size=8
)
extensions = st.sampled_from([b"", b";a=b", b';name="v"', b";x"])
trailers = st.sampled_from([b"", b"X-Sum: 5\r\n", b"A: b\r\nC: 0\r\n"])
cuts = st.lists(st.integers(min_value=0, max_value=10_000), max_size=30)


def chunked_response(parts: list[bytes], extension: bytes, trailer: bytes) -> bytes:
    chunks = b"".join(b"%x%b\r\n%b\r\n" % (len(part), extension, part) for part in parts if part)
    return CHUNKED + chunks + b"0" + extension + b"\r\n" + trailer + b"\r\n"


@given(bodies, extensions, trailers, cuts)
@example([b"\r\n0\r\n\r\n"], b"", b"", [*range(60)])
@example([b"hello"], b";a=b", b"A: b\r\nC: 0\r\n", [*range(120)])
def test_chunked_is_read_as_llhttp_reads_it_however_it_is_split(
    parts: list[bytes], extension: bytes, trailer: bytes, at: list[int]
) -> None:
    raw = chunked_response(parts, extension, trailer)
    framing, body = read(split(raw, at))
    reference = Reference()
    reference.feed(raw)
    assert framing.complete and reference.complete
    assert body == reference.body == b"".join(parts)
    assert framing.offset == len(raw) and framing.body_bytes == len(body)


@given(bodies, cuts, st.binary(min_size=1, max_size=20))
def test_the_end_is_found_before_what_follows(parts: list[bytes], at: list[int], junk: bytes) -> None:
    raw = chunked_response(parts, b"", b"")
    framing, body = read(split(raw + junk, at))
    assert framing.complete and framing.offset == len(raw)
    assert body == b"".join(parts)


@given(bodies, cuts)
def test_a_response_without_its_last_byte_is_not_complete(parts: list[bytes], at: list[int]) -> None:
    framing, _ = read(split(chunked_response(parts, b"", b"")[:-1], at))
    assert not framing.complete and not framing.end_of_stream()


@given(st.binary(max_size=100), cuts)
def test_content_length(body: bytes, at: list[int]) -> None:
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    framing, found = read(split(raw + b"more", at))
    assert framing.complete and found == body and framing.offset == len(raw)


@given(st.binary(max_size=100), cuts)
def test_without_length_the_close_is_the_end(body: bytes, at: list[int]) -> None:
    framing, found = read(split(b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\n" + body, at))
    assert not framing.complete and found == body
    assert framing.end_of_stream() and framing.complete


@given(st.lists(st.sampled_from([100, 102, 103]), max_size=3), cuts)
def test_informational_responses_are_passed_over(codes: list[int], at: list[int]) -> None:
    early = b"".join(b"HTTP/1.1 %d Early\r\nLink: x\r\n\r\n" % code for code in codes)
    framing, body = read(split(early + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", at))
    assert framing.complete and body == b"ok" and framing.head is not None and framing.head.status == 200


@pytest.mark.parametrize("raw", [b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"])
def test_no_body(raw: bytes) -> None:
    framing, body = read([raw])
    assert framing.complete and body == b""


@given(st.binary(max_size=300), cuts)
def test_any_bytes_are_read_or_refused_and_the_split_does_not_matter(raw: bytes, at: list[int]) -> None:
    def outcome(pieces: list[bytes]) -> tuple[bool, int] | str:
        try:
            framing, _ = read(pieces)
        except MalformedError:
            return "malformed"
        return framing.complete, framing.body_bytes

    start = CHUNKED if raw[:1] > b"\x80" else b""
    assert outcome([start + raw]) == outcome(split(start + raw, at))


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "not an HTTP/1.1 status line"),
        (b"HTTP/2 200\r\n\r\n", "not an HTTP/1.1 status line"),
        (b"HTTP/1.1 20 OK\r\n\r\n", "not an HTTP/1.1 status line"),
        (b"HTTP/1.1 101 Switching\r\n\r\n", "switched protocols"),
        (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "not a header field"),
        (b"HTTP/1.1 200 OK\r\nA b: c\r\n\r\n", "not a header field"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "Content-Length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n", "Content-Length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "Content-Length"),
        (CHUNKED + b"xyz\r\n", "not a chunk size"),
        (CHUNKED + b"-5\r\nhello\r\n", "not a chunk size"),
        (CHUNKED + b"1_0\r\n", "not a chunk size"),
        (CHUNKED + b"5\r\nhelloX\r\n", "no line end after the chunk"),
        (CHUNKED + b"5\r\nhello\r\n" + b"1" * 9000, "size line is longer"),
        (CHUNKED + b"fffffff\r\n", "larger than the limit"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", "larger than the limit"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (LIMIT + 1), "larger than the limit"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * HEAD_BYTES, "header is larger"),
        (CHUNKED + b"0\r\n" + b"X: y\r\n" * 20_000, "trailer is larger"),
    ],
)
def test_what_is_refused(raw: bytes, words: str) -> None:
    with pytest.raises(MalformedError, match=words):
        read([raw])
    with pytest.raises(MalformedError, match=words):
        read([raw[at : at + 100] for at in range(0, len(raw), 100)])


def test_head_fields() -> None:
    head = parse_head(b"HTTP/1.1 503 Busy\r\nRetry-After:  7 \r\nX-A: 1\r\nx-a: 2")
    assert head.status == 503
    assert head.headers == {"retry-after": "7", "x-a": "1, 2"}


@pytest.mark.parametrize(
    ("head", "kept"),
    [
        (b"HTTP/1.1 200 OK", True),
        (b"HTTP/1.1 200 OK\r\nConnection: Close", False),
        (b"HTTP/1.1 200 OK\r\nConnection: upgrade, close", False),
        (b"HTTP/1.0 200 OK", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive", True),
    ],
)
def test_keep_alive(head: bytes, kept: bool) -> None:
    assert parse_head(head).keep_alive is kept


def test_chunked_beats_content_length() -> None:
    framing, body = read(
        [b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"]
    )
    assert framing.complete and body == b"ab"


def test_sizes_of_chunks() -> None:
    assert [chunk_size(line) for line in (b"0", b"1F", b"00a;x=y", b"7 ")] == [0, 31, 10, 7]
