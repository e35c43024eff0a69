"""The client against servers on real sockets: every kind of answer, good, bad and hostile, becomes one classified record."""

import resource
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from servegrid.client.endpoint import Endpoint, EndpointError
from servegrid.client.exchange import Request
from servegrid.client.run import run
from servegrid.client.shape import ClosedLoop, Timeouts
from servegrid.host.ports import free_port
from servegrid.protocols.base import GenerationSettings
from standins.answers import CLOSE_HEAD, DONE, END, HEAD, chunk, chunked, completion, event, events, sized, usage
from standins.loads import GOOD, PROTOCOL, TIMES_OUT, TOKENS, load, one, requests
from standins.scripted import CERTIFICATE, CLOSE, HOLD, READ, RESET, ScriptedServer, Seen, Step

pytestmark = pytest.mark.slow


def test_a_good_answer() -> None:
    pieces = (step for event_bytes in events(TOKENS) for step in (chunk(event_bytes), READ, 0.02))
    with ScriptedServer([HEAD, *pieces, END]) as server:
        result = load(server)
    [record], [seen] = result.records, server.seen
    assert (record.status, record.error, record.http_status, record.finish_reason) == ("ok", None, 200, "length")
    assert (record.text, record.output_tokens, record.prompt_tokens, record.tokens_from) == (" w0 w1 w2", 3, 7, "usage")
    assert record.chunk_tokens == [1, 2, 3] and len(record.chunk_offsets_s) == 3
    assert record.request_id == seen.headers["x-request-id"] == "r0" and record.prompt_id == "p0" and record.thread == 0
    times = [record.sent_s, seen.t_s, record.first_byte_s, record.first_token_s, record.last_token_s, record.end_s]
    assert times == sorted(times)  # type: ignore[type-var]
    assert record.first_token_s == pytest.approx(record.sent_s + record.chunk_offsets_s[0])  # type: ignore[operator]
    gaps = [b - a for a, b in zip(record.chunk_offsets_s, record.chunk_offsets_s[1:], strict=False)]
    assert all(gap > 0.01 for gap in gaps)
    assert (result.start_s, result.end_s, result.unsent) == (record.sent_s, record.end_s, 0)
    assert result.client_cpu_s > 0 and result.lateness is None


def test_what_is_sent() -> None:
    with ScriptedServer([GOOD]) as server:
        load(server, endpoint=Endpoint(f"{server.url}/v1/completions?a=ü b", {"Authorization": "Bearer k", "X-A": "1"}))
    [seen] = server.seen
    assert seen.line == "POST /v1/completions?a=%C3%BC%20b HTTP/1.1"
    assert seen.headers["host"] == f"127.0.0.1:{server.port}" and seen.headers["authorization"] == "Bearer k"
    assert seen.headers["content-type"] == "application/json" and seen.headers["x-a"] == "1"
    assert seen.json["prompt"] == "Hi" and seen.json["stream"] is True


@pytest.mark.parametrize("raw", [GOOD, sized(b"".join(events(TOKENS))), CLOSE_HEAD + b"".join(events(TOKENS))])
def test_split_at_every_byte(raw: bytes) -> None:
    closes = [CLOSE] if raw.startswith(CLOSE_HEAD) else []
    record = one([*(raw[at : at + 1] for at in range(len(raw))), *closes])
    assert (record.status, record.text, record.output_tokens, record.bytes_received) == ("ok", " w0 w1 w2", 3, len(raw))


def test_a_split_at_every_single_place() -> None:
    """Two writes, with the cut at each place in turn; the same connection throughout."""
    with ScriptedServer(lambda seen: [GOOD[: seen.number + 1], 0.001, GOOD[seen.number + 1 :]]) as server:
        records = load(server, number=len(GOOD) - 1).records
    assert Counter((r.status, r.text, r.output_tokens) for r in records) == {("ok", " w0 w1 w2", 3): len(GOOD) - 1}
    assert server.connections == 1


def test_everything_in_one_write() -> None:
    record = one([GOOD])
    assert record.status == "ok" and len(set(record.chunk_offsets_s)) == 1


