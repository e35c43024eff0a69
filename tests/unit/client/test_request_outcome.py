"""From an exchange's log to its record: fields, errors in words and their lengths, and ends of every kind."""

import json
from typing import Any

import pytest

from servegrid import protocols
from servegrid.client.exchange import Exchange, Request
from servegrid.client.request_outcome import make_record
from servegrid.records.request import RequestRecord
from standins.answers import CLOSE_HEAD, DONE, HEAD, chunk, chunked, completion, event, events, sized, usage

PROTOCOL = protocols.get("openai-completions")


def outcome(*reads: bytes, fault: Any = None) -> RequestRecord:
    """Record of an exchange whose answer was read in these pieces, at 10, 11, 12 … s."""
    exchange = Exchange(5, "id", Request("r", "prompt", b"", 3), thread=2, sent_s=9.5, end_s=20.0, fault=fault)
    exchange.planned_s = 9.25
    return make_record(exchange, [item for n, piece in enumerate(reads) for item in (10.0 + n, piece)], PROTOCOL)


def test_what_is_known_of_every_request() -> None:
    raw = chunked(events(3))
    record = outcome(raw[:30], raw[30:])
    assert (record.request_id, record.prompt_id, record.max_tokens, record.status) == ("id", "prompt", 3, "ok")
    assert (record.thread, record.planned_s, record.sent_s, record.first_byte_s, record.end_s) == (
        2,
        9.25,
        9.5,
        10.0,
        11.0,
    )
    assert (record.bytes_received, record.http_status, record.error) == (len(raw), 200, None)
    nothing = outcome(fault=("timeout", "no first byte within 3 s"))
    assert (nothing.status, nothing.error, nothing.first_byte_s, nothing.end_s) == (
        "timeout",
        "no first byte within 3 s",
        None,
        20.0,
    )
    assert outcome().status == "malformed" and outcome().error == "no HTTP response"
    rubbish = outcome(b"SSH-2.0-OpenSSH_9.2p1\r\n")
    assert rubbish.status == "malformed" and str(rubbish.error).startswith("not HTTP/1.1, in the header")


@pytest.mark.parametrize(
    ("status", "fields", "body", "record"),
    [
        ("500 Oops", "", b"no room", ("error", "HTTP 500: no room")),
        ("404 Not Found", "", b"", ("error", "HTTP 404")),
        ("429 Slow Down", "Retry-After: 7\r\n", b"", ("rejected", "HTTP 429, Retry-After: 7")),
        ("503 Busy", "", b'{"error": {"message": "full"}}', ("rejected", "HTTP 503: full")),
        ("307 Moved", "Location: /v1\r\n", b"", ("error", "HTTP 307, to /v1")),
        ("400 Bad", "", b'data: {"error": "odd"}', ("error", "HTTP 400: odd")),
        ("400 Bad", "", b"{" * 100_000, ("error", "HTTP 400: " + "{" * 490)),
        ("400 Bad", "", b"\xc3\xa9" * 2000, ("error", "HTTP 400: " + "é" * 490)),
        ("199 Odd", "", b"", ("malformed", None)),
    ],
)
def test_refusals_in_words_of_500_characters_at_most(
    status: str, fields: str, body: bytes, record: tuple[str, str | None]
) -> None:
    raw = f"HTTP/1.1 {status}\r\n{fields}Content-Length: {len(body)}\r\n\r\n".encode() + body
    found = outcome(raw)
    assert found.status == record[0] and (record[1] is None or found.error == record[1])


def test_what_is_compressed_was_not_asked_for() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: GZIP\r\nContent-Length: 2\r\n\r\nab"
    assert outcome(head).error == "the answer is compressed (gzip), which was not asked for"
    assert outcome(sized(b"".join(events(3))).replace(b"\r\n", b"\r\nContent-Encoding: identity\r\n", 1)).status == "ok"


@pytest.mark.parametrize("before", [b"", b" \r\n\t" * 15])
def test_one_document_is_an_event_at_its_end(before: bytes) -> None:
    document = before + json.dumps(completion("all", 3, "stop")).encode()
    raw = sized(document, kind="application/json")
    record = outcome(raw[:-1], raw[-1:])
    assert (record.status, record.text, record.chunk_offsets_s, record.output_tokens) == ("ok", "all", [1.5], 3)
    assert (
        outcome(raw[:-1], fault=("disconnected", "the server closed the connection within the answer")).status
        == "disconnected"
    )


@pytest.mark.parametrize("size", [500, 501, 2000])
def test_an_error_in_the_stream_is_cut_too(size: int) -> None:
    record = outcome(chunked([event({"error": {"message": "x" * size}})]))
    assert record.status == "error" and record.error == "x" * 500


def test_ends_without_an_end() -> None:
    part = [event(completion(" a")), event(completion(" b"))]
    assert outcome(chunked(part)).error == "the answer ended after 2 events, without a finish reason or end mark"
    assert outcome(chunked(part)).status == "malformed"
    closed = outcome(CLOSE_HEAD + b"".join(part))
    assert (closed.status, closed.error) == (
        "disconnected",
        "the server closed the connection after 2 events, without a finish reason or end mark",
    )
    assert outcome(CLOSE_HEAD).error == "the server closed the connection without any event"
    assert outcome(sized(b"")).error == "the answer ended without any event"


def test_after_the_end_mark_nothing_can_be_missing() -> None:
    fault = ("disconnected", "the server closed the connection within the answer")
    whole = HEAD + b"".join(map(chunk, events(3)))
    assert b"".join(events(3)).endswith(DONE)
    assert outcome(whole, fault=fault).status == "ok"
    assert outcome(whole, fault=("timeout", "late")).status == "timeout"
    unfinished = HEAD + b"".join(map(chunk, events(3)[:-1]))
    assert outcome(unfinished, fault=fault).status == "disconnected"


def test_a_long_finish_reason_is_cut() -> None:
    record = outcome(chunked([event(completion(" a", finish="f" * 600)), event(usage(1))]))
    assert record.finish_reason == "f" * 100 and record.status == "error"
    assert record.error == f"the answer ended with finish reason {'f' * 600!r}"[:500]


def test_a_lone_half_of_a_character_is_replaced() -> None:
    record = outcome(chunked([event({"error": {"message": "half \ud83d of one"}})]))
    assert record.error == "half \ufffd of one"
