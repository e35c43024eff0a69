"""Hostile servers: whatever they send, and wherever they stop, each request ends as one classified record, in its time and
without taking memory. Single answers of every kind are in test_client_run.py; here is what needs many or much.
"""

import json
import os
import resource
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from isolation import TESTS
from servegrid import protocols
from servegrid.client.endpoint import Endpoint
from servegrid.client.exchange import Request
from servegrid.client.run import run
from servegrid.client.shape import ClosedLoop, Timeouts
from servegrid.protocols.base import GenerationSettings
from servegrid.records.request import RequestRecord
from standins.answers import CLOSE_HEAD, DONE, END, HEAD, chunk, chunked, completion, event, events, sized, usage
from standins.scripted import CLOSE, HOLD, READ, RESET, ScriptedServer, Seen, Step

pytestmark = pytest.mark.slow

SOURCES = TESTS.parent / "workflow" / "scripts"
PATH = "/v1/completions"
TOKENS = 3
EVENTS = events(TOKENS)
CHUNKED = chunked(EVENTS)
SIZED = sized(b"".join(EVENTS))
UNTIL_CLOSE = CLOSE_HEAD + b"".join(EVENTS)
TIMEOUT_S = 20.0
LINE_MB = 100
BLOCK = b"z" * (1 << 20)
CONNECTIONS = 10_000
SPARE_FILES = 100

Script = Callable[[Seen], Iterable[Step]]


def load(
    script: Script | Iterable[Step],
    number: int = 1,
    protocol: str = "openai-completions",
    timeout_s: float = TIMEOUT_S,
) -> list[RequestRecord]:
    """Records of so many requests r0, r1, …, by up to eight threads of work, in order."""
    speak = protocols.get(protocol)
    body = speak.body("Hi", GenerationSettings(max_tokens=TOKENS))
    todo = [Request(f"r{n}", "p", body, TOKENS) for n in range(number)]
    with ScriptedServer(script) as server:
        shape, timeouts = ClosedLoop(min(number, 8)), Timeouts(total_s=timeout_s)
        return run(Endpoint(server.url + speak.path), todo, shape, speak, timeouts=timeouts).records


def in_time(record: RequestRecord) -> bool:
    return record.sent_s is not None and record.end_s is not None and record.end_s - record.sent_s < TIMEOUT_S


def number_of(seen: Seen) -> int:
    return int(seen.headers["x-request-id"][1:])


# ---- an answer that stops, at every byte of it


def whole_events(raw: bytes, size: int) -> int:
    """Events, end mark included, that are there with the first `size` bytes of an answer."""
    return sum(raw.index(event_bytes) + len(event_bytes) <= size for event_bytes in EVENTS)


def expected_of_stop(raw: bytes, size: int, how: str) -> tuple[str, str | None, int | None]:
    """Status, words (their end) and tokens of an answer that stops after `size` bytes."""
    there = whole_events(raw, size)
    tokens = min(there, TOKENS) or None
    has_head = size >= raw.index(b"\r\n\r\n") + 4
    closed_rightly = how == CLOSE and raw == UNTIL_CLOSE and has_head
    if there > TOKENS or (closed_rightly and there == TOKENS):
        return "ok", None, tokens
    if closed_rightly:
        where = f"after {there} events, without a finish reason or end mark" if there else "without any event"
        return "disconnected", where, tokens
    return "disconnected", "within the answer" if size else "before the answer", tokens


def stopping(raw: bytes, how: str) -> Script:
    """Request n gets the first n bytes."""
    return lambda seen: [raw[: number_of(seen)], how]


@pytest.mark.parametrize("how", [RESET, CLOSE])
@pytest.mark.parametrize("raw", [CHUNKED, SIZED, UNTIL_CLOSE], ids=["chunked", "sized", "until close"])
def test_a_stop_at_every_byte(raw: bytes, how: str) -> None:
    """A reset is a real one: SO_LINGER 0. What came whole before it counts, and after the end mark nothing is missing."""
    for size, record in enumerate(load(stopping(raw, how), len(raw) + 1)):
        status, error, tokens = expected_of_stop(raw, size, how)
        assert (record.status, record.output_tokens, record.bytes_received) == (status, tokens, size), (size, record)
        assert (record.error or "").endswith(error or ""), (size, record)
        assert len(record.chunk_offsets_s) == (tokens or 0) and in_time(record)


