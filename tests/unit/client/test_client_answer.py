"""Answers and events from logs of reads: the content never depends on how the bytes were split, the times always do."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from servegrid.client import response as answers
from servegrid.client import sse
from servegrid.client.response import Response, parse_response
from servegrid.protocols.events import Events
from standins.answers import CLOSE_HEAD, HEAD, chunk, chunked, events

cuts = st.lists(st.integers(min_value=0, max_value=100_000), max_size=40)


def log(raw: bytes, at: list[int]) -> list[Any]:
    """A log whose time is the number of the read, from 1."""
    ends = sorted({cut % len(raw) for cut in at} - {0})
    pieces = [raw[a:b] for a, b in zip([0, *ends], [*ends, len(raw)], strict=True)]
    return [item for number, piece in enumerate(pieces, 1) for item in (float(number), piece)]


def body_of(raw_body: bytes, times_s: list[float] | None = None) -> Response:
    count = len(raw_body) if times_s is None else len(times_s)
    return Response(
        body=raw_body, times_s=times_s or [float(n + 1) for n in range(count)], body_ends=list(range(1, count + 1))
    )


def found(body: bytes) -> list[tuple[bytes, str]]:
    read = sse.read_events(body_of(body))
    return [(data, read.types.get(number, "")) for number, data in enumerate(read.data)]


@given(st.lists(st.binary(min_size=1, max_size=30), min_size=1, max_size=8), cuts)
@settings(deadline=None)
def test_body_and_its_arrivals(parts: list[bytes], at: list[int]) -> None:
    raw = chunked(parts)
    taken = log(raw, at)
    answer = parse_response(taken)
    assert answer.complete and answer.body == b"".join(parts) and answer.received == len(raw)
    assert answer.end_s == taken[-2]
    # against the definition: byte n of the body was there when its place in the raw bytes was
    place, body_places = len(HEAD), []
    for part in parts:
        place += len(b"%x\r\n" % len(part))
        body_places += range(place, place + len(part))
        place += len(part) + 2
    ends = [sum(len(piece) for piece in taken[1 : 2 * n + 2 : 2]) for n in range(len(taken) // 2)]
    for offset, where in enumerate(body_places, 1):
        assert answer.arrival_s(offset) == next(taken[2 * n] for n, end in enumerate(ends) if end > where)


@given(st.integers(min_value=1, max_value=6), cuts)
@settings(deadline=None)
def test_times_of_events_do_not_depend_on_the_path_they_are_read_by(tokens: int, at: list[int]) -> None:
    answer = parse_response(log(chunked(events(tokens)), at))
    assert sse.read_events(answer) == sse._read_any_events(answer)


@given(
    st.lists(
        st.sampled_from(
            [b"data: a\n\n", b"data:b\n\n", b": c\n", b"\n", b"data: ", b"x", b"\r\n", b"\r", b"data\n", b"event: e\n"]
        )
    )
)
@settings(deadline=None)
def test_the_short_way_reads_what_the_standard_way_reads(parts: list[bytes]) -> None:
    answer = body_of(b"".join(parts))
    assert sse.read_events(answer) == sse._read_any_events(answer)


def test_each_event_has_the_time_of_its_own_read() -> None:
    pieces = [HEAD, *[chunk(event) for event in events(3)], b"0\r\n\r\n"]
    taken = [item for number, piece in enumerate(pieces) for item in (float(number), piece)]
    answer = parse_response(taken)
    assert sse.read_events(answer).times_s == [1.0, 2.0, 3.0, 4.0]
    assert answer.end_s == 5.0


def test_an_event_is_there_when_the_line_that_ends_it_is() -> None:
    pieces = [CLOSE_HEAD + b"data: a\n", b"\ndata: b\n\nda", b"ta: c\n\n"]
    taken = [item for number, piece in enumerate(pieces) for item in (float(number), piece)]
    assert sse.read_events(parse_response(taken)).times_s == [1.0, 1.0, 2.0]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"data: a\n\n", [(b"a", "")]),
        (b"data:a\n\n", [(b"a", "")]),
        (b"data:  a\n\n", [(b" a", "")]),
        (b"data: a\r\n\r\n", [(b"a", "")]),
        (b"data: a\r\rdata: b\r\r", [(b"a", ""), (b"b", "")]),
        (b"data: a\ndata: b\n\n", [(b"a\nb", "")]),
        (b"\xef\xbb\xbfdata: a\n\n", [(b"a", "")]),
        (b": keep-alive\n\ndata: a\n\n: bye\n\n", [(b"a", "")]),
        (b"event: error\ndata: a\n\ndata: b\n\n", [(b"a", "error"), (b"b", "")]),
        (b"event: message\ndata: a\n\n", [(b"a", "")]),
        (b"event: ping\n\ndata: a\n\n", [(b"a", "")]),
        (b"id: 7\nretry: 10\ndata: a\nunknown: x\n\n", [(b"a", "")]),
        (b"data: a\n\n\n\ndata: b\n\n", [(b"a", ""), (b"b", "")]),
        (b"data: a\n\ndata: unfinished\n", [(b"a", "")]),
        (b"data\n\ndata:\n\ndata: \n\ndata: a\n\n", [(b"a", "")]),
        (b"", []),
    ],
)
def test_events_as_the_standard_reads_them(body: bytes, expected: list[tuple[bytes, str]]) -> None:
    assert found(body) == expected


@pytest.mark.parametrize("before", [b": hello\n\n", b"event: x\ndata: a\n\n", b"data: a\r\r", b"data: a\r\n\r\n"])
def test_a_last_line_without_end_costs_no_more_than_its_length(before: bytes) -> None:
    body = before + b"x" * 2**22  # to go through it once from each of its bytes would take hours
    answer = Response(body=body, times_s=[1.0], body_ends=[len(body)])
    assert sse.read_events(answer).data == ([b"a"] if b"data" in before else [])


def test_an_empty_log_is_an_empty_answer() -> None:
    answer = parse_response([])
    assert (answer.status, answer.body, answer.complete, answer.end_s, answer.fault) == (None, b"", False, None, None)
    assert sse.read_events(answer) == Events()


def test_a_stamp_without_its_bytes_does_no_harm() -> None:
    """An interruption may fall between the two."""
    assert answers.parse_response([1.0, chunked([b"ab"]), 2.0]).body == b"ab"