@pytest.mark.parametrize(
    "raw",
    [
        HEAD + b"".join(b"%x;a=b\r\n%b\r\n" % (len(e), e) for e in events(TOKENS)) + b"0;c\r\nX-Sum: 1\r\nY: 2\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + GOOD,
        chunked([b"".join(events(TOKENS)).replace(b"\n", b"\r\n")]),
        chunked([b": hello\n\n", *events(TOKENS), b": bye\n\n"]),
        chunked([b"id: 1\nevent: message\nretry: 5\n" + event_bytes for event_bytes in events(TOKENS)]),
        sized(b"".join(events(TOKENS))),
    ],
    ids=["extensions and trailers", "informational", "crlf", "comments", "other fields", "content-length"],
)
def test_good_answers_in_other_clothes(raw: bytes) -> None:
    with ScriptedServer([raw]) as server:
        records = load(server, number=2).records
    assert [(r.status, r.text, r.output_tokens) for r in records] == [("ok", " w0 w1 w2", 3)] * 2
    assert server.connections == 1


def test_data_over_several_lines_is_one_event() -> None:
    body = b'data: {"choices": [{"text": "abc",\ndata: "finish_reason": "length"}],\ndata: "usage": {"completion_tokens": 3}}\n\n'
    record = one([chunked([body])])
    assert (record.status, record.text, record.output_tokens) == ("ok", "abc", 3)


def test_bytes_in_the_body_that_look_like_its_end() -> None:
    with ScriptedServer(
        [
            HEAD,
            chunk(b": x\r\n0\r\n\r\n"),
            0.02,
            chunk(b"\r\n0\r\n\r\n"),
            *(chunk(event_bytes) for event_bytes in events(TOKENS)),
            END,
        ]
    ) as server:
        records = load(server, number=2).records
    assert [record.status for record in records] == ["ok", "ok"] and server.connections == 1