def test_a_reset_at_every_byte_of_a_refusal() -> None:
    raw = sized(b'{"error": "busy"}', "429 Too Many Requests", fields="Retry-After: 30\r\n")
    head = raw.index(b"\r\n\r\n") + 4
    statuses = [record.status for record in load(stopping(raw, RESET), len(raw) + 1)]
    assert statuses == ["disconnected"] * head + ["rejected"] * (len(raw) + 1 - head)


# ---- streams that leave something out, or put something in


@pytest.mark.parametrize(
    ("protocol", "pieces", "status"),
    [
        ("openai-completions", EVENTS[:-1], "ok"),
        ("openai-completions", [*EVENTS[:-2], DONE], "short"),
        ("openai-completions", EVENTS[:-2], "malformed"),
        ("openai-completions", [event(completion("a")), event(usage(3))], "malformed"),
        ("openai-chat", [event({"choices": [{"delta": {"content": "a"}}]})], "malformed"),
        ("llamacpp-completion", [event({"content": "a", "stop": False})], "malformed"),
        ("llamacpp-completion", [event({"content": "abc", "stop": True, "tokens_predicted": 3})], "ok"),
    ],
)
def test_without_an_end_mark_a_finish_reason_will_do_and_nothing_else(
    protocol: str, pieces: list[bytes], status: str
) -> None:
    [record] = load([chunked(pieces)], protocol=protocol)
    assert record.status == status and record.text


@pytest.mark.parametrize("noise", [b": keep-alive\n\n", b":\n", b"\n", b"event: ping\n\n", b"event: ping\ndata: x\n\n"])
def test_keep_alives_are_no_tokens(noise: bytes) -> None:
    quiet: list[Step] = [chunk(noise), READ, 0.05]
    steps: list[Step] = [HEAD, *quiet]
    for event_bytes in EVENTS:
        steps += [chunk(event_bytes), *quiet]
    [record] = load([*steps, END])
    assert (record.status, record.output_tokens, len(record.chunk_offsets_s)) == ("ok", TOKENS, TOKENS)
    assert record.first_byte_s is not None and record.first_token_s is not None
    assert record.first_token_s - record.first_byte_s > 0.04


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (b"event: error\ndata: out of memory\n\n", "error"),
        (b'event: error\ndata: {"code": 503, "message": "busy"}\n\n', "error"),
        (b'data: {"error": {"message": "busy", "code": 503}}\n\n', "rejected"),
        (b"data: {\n\n", "malformed"),
        (b"data: \xc3\x28\n\n", "malformed"),
        (b'data: {"choices": [{"text": "\xed\xa0\x80"}]}\n\n', "malformed"),
        (b"data: " + b"[" * 100_000 + b"\n\n", "malformed"),
        (b"data: " + b"\x00" * 1000 + b"\n\n", "malformed"),
    ],
)
@pytest.mark.parametrize("step", [1, 7, 4096])
def test_a_fault_in_the_middle_keeps_what_came_and_hides_nothing(fault: bytes, status: str, step: int) -> None:
    raw = chunked([*EVENTS[:2], fault, *EVENTS[2:]])
    [record] = load([raw[at : at + step] for at in range(0, len(raw), step)] if len(raw) < 5000 else [raw])
    assert (record.status, record.text, record.output_tokens) == (status, " w0 w1", 2), record


@pytest.mark.parametrize("code", ["429 Too Many Requests", "503 Service Unavailable"])
@pytest.mark.parametrize("after", ["30", "Wed, 21 Oct 2026 07:28:00 GMT", "-1", "soon", "", "9" * 2000])
def test_refusals_are_recorded_with_their_retry_after_and_are_not_obeyed(code: str, after: str) -> None:
    """The client measures: it neither waits nor sends again. The connection is kept."""
    refusal = sized(b"busy", code, fields=f"Retry-After: {after}\r\n")
    records = load(lambda seen: [refusal if number_of(seen) % 2 else CHUNKED], 6)
    assert [record.status for record in records] == ["ok", "rejected"] * 3 and all(map(in_time, records))
    error = f"HTTP {code[:3]}, Retry-After: {after}: busy"[:500]
    assert {record.error for record in records} == {None, error}


@pytest.mark.parametrize(
    ("start", "status", "error"),
    [
        (b"HTTP/1.1 503 Busy\r\nRetry-After: 5\r\nContent-Length: 9\r\n\r\nbu", "rejected", "HTTP 503, Retry-After: 5: bu"),
        (CLOSE_HEAD + b'{"choices": [', "timeout", "no end of the answer within 2 s"),
        (CLOSE_HEAD + b"".join(EVENTS[:-1]), "timeout", "no end of the answer within 2 s"),
    ],
    ids=["refusal", "document", "no end mark"],
)  # fmt: skip
def test_answers_whose_end_does_not_come_end_in_time(start: bytes, status: str, error: str) -> None:
    """A refusal is one without its end, too; half a document is no malformed one."""
    [record] = load([start, HOLD], timeout_s=2)
    assert (record.status, record.error) == (status, error) and in_time(record)


