"""The other kinds of client, threads with `requests` and GNU parallel with curl, give the records that the core gives."""

import socket
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests as library

from servegrid import protocols
from servegrid.client import requests_client
from servegrid.client.endpoint import Endpoint
from servegrid.client.exchange import Request
from servegrid.client.framing import with_content_length
from servegrid.client.kinds import missing_programs
from servegrid.client.run import LoadResult, run
from servegrid.client.shape import KINDS, ClosedLoop, OpenLoop, Shape, Timeouts
from servegrid.protocols.base import GenerationSettings
from servegrid.records.request import RequestRecord
from standins.answers import CLOSE_HEAD, DONE, END, HEAD, chunk, chunked, completion, event, events, sized
from standins.scripted import CERTIFICATE, CLOSE, HOLD, READ, RESET, ScriptedServer, Seen, Step

pytestmark = pytest.mark.slow

PROTOCOL = protocols.get("openai-completions")
GOOD = chunked(events(3))
LACKING = missing_programs()
PARALLEL = pytest.param("parallel", marks=pytest.mark.skipif(LACKING is not None, reason=LACKING or ""))
OTHERS = ["requests", PARALLEL]
ALL = ["stream", *OTHERS]


def requests(number: int) -> list[Request]:
    body = PROTOCOL.body("Hi \N{SNOWMAN} \"'\\", GenerationSettings(max_tokens=3))
    return [Request(f"r{n}", f"p{n}", body, 3) for n in range(number)]


def load(server: ScriptedServer, kind: Any, number: int = 1, shape: Shape | None = None, **keys: Any) -> LoadResult:
    endpoint = keys.pop("endpoint", None) or Endpoint(server.url + PROTOCOL.path)
    return run(endpoint, requests(number), shape or ClosedLoop(1), PROTOCOL, kind=kind, **keys)


def one(kind: str, steps: Iterable[Step], **keys: Any) -> RequestRecord:
    with ScriptedServer(steps) as server:
        [record] = load(server, kind, **keys).records
    return record


@pytest.mark.parametrize("kind", ALL)
def test_a_good_answer(kind: str) -> None:
    # what curl has read, the client reads from a pipe: of that there is no sign to wait for
    pause_s = 0.5 if kind == "parallel" else 0.03
    pieces = (step for event_bytes in events(3) for step in (chunk(event_bytes), READ, pause_s))
    with ScriptedServer([HEAD, *pieces, END]) as server:
        result = load(server, kind)
    [record], [seen] = result.records, server.seen
    assert (record.status, record.error, record.http_status, record.finish_reason) == ("ok", None, 200, "length")
    assert (record.text, record.output_tokens, record.prompt_tokens, record.tokens_from) == (" w0 w1 w2", 3, 7, "usage")
    assert record.chunk_tokens == [1, 2, 3] and record.thread == 0
    assert seen.headers["x-request-id"] == "r0" and seen.json["prompt"] == "Hi \N{SNOWMAN} \"'\\"
    assert seen.headers["content-type"] == "application/json" and seen.headers["user-agent"] == "servegrid"
    times = [record.sent_s, seen.t_s, record.first_byte_s, record.first_token_s, record.last_token_s, record.end_s]
    assert times == sorted(times)  # type: ignore[type-var]
    gaps = [b - a for a, b in zip(record.chunk_offsets_s, record.chunk_offsets_s[1:], strict=False)]
    assert len(gaps) == 2 and all(gap > 0.01 for gap in gaps)
    assert result.client_cpu_s > 0 and result.workers == 1


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize(
    "raw",
    [
        GOOD,
        sized(b"".join(events(3))),
        CLOSE_HEAD + b"".join(events(3)),
        chunked([b"".join(events(3))]),
        sized(b'{"error": {"message": "no such model"}}', "400 Bad Request", "application/json"),
        sized(b"slow down", "429 Too Many Requests", "text/plain", "Retry-After: 3\r\n"),
        sized(b"", "503 Service Unavailable"),
        chunked(events(2)),
        chunked([*events(3)[:1], event({"error": {"message": "out of memory"}})]),
        chunked(events(3)[:2]),
        chunked([b"data: garbage\n\n", DONE]),
        sized(event(completion(" \N{SNOWMAN}", 3, "length")) + DONE),
    ],
)
def test_the_same_record_as_the_core_gives(kind: str, raw: bytes) -> None:
    steps = [raw, CLOSE] if raw.startswith(CLOSE_HEAD) else [raw]
    expected, record = (one(client, steps) for client in ("stream", kind))
    same = {field.name for field in fields(RequestRecord)} - {"bytes_received", "chunk_offsets_s", "late_chunks"}
    names = [name for name in sorted(same) if not name.endswith("_s")]
    assert {name: getattr(record, name) for name in names} == {name: getattr(expected, name) for name in names}
    assert len(record.chunk_offsets_s) == len(expected.chunk_offsets_s)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize(
    ("steps", "status", "error"),
    [
        ([HEAD, chunk(events(3)[0]), CLOSE], "disconnected", "within the answer"),
        ([HEAD, chunk(events(3)[0]), READ, RESET], "disconnected", "reset"),
        ([CLOSE], "disconnected", "before the answer"),
        ([sized(b"".join(events(3)))[:-20], CLOSE], "disconnected", "within the answer"),
        ([CLOSE_HEAD + b'{"choices": [', HOLD], "timeout", ""),
        ([HOLD], "timeout", ""),
        ([HEAD, chunk(events(3)[0]), HOLD], "timeout", ""),
    ],
)
def test_answers_that_break_off(kind: str, steps: list[Step], status: str, error: str) -> None:
    total_s = 0.7 if status == "timeout" else 60
    record = one(kind, steps, timeouts=Timeouts(connect_s=60, total_s=total_s))
    assert record.status == status and error in (record.error or "").lower(), record.error
    assert record.end_s is not None and record.sent_s is not None
    assert record.output_tokens in (None, 1, 2)