def test_bytes_after_the_end_cost_the_connection_and_nothing_else() -> None:
    with ScriptedServer([GOOD + b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\nwho asked?"]) as server:
        records = load(server, number=3, timeouts=Timeouts(total_s=60)).records
    assert [record.status for record in records] == ["ok"] * 3 and server.connections == 3
    assert all(record.end_s - record.sent_s < 50 for record in records)  # type: ignore[operator]


def test_connection_close_is_obeyed() -> None:
    raw = CLOSE_HEAD + b"".join(events(TOKENS))
    with ScriptedServer([raw, CLOSE]) as server:
        assert [record.status for record in load(server, number=3).records] == ["ok"] * 3
    assert server.connections == 3


def test_a_server_that_hangs_up_between_requests_without_a_word() -> None:
    """It may close just when the next request is on its way: that is sent again, once, and no failure."""
    with ScriptedServer([GOOD, CLOSE]) as server:
        records = load(server, number=20).records
    assert Counter(record.status for record in records) == {"ok": 20}
    assert server.connections == 20 and len(server.seen) == 20


def test_an_answer_without_stream_is_one_event() -> None:
    record = one(
        [
            sized(
                b'{"choices": [{"text": "abc", "finish_reason": "length"}], "usage": {"completion_tokens": 3}}',
                kind="application/json",
            )
        ]
    )
    assert (record.status, record.text, record.output_tokens, len(record.chunk_offsets_s)) == ("ok", "abc", 3, 1)


@pytest.mark.parametrize(
    ("steps", "status", "error"),
    [
        ([sized(b'{"error":{"message":"no such model","type":"NotFoundError","code":404}}', "400 Bad Request", "application/json")], "error", "HTTP 400: NotFoundError: no such model"),
        ([sized(b"oops", "500 Internal Server Error", "text/plain")], "error", "HTTP 500: oops"),
        ([sized(b'{"error":"busy"}', "429 Too Many Requests", fields="Retry-After: 30\r\n")], "rejected", "HTTP 429, Retry-After: 30: busy"),
        ([sized(b"", "503 Service Unavailable", fields="Retry-After: 5\r\n")], "rejected", "HTTP 503, Retry-After: 5"),
        ([sized(b"", "307 Temporary Redirect", fields="Location: /there\r\n")], "error", "HTTP 307, to /there"),
        ([b"HTTP/1.1 204 No Content\r\n\r\n"], "malformed", "the answer ended without any event"),
        ([chunked([])], "malformed", "the answer ended without any event"),
        ([chunked(events(TOKENS)[:2])], "malformed", "the answer ended after 2 events, without a finish reason or end mark"),
        ([CLOSE_HEAD, b"".join(events(TOKENS)[:2]), CLOSE], "disconnected", "the server closed the connection after 2 events, without a finish reason or end mark"),
        ([HEAD, chunk(events(TOKENS)[0]), CLOSE], "disconnected", "the server closed the connection within the answer"),
        ([HEAD, chunk(events(TOKENS)[0]), READ, RESET], "disconnected", "connection reset by peer within the answer"),
        ([b"HTTP/1.1 200 OK\r\nContent-Le", CLOSE], "disconnected", "the server closed the connection within the answer"),
        ([CLOSE], "disconnected", "the server closed the connection before the answer"),
        ([RESET], "disconnected", "connection reset by peer before the answer"),
        ([chunked([event(completion("a", 1)), event({"error": {"message": "out of memory", "code": 500}})])], "error", "out of memory"),
        ([chunked([event({"error": "overloaded", "error_type": "overloaded"})])], "rejected", "overloaded: overloaded"),
        ([chunked([b"event: error\ndata: failed\n\n"])], "error", "failed"),
        ([chunked([b"data: nonsense\n\n"])], "malformed", "event 1 is not JSON: 'nonsense'"),
        ([chunked([b'data: {"choices": [{"text": "\xff\xfe"}]}\n\n'])], "malformed", "event 1 is not UTF-8"),
        ([sized(b"<html>", kind="text/html")], "malformed", "the answer ended without any event"),
        ([sized(b"\x1f\x8b\x08", fields="Content-Encoding: gzip\r\n")], "malformed", "the answer is compressed (gzip), which was not asked for"),
        ([b"220 mail.example ESMTP\r\n"], "malformed", "not HTTP/1.1, in the header: expected http/"),
        ([b"\x15\x03\x01\x00\x02\x02\x28", CLOSE], "malformed", "not HTTP/1.1, in the header: expected http/"),
        ([HEAD, b"zz\r\n"], "malformed", "not HTTP/1.1, in the body: invalid character in chunk size"),
        ([chunked(events(2))], "short", "2 of 3 tokens (length)"),
        ([chunked([event(completion("a", 1, "stop")), DONE])], "short", "1 of 3 tokens (stop)"),
        ([chunked([event(usage(0)), DONE])], "error", "the answer ended without any output (no finish reason)"),
    ],
)  # fmt: skip
def test_how_answers_that_are_not_ok_are_recorded(steps: list[Step], status: str, error: str) -> None:
    record = one(steps, timeouts=Timeouts(total_s=60))
    assert record.status == status and record.error is not None and record.error.startswith(error)
    assert record.sent_s is not None and record.end_s is not None and record.end_s - record.sent_s < 50


def test_what_came_before_a_failure_is_kept() -> None:
    record = one([HEAD, *(chunk(event_bytes) for event_bytes in events(TOKENS)[:2]), READ, RESET])
    assert (record.status, record.text, record.output_tokens, len(record.chunk_offsets_s)) == (
        "disconnected",
        " w0 w1",
        2,
        2,
    )


def test_a_server_that_hangs_up_after_its_end_mark_has_answered() -> None:
    assert one([HEAD, *(chunk(event_bytes) for event_bytes in events(TOKENS)), CLOSE]).status == "ok"


def test_fewer_tokens_are_fine_when_the_model_may_stop() -> None:
    steps = [chunked([event(completion("a", 1, "stop")), DONE])]
    assert one(steps, todo=requests(1, exact=False)).status == "ok"
    cut = [chunked([event(completion("a", 1, "length")), DONE])]
    assert one(cut, todo=requests(1, exact=False)).status == "short"


class Words:
    """A tokenizer: words are tokens."""

    def encode(self, sequence: str, *, add_special_tokens: bool) -> Any:
        assert not add_special_tokens
        return type("Encoding", (), {"ids": sequence.split()})


def test_tokens_are_counted_when_the_server_does_not() -> None:
    steps = [chunked([event(completion(" a b")), event(completion(" c", finish="length")), DONE])]
    record = one(steps, tokenizer=Words())
    assert (record.status, record.output_tokens, record.tokens_from, record.chunk_tokens) == (
        "ok",
        3,
        "tokenizer",
        None,
    )
    record = one(steps)
    assert (record.status, record.output_tokens, record.tokens_from) == ("ok", None, None)
    record = one([chunked([event(completion(" a", finish="stop")), DONE])], tokenizer=Words())
    assert (record.status, record.error) == ("short", "1 of 3 tokens (stop)")


@pytest.mark.parametrize(
    ("steps", "error", "timeouts"),
    [
        ([HOLD], "no first byte within 0.3 s", Timeouts(total_s=0.3)),
        ([HOLD], "no first byte within 0.2 s", Timeouts(first_byte_s=0.2, total_s=60)),
        ([HEAD, chunk(events(TOKENS)[0]), HOLD], "no end of the answer within 2 s", TIMES_OUT),
        ([b"HTTP/1.1 200 OK\r\n", HOLD], "no end of the answer within 2 s", Timeouts(first_byte_s=1.9, total_s=2.0)),
        ([HEAD, *[b"1\r\n:\r\n", 0.05] * 1000], "no end of the answer within 2 s", TIMES_OUT),
    ],
)
def test_silence_ends_in_time(steps: list[Step], error: str, timeouts: Timeouts) -> None:
    record = one(steps, timeouts=timeouts)
    assert (record.status, record.error) == ("timeout", error)
    assert 0.1 < record.end_s - record.sent_s < 30  # type: ignore[operator]


def test_nobody_there() -> None:
    records = load(f"http://127.0.0.1:{free_port()}", ClosedLoop(2), number=5).records
    assert [(r.status, r.error, r.sent_s, r.first_byte_s) for r in records] == [
        ("disconnected", "no connection: connection refused", None, None)
    ] * 5
    assert all(record.end_s is not None for record in records)


def test_a_server_that_does_not_accept() -> None:
    """Its queue of connections is full: connecting itself takes for ever."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        record = load(f"http://127.0.0.1:{port}", timeouts=Timeouts(connect_s=0.3, total_s=5)).records[0]
        for filler in fillers:
            filler.close()
    assert (record.status, record.error) == ("timeout", "no connection within 0.3 s")


def endless(start: bytes, block: bytes) -> Callable[[Seen], Iterable[Step]]:
    def script(seen: Seen) -> Iterable[Step]:
        yield start
        while True:
            yield block

    return script


@pytest.mark.parametrize(
    ("start", "block", "error"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X-Header: more\r\n" * 1000, "the header is larger than 65536 bytes"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"y" * 65536, "the header is larger than 65536 bytes"),
        (HEAD + b"data: ", chunk(b"z" * 65536), "not HTTP/1.1, in the body"),
        (HEAD, chunk(b"data: " + b"z" * 65536), f"the answer is larger than the limit of {1 << 20} bytes"),
        (HEAD, chunk(b": ping\n\n") * 1000, f"the answer is larger than the limit of {1 << 20} bytes"),
        (CLOSE_HEAD, b"z" * 65536, f"the answer is larger than the limit of {1 << 20} bytes"),
        (HEAD + b"0\r\n", b"X-Trailer: more\r\n" * 1000, f"the answer is larger than the limit of {1 << 20} bytes"),
        (HEAD, b"1" * 65536, "not HTTP/1.1, in the body: chunk size overflow"),
    ],
    ids=["headers", "header line", "no size", "one line", "comments", "no framing", "trailers", "size line"],
)
def test_floods_are_cut_off(start: bytes, block: bytes, error: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with ScriptedServer(endless(start, block)) as server:
        records = load(server, ClosedLoop(4), number=8, timeouts=Timeouts(total_s=100)).records
    assert {(record.status, str(record.error)[: len(error)]) for record in records} == {("malformed", error)}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024  # KiB


def test_the_limit_of_an_answer_grows_with_its_tokens_or_is_given() -> None:
    assert PROTOCOL.max_answer_bytes(1) == 1 << 20 and PROTOCOL.max_answer_bytes(1000) == 1000 * 8192
    assert one([GOOD[:120], 0.05, GOOD[120:], HOLD], answer_bytes=100).status == "malformed"
    assert one([GOOD], answer_bytes=len(GOOD)).status == "ok"


def test_tls() -> None:
    with ScriptedServer(
        [HEAD, *(step for event_bytes in events(TOKENS) for step in (chunk(event_bytes), 0.01)), END], tls=True
    ) as server:
        trusting = Endpoint(server.url + PROTOCOL.path, ca_file=CERTIFICATE)
        records = load(server, number=2, endpoint=trusting).records
        assert [(r.status, r.text, len(r.chunk_offsets_s)) for r in records] == [("ok", " w0 w1 w2", 3)] * 2
        assert server.connections == 1
        careless = Endpoint(server.url + PROTOCOL.path, verify=False)
        assert load(server, endpoint=careless).records[0].status == "ok"
        record = load(server).records[0]
        assert record.status == "error" and "certificate" in str(record.error)


def test_tls_spoken_to_a_server_without() -> None:
    with ScriptedServer([GOOD]) as server:
        record = load(server.url.replace("http", "https"), timeouts=Timeouts(connect_s=1, total_s=1)).records[0]
    assert record.status in ("error", "timeout", "disconnected") and record.sent_s is None


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://x/", "expected http://"),
        ("http:///x", "expected http://"),
        ("http://u:p@x/", "has a user or password"),
        ("http://x:99999/", "[Pp]ort"),
        ("http://does-not-exist.invalid/", "cannot be looked up"),
    ],
)
def test_endpoints_that_cannot_be(url: str, message: str) -> None:
    with pytest.raises(EndpointError, match=message):
        load(url, endpoint=Endpoint(url))


@pytest.mark.parametrize("headers", [{"a b": "c"}, {"Host": "x"}, {"X": "a\r\nb"}, {"X": "\u20ac"}, {"": "x"}])
def test_headers_that_cannot_be(headers: dict[str, str]) -> None:
    with pytest.raises(EndpointError, match="header field"):
        Endpoint("http://x/", headers)


@pytest.mark.parametrize("name", ["", "a b", "a\nb", "ü", "x" * 201])
def test_ids_that_cannot_be(name: str) -> None:
    with pytest.raises(ValueError, match="request id"):
        Request(name, "p", b"", 1)


def test_no_requests() -> None:
    with pytest.raises(ValueError, match="no requests"):
        run(Endpoint("http://127.0.0.1:1/"), [], ClosedLoop(1), PROTOCOL)


def test_localhost_by_name() -> None:
    with ScriptedServer([GOOD]) as server:
        assert load(server.url.replace("127.0.0.1", "localhost")).records[0].status == "ok"


def test_a_large_prompt_reaches_a_slow_reader_whole() -> None:
    body = PROTOCOL.body("long " * 400_000, GenerationSettings(max_tokens=TOKENS))
    with ScriptedServer([GOOD]) as server:
        records = load(server, todo=[Request("r0", "p", body, TOKENS), Request("r1", "p", body, TOKENS)]).records
    assert [record.status for record in records] == ["ok", "ok"] and [seen.body for seen in server.seen] == [body, body]


def test_time_of_a_request_runs_from_its_sending() -> None:
    begun = time.monotonic()
    record = one([0.1, GOOD])
    assert begun < record.sent_s < record.end_s < time.monotonic()  # type: ignore[operator]
    assert record.chunk_offsets_s[0] > 0.1