# ---- much


@contextmanager
def python(module: str, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that runs a module of standins, and is ended at the end."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(SOURCES), str(TESTS)])}
    command = [sys.executable, "-m", f"standins.{module}", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=env) as process:
        try:
            yield process
        finally:
            process.kill()


def measured(url: str, **arguments: Any) -> Any:
    """Outcomes, longest request in s and growth in MB of a load that runs in a process of its own."""
    arguments = {"timeouts": {"connect_s": 60, "total_s": 60}, "threads": 1, **arguments}
    with python("measured", url + PATH, json.dumps(arguments)) as process:
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return json.loads(output)


def line(start: bytes, end: bytes = b"") -> list[Step]:
    """An answer with one line of LINE_MB that never ends, unless it is given its end."""
    return [start, *[BLOCK] * LINE_MB, end or HOLD]


LINES = [
    (CLOSE_HEAD + b"data: ", "malformed", "the answer is larger than the limit"),
    (CLOSE_HEAD + b": ", "malformed", "the answer is larger than the limit"),
    (CLOSE_HEAD + b'{"choices": "', "malformed", "the answer is larger than the limit"),
    (b"HTTP/1.1 200 OK\r\nX: ", "malformed", "the header is larger than 65536 bytes"),
    (b"HTTP/1.1 ", "malformed", "not HTTP/1.1, in the header"),
    (b"HTTP/1.1 500 Oops\r\n\r\n", "error", "HTTP 500: zzz"),
]


@pytest.mark.parametrize(("start", "status", "error"), LINES, ids=[error for _, _, error in LINES])
def test_endless_lines_are_cut_off_before_they_take_memory(start: bytes, status: str, error: str) -> None:
    with ScriptedServer(line(start)) as server:
        measurement = measured(server.url, number=20, threads=4, timeouts={"total_s": 10, "load_s": 15})
    assert sum(times for *_, times in measurement["outcomes"]) == 20 and measurement["longest_s"] < 10
    assert all(kind == status and error.startswith(error) for kind, error, _ in measurement["outcomes"]), measurement
    assert measurement["grown_mb"] < LINE_MB / 2, measurement


def test_a_long_line_that_is_allowed_takes_a_few_times_its_size() -> None:
    start = CLOSE_HEAD + b'data: {"usage": {"completion_tokens": 3}, "choices": [{"finish_reason": "stop", "text": "'
    with ScriptedServer([*line(start, b'"}]}\n\n'), CLOSE]) as server:
        measurement = measured(server.url, number=1, answer_bytes=2 * LINE_MB << 20)
    assert measurement["outcomes"] == [["ok", None, 1]], measurement
    assert measurement["grown_mb"] < 7 * LINE_MB, measurement


# ---- many


@contextmanager
def crowd_server(waits_for: int) -> Iterator[str]:
    """The URL of a server in a process of its own that answers when so many are there; see many.py."""
    with python("many", str(waits_for)) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"


def connections() -> int:
    """As many as are wanted, or as the system allows."""
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    unlimited = allowed == resource.RLIM_INFINITY
    return CONNECTIONS if unlimited else min(CONNECTIONS, allowed - SPARE_FILES)


def skip_if_few(number: int) -> None:
    """What was tested is no more than this system allows; say so."""
    if number < CONNECTIONS:
        pytest.skip(f"passed with {number} connections; the limit of open files allows no more")


def test_ten_thousand_connections_at_once() -> None:
    number = connections()
    with crowd_server(waits_for=number) as url:
        measurement = measured(url, number=number, threads=number)
    assert measurement["outcomes"] == [["ok", None, number]] and measurement["longest_s"] < 60
    assert measurement["grown_mb"] < number * 0.01, measurement
    skip_if_few(number)


def test_ten_thousand_connections_that_are_accepted_and_not_answered() -> None:
    number = connections()
    with crowd_server(waits_for=0) as url:
        measurement = measured(url, number=number, threads=number, timeouts={"connect_s": 60, "total_s": 2})
    assert Counter({(status, error): times for status, error, times in measurement["outcomes"]}) == {
        ("timeout", "no first byte within 2 s"): number
    }
    assert measurement["longest_s"] < 20 and measurement["grown_mb"] < number * 0.01, measurement
    skip_if_few(number)