@pytest.mark.parametrize("kind", ALL)
def test_nobody_there(kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
    result = run(Endpoint(url), requests(2), ClosedLoop(1), PROTOCOL, kind=kind)  # type: ignore[arg-type]
    for record in result.records:
        assert record.status == "disconnected" and "no connection" in (record.error or "")
        assert record.first_byte_s is None and record.http_status is None


@pytest.mark.parametrize("kind", ALL)
def test_a_server_that_hangs_up_between_requests_without_a_word(kind: str) -> None:
    with ScriptedServer([GOOD, CLOSE]) as server:
        result = load(server, kind, 4)
    assert [record.status for record in result.records] == ["ok"] * 4


@pytest.mark.parametrize("kind", ALL)
def test_threads_of_work_share_the_requests(kind: str) -> None:
    all_there = threading.Barrier(3, timeout=60)  # the first of each

    def script(seen: Seen) -> Iterator[Step]:
        if seen.number < 3:
            all_there.wait()
        yield from (0.02, GOOD)

    with ScriptedServer(script) as server:
        result = load(server, kind, 12, ClosedLoop(3, count=14))
    assert [record.request_id for record in result.records] == [f"r{n}" for n in range(12)] + ["r0.1", "r1.1"]
    assert {record.thread for record in result.records} == {0, 1, 2}
    changes = sorted((t, step) for r in result.records for t, step in ((r.sent_s, 1), (r.end_s, -1)))
    in_flight = 0
    for _, step in changes:
        in_flight += step
        assert in_flight <= 3
    assert result.unsent == 0 and Counter(record.status for record in result.records) == {"ok": 14}


@pytest.mark.parametrize("kind", OTHERS)
def test_a_load_that_is_broken_off_keeps_what_came_and_leaves_no_process(kind: str) -> None:
    stop = threading.Event()

    def held(last: bool) -> Iterator[Step]:
        yield from (HEAD, chunk(events(3)[0]), 2.0)  # time for the client to have it
        if last:
            stop.set()
        yield HOLD

    with ScriptedServer(lambda seen: [GOOD] if seen.number < 2 else held(seen.number == 3)) as server:
        result = load(server, kind, 9, ClosedLoop(2), stop=stop)
    statuses = Counter(record.status for record in result.records)
    assert statuses == {"ok": 2, "cancelled": 2} and result.unsent == 5
    cut = [record for record in result.records if record.status == "cancelled"]
    assert {(record.text, record.output_tokens) for record in cut} <= {(" w0", 1), (None, None)}
    assert any(record.text for record in cut), "what had come is kept"
    assert not [child for child in psutil.Process().children(recursive=True) if "parallel" in " ".join(child.cmdline())]


@pytest.mark.parametrize("kind", OTHERS)
def test_the_time_limit_of_a_load(kind: str) -> None:
    with ScriptedServer(lambda seen: [GOOD] if seen.number < 2 else [HOLD]) as server:
        result = load(server, kind, 9, ClosedLoop(2), timeouts=Timeouts(load_s=8))
    assert Counter((record.status, record.error) for record in result.records) == {
        ("ok", None): 2,
        ("timeout", "the load's time limit of 8 s was over"): 2,
    }


@pytest.mark.parametrize("kind", OTHERS)
def test_a_flood_is_cut_off(kind: str) -> None:
    flood = [HEAD, *[chunk(b": " + b"x" * 65536 + b"\n\n")] * 40]
    record = one(kind, flood, answer_bytes=1 << 20, timeouts=Timeouts(total_s=8))
    assert (record.status, record.error) == ("malformed", "the answer is larger than its limit")


@pytest.mark.parametrize("kind", OTHERS)
def test_one_chunk_that_is_larger_than_the_limit_is_not_waited_for(kind: str) -> None:
    """The server says 1 GiB, sends 2 MiB of it, and goes: who waits for all of it does not see the limit."""
    steps: list[Step] = [HEAD, b"40000000\r\n", b": " + b"x" * (2 << 20), HOLD]
    record = one(kind, steps, answer_bytes=1 << 20, timeouts=Timeouts(total_s=5))
    assert (record.status, record.error) == ("malformed", "the answer is larger than its limit")


def test_one_chunk_that_trickles_is_not_waited_for() -> None:
    trickle = [step for _ in range(1000) for step in (b": \n", 0.05)]
    record = one("requests", [HEAD, b"40000000\r\n", *trickle, CLOSE], timeouts=Timeouts(total_s=2))
    assert (record.status, record.error) == ("timeout", "no end of the answer within 2 s")


def test_small_chunks_that_come_at_once_come_out_one_by_one() -> None:
    with ScriptedServer([GOOD]) as server, library.get(server.url, stream=True, timeout=5) as answer:
        assert list(requests_client._body_parts(answer)) == events(3)


@pytest.mark.parametrize("kind", ALL)
def test_tls(kind: str) -> None:
    with ScriptedServer([GOOD], tls=True) as server:
        url = f"https://localhost:{server.port}{PROTOCOL.path}"
        [trusted] = load(server, kind, endpoint=Endpoint(url, ca_file=Path(CERTIFICATE))).records
        [unchecked] = load(server, kind, endpoint=Endpoint(url, verify=False)).records
        [refused] = load(server, kind, endpoint=Endpoint(url)).records
    assert (trusted.status, unchecked.status, refused.status) == ("ok", "ok", "error")
    assert "certificate" in (refused.error or "").lower()


@pytest.mark.parametrize("kind", ALL)
def test_every_kind_trusts_what_the_environment_names(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    for variable in ("CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.setenv(variable, "/does/not/exist")
    with ScriptedServer([GOOD], tls=True) as server:
        url = f"https://localhost:{server.port}{PROTOCOL.path}"
        assert [record.status for record in load(server, kind, endpoint=Endpoint(url)).records] == ["ok"]


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("status", ["404 Not Found", "405 Method Not Allowed"])
def test_an_answer_that_there_is_nothing_names_what_was_asked(kind: str, status: str) -> None:
    with ScriptedServer([sized(b"no", status, "text/plain")]) as server:
        endpoint = Endpoint(f"{server.url}/a/chat/completions?v=1&api_key=sk-1")
        [record] = load(server, kind, endpoint=endpoint).records
        [seen] = server.seen
    assert record.error == f"HTTP {status[:3]} at {server.url}/a/chat/completions?v=1&api_key=***: no"
    assert seen.line == "POST /a/chat/completions?v=1&api_key=sk-1 HTTP/1.1"


@pytest.mark.parametrize(
    ("kind", "shape", "workers", "message"),
    [
        ("requests", OpenLoop([0.0]), 1, "client requests carries out closed loops only"),
        ("parallel", OpenLoop([0.0]), 1, "client parallel carries out closed loops only"),
        ("requests", ClosedLoop(1), 2, "client requests has no workers"),
        ("parallel", ClosedLoop(1, duration_s=1.0), 1, "ends by a number of requests"),
    ],
)
def test_what_a_kind_cannot_do(kind: Any, shape: Shape, workers: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(Endpoint("http://127.0.0.1:9/"), requests(1), shape, PROTOCOL, kind=kind, workers=workers)


def test_without_the_programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OSError, match="client parallel needs parallel and curl and sh, not installed here"):
        run(Endpoint("http://127.0.0.1:9/"), requests(1), ClosedLoop(1), PROTOCOL, kind="parallel")


def test_a_header_is_framed_anew_if_it_was_framed() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n"
    assert with_content_length(head, 7) == b"HTTP/1.1 200 OK\r\nX-A: b\r\ncontent-length: 7\r\n\r\n"
    assert with_content_length(CLOSE_HEAD, 7) == CLOSE_HEAD


def test_every_kind_is_tested_here() -> None:
    assert {"stream", "requests", "parallel"} == set(KINDS)
