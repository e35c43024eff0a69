"""Where responses end, over any split of their bytes."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from servegrid.client.framing import PARSE_ERRORS, ResponseReader
from servegrid.client.response import Response, parse_response

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

lookalikes = [b"0\r\n\r\n", b"\r\n0\r\n\r\n", b"\r\n", b"5\r\nhello\r\n"]
bodies = st.lists(st.binary(max_size=40) | st.sampled_from(lookalikes), max_size=8)
extensions = st.sampled_from([b"", b";a=b", b';name="v"', b";x"])
trailers = st.sampled_from([b"", b"X-Sum: 5\r\n", b"A: b\r\nTransfer-X: 0\r\n"])
cuts = st.lists(st.integers(min_value=0, max_value=10_000), max_size=30)


def split(data: bytes, at: list[int]) -> list[bytes]:
    ends = sorted({cut % (len(data) + 1) for cut in at} | {0, len(data)})
    return [data[a:b] for a, b in pairwise(ends)]


def feed(pieces: Sequence[bytes]) -> tuple[ResponseReader, int]:
    """A reader that was fed until the end of the response, and how many bytes that took."""
    reader, fed = ResponseReader(), 0
    for piece in pieces:
        fed += len(piece)
        try:
            reader.feed(piece)
        except PARSE_ERRORS:
            if not reader.complete:
                raise
        if reader.complete:
            break
    return reader, fed


def answer(pieces: Sequence[bytes]) -> Response:
    return parse_response([item for number, piece in enumerate(pieces) for item in (float(number), piece)])


def chunked(parts: list[bytes], extension: bytes = b"", trailer: bytes = b"") -> bytes:
    chunks = b"".join(b"%x%b\r\n%b\r\n" % (len(part), extension, part) for part in parts if part)
    return CHUNKED + chunks + b"0" + extension + b"\r\n" + trailer + b"\r\n"


@given(bodies, extensions, trailers, cuts)
@example([b"\r\n0\r\n\r\n"], b"", b"", [*range(60)])
@example([b"hello"], b";a=b", b"A: b\r\nC: 0\r\n", [*range(120)])
@settings(deadline=None)
def test_chunked_however_it_is_split(parts: list[bytes], extension: bytes, trailer: bytes, at: list[int]) -> None:
    raw = chunked(parts, extension, trailer)
    reader, fed = feed(split(raw, at))
    assert reader.complete and reader.reusable and fed == len(raw)
    response = answer(split(raw, at))
    assert (response.complete, response.body, response.status, response.fault) == (True, b"".join(parts), 200, None)
    assert response.headers == {"transfer-encoding": "chunked"}


junk = st.binary(min_size=1, max_size=20).filter(lambda data: data[0] not in b"\r\n")  # a reader may skip those


@given(bodies, cuts, junk | st.just(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"))
@settings(deadline=None)
def test_what_follows_the_end_is_no_part_of_it(parts: list[bytes], at: list[int], more: bytes) -> None:
    raw = chunked(parts)
    reader, fed = feed(split(raw + more, at))
    assert reader.complete and fed >= len(raw) and reader.reusable == (fed == len(raw))
    response = answer(split(raw + more, at))
    assert (response.complete, response.body, response.status, response.fault) == (True, b"".join(parts), 200, None)


@given(bodies, cuts)
@settings(deadline=None)
def test_a_response_without_its_last_byte_is_not_complete(parts: list[bytes], at: list[int]) -> None:
    reader, _ = feed(split(chunked(parts)[:-1], at))
    assert not reader.complete and not reader.end_of_stream()


@given(st.binary(max_size=100), cuts)
@settings(deadline=None)
def test_content_length(body: bytes, at: list[int]) -> None:
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    reader, fed = feed(split(raw, at))
    assert reader.reusable and fed == len(raw)
    assert answer(split(raw + b"more", at)).body == body


@given(st.binary(max_size=100), cuts)
@settings(deadline=None)
def test_without_length_the_close_is_the_end(body: bytes, at: list[int]) -> None:
    raw = b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\n" + body
    reader, _ = feed(split(raw, at))
    assert not reader.complete and reader.end_of_stream() and not reader.reusable
    response = answer(split(raw, at))
    assert response.until_close and not response.complete and response.body == body


@given(st.lists(st.sampled_from([100, 102, 103]), max_size=3), cuts)
@settings(deadline=None)
def test_informational_responses_are_passed_over(codes: list[int], at: list[int]) -> None:
    early = b"".join(b"HTTP/1.1 %d Early\r\nLink: x\r\n\r\n" % code for code in codes)
    raw = early + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    reader, fed = feed(split(raw, at))
    assert reader.reusable and fed == len(raw)
    response = answer(split(raw, at))
    assert (response.status, response.body, response.headers) == (200, b"ok", {"content-length": "2"})


@given(bodies, bodies, cuts)
@settings(deadline=None)
def test_one_reader_reads_one_response_after_another(first: list[bytes], second: list[bytes], at: list[int]) -> None:
    reader = ResponseReader()
    for parts in (first, second):
        reader.begin()
        for piece in split(chunked(parts), at):
            reader.feed(piece)
        assert reader.reusable and reader.status == 200


@pytest.mark.parametrize("raw", [b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"])
def test_no_body(raw: bytes) -> None:
    assert feed([raw])[0].reusable and answer([raw]).body == b""


@given(st.binary(max_size=300), cuts, st.sampled_from([b"", CHUNKED, b"HTTP/1.1 200 OK\r\n"]))
@settings(deadline=None)
def test_any_bytes_are_read_or_refused_and_the_split_does_not_matter(raw: bytes, at: list[int], start: bytes) -> None:
    whole, pieces = answer([start + raw]), answer(split(start + raw, at))
    assert (whole.status, whole.body, whole.complete) == (pieces.status, pieces.body, pieces.complete)
    assert (whole.fault is None) == (pieces.fault is None)


@pytest.mark.parametrize(
    ("raw", "where"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "in the header: expected http/"),
        (b"HTTP/1.1 20 OK\r\n\r\n", "in the header"),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "switched protocols"),
        (b"HTTP/1.1 200 OK\r\nA b: c\r\n\r\n", "in the header"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "in the header"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "in the header"),
        (CHUNKED + b"xyz\r\n", "in the body: invalid character in chunk size"),
        (CHUNKED + b"-5\r\nhello\r\n", "in the body"),
        (CHUNKED + b"1_0\r\n", "in the body"),
        (CHUNKED + b"5\r\nhelloX\r\n", "in the body"),
    ],
)
def test_what_is_refused(raw: bytes, where: str) -> None:
    for pieces in ([raw], split(raw, [*range(len(raw))])):
        response = answer(pieces)
        assert response.fault is not None and where in response.fault


@pytest.mark.parametrize(
    ("head", "kept"),
    [
        (b"HTTP/1.1 200 OK", True),
        (b"HTTP/1.1 200 OK\r\nConnection: Close", False),
        (b"HTTP/1.1 200 OK\r\nConnection: x, close", False),
        (b"HTTP/1.0 200 OK", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive", True),
    ],
)
def test_keep_alive(head: bytes, kept: bool) -> None:
    reader, _ = feed([head + b"\r\nContent-Length: 2\r\n\r\nok"])
    assert reader.complete and reader.reusable is kept


def test_header_fields() -> None:
    response = answer([b"HTTP/1.1 503 Busy\r\nRetry-After:  7 \r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 0\r\n\r\n"])
    assert response.status == 503
    assert response.headers == {"retry-after": "7", "x-a": "1, 2", "content-length": "0"}
