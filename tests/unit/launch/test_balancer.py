"""The real nginx and HAProxy with servegrid's configs, in front of scripted servers."""

import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from servegrid.client.endpoint import Endpoint
from servegrid.client.shape import ClosedLoop, Timeouts
from servegrid.host.ports import free_port
from servegrid.launch.balancer import Balancer, find_program, why_missing, worker_count
from servegrid.launch.server import Server
from standins.answers import HEAD, chunk, completion, event, usage
from standins.loads import PROTOCOL, load
from standins.scripted import CLOSE, HOLD, ScriptedServer, Seen, Step

pytestmark = pytest.mark.slow

KINDS = ("nginx", "haproxy")
GAP_S = 0.05


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    if reason := why_missing(request.param):
        pytest.skip(reason)
    return str(request.param)


@contextmanager
def balanced(kind: str, ports: list[int], folder: Path) -> Iterator[str]:
    """Start the balancer as a session starts it, and give its URL."""
    folder = folder / "a folder, with blanks"
    folder.mkdir()
    balancer = Balancer(kind, free_port(), tuple(ports), folder, 30.0, 1)
    balancer.config_file.write_text(balancer.config)
    with Server(balancer.command, folder / "log", balancer.port) as server:
        try:
            server.wait_ready(f"{server.url}/health", 60)
            yield server.url
            assert server.alive
        finally:
            log = (folder / "log").read_text()
    assert not [
        line for line in log.splitlines() if "[emerg]" in line or ("[ALERT]" in line and "FD limit" not in line)
    ], log


def stream(seen: Seen) -> Iterator[Step]:
    """Script of a server: three events with pauses between, or 200 at the health endpoint."""
    if seen.line.startswith("GET"):
        yield b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        return
    yield HEAD
    for number in range(3):
        yield GAP_S
        yield chunk(event(completion(f" w{number}", finish="length" if number == 2 else None)))
    yield chunk(event(usage(3))) + chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"


def test_answers_are_handed_on_as_they_come(kind: str, tmp_path: Path) -> None:
    """The server sends its next event when the last one has arrived, so that a buffering balancer never gets the second."""
    arrived = threading.Semaphore(0)

    def patient(seen: Seen) -> Iterator[Step]:
        *streamed, last = stream(seen)
        for word in streamed:
            yield word
            if word not in (HEAD, GAP_S) and not arrived.acquire(timeout=60):
                yield CLOSE
        yield last

    def script(seen: Seen) -> Iterator[Step]:
        return stream(seen) if seen.line.startswith("GET") else patient(seen)

    with (
        ScriptedServer(script) as server,
        balanced(kind, [server.port], tmp_path) as url,
        urllib.request.urlopen(url + PROTOCOL.path, b"{}", timeout=60) as answer,
    ):
        for number in range(3):
            assert f" w{number}".encode() in answer.readline() and answer.readline() == b"\n"
            arrived.release()
        assert b"[DONE]" in answer.read()


def test_answers_are_the_same(kind: str, tmp_path: Path) -> None:
    with ScriptedServer(stream) as server:
        direct = load(server, ClosedLoop(2), 6)
        with balanced(kind, [server.port], tmp_path) as url:
            through = load(url, ClosedLoop(2), 6)
    assert {record.status for record in direct.records + through.records} == {"ok"}
    assert [record.text for record in through.records] == [record.text for record in direct.records]


def test_a_server_that_closes_after_its_answer_loses_no_request(kind: str, tmp_path: Path) -> None:
    """The server closes without notice after its answer, as llama-server does after a stream; the client's connection is kept."""

    def closing(seen: Seen) -> Iterator[Step]:
        yield from stream(seen)
        yield CLOSE

    with ScriptedServer(closing) as server, balanced(kind, [server.port], tmp_path) as url:
        result = load(url, ClosedLoop(2), 20, endpoint=Endpoint(url + PROTOCOL.path, {"Authorization": "Bearer k"}))
    posts = [seen for seen in server.seen if seen.line.startswith("POST")]
    assert len(posts) == 20 and {record.status for record in result.records} == {"ok"}
    assert {seen.headers["authorization"] for seen in posts} == {"Bearer k"}
    assert {seen.line.rpartition(" ")[2] for seen in posts} == {"HTTP/1.1"}


def test_the_next_request_goes_to_the_server_with_the_fewest(kind: str, tmp_path: Path) -> None:
    """One server never ends its answer: it gets one request, and the other all the rest."""

    def stuck(seen: Seen) -> Iterator[Step]:
        yield from ([HOLD] if seen.line.startswith("POST") else stream(seen))

    with ExitStack() as stack:
        slow, fast = (stack.enter_context(ScriptedServer(script)) for script in (stuck, stream))
        url = stack.enter_context(balanced(kind, [slow.port, fast.port], tmp_path))
        load(url, ClosedLoop(2), 9, timeouts=Timeouts(total_s=3.0))
    posts = {name: sum(seen.line.startswith("POST") for seen in stub.seen) for name, stub in (("s", slow), ("f", fast))}
    assert posts["s"] <= 2 and posts["s"] + posts["f"] == 9


def test_the_load_is_divided(kind: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        servers = [stack.enter_context(ScriptedServer(stream)) for _ in range(3)]
        with balanced(kind, [server.port for server in servers], tmp_path) as url:
            load(url, ClosedLoop(6), 24)
    counts = [sum(seen.line.startswith("POST") for seen in server.seen) for server in servers]
    assert sum(counts) == 24 and min(counts) >= 5, counts


def test_nothing_is_sent_twice(kind: str, tmp_path: Path) -> None:
    """A failed request is not sent again. Each load has connections of its own: on a kept one that closes the client resends."""

    def broken(seen: Seen) -> Iterator[Step]:
        yield from ([CLOSE] if seen.line.startswith("POST") else stream(seen))

    with ExitStack() as stack:
        servers = [stack.enter_context(ScriptedServer(broken)) for _ in range(2)]
        url = stack.enter_context(balanced(kind, [server.port for server in servers], tmp_path))
        results = [load(url) for _ in range(4)]
    assert "ok" not in {record.status for result in results for record in result.records}
    assert sum(seen.line.startswith("POST") for server in servers for seen in server.seen) == 4


def test_a_server_that_is_gone_is_seen_and_not_avoided(kind: str, tmp_path: Path) -> None:
    gone = free_port()
    with ScriptedServer(stream) as server, balanced(kind, [server.port, gone], tmp_path) as url:
        result = load(url, ClosedLoop(4), 12)
    assert {record.status for record in result.records} > {"ok"}


def test_large_requests(kind: str, tmp_path: Path) -> None:
    """Requests longer than any buffer's default pass, and nothing of them is written to a disk."""
    with ScriptedServer(stream) as server, balanced(kind, [server.port], tmp_path) as url:
        body = b'{"prompt": "' + b"x" * 3_000_000 + b'"}'
        program = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], sys.stdin.buffer.read()).status)"
        done = subprocess.run([sys.executable, "-c", program, url + "/v1"], input=body, capture_output=True, check=True)
    assert done.stdout == b"200\n"
    assert server.seen[-1].body == body
    assert not [path for path in tmp_path.rglob("temporary/*") if path.is_file()]


def test_it_runs_as_an_ordinary_user(kind: str, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("the other tests ran as an ordinary user already")
    port, (uid, gid) = free_port(), (65534, 65534)
    folder = Path("/tmp") / f"servegrid-test-{port}"
    balancer = Balancer(kind, port, (free_port(),), folder, 30.0, 1)
    folder.mkdir()
    balancer.config_file.write_text(balancer.config)
    os.chown(folder, uid, gid)
    as_nobody = {"user": uid, "group": gid, "extra_groups": []}
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(balancer.command, stdout=log, stderr=log, **as_nobody) as process,
    ):
        time.sleep(1.0)
        ended = process.poll()
        process.terminate()
    output = (folder / "log").read_text()
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()
    assert ended is None, output


def test_few_workers() -> None:
    assert [worker_count(cores) for cores in (1, 2, 8, 16, 128)] == [1, 1, 1, 2, 16]


def test_a_program_is_found_in_the_system_s_folders_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian has it in /usr/sbin, which is not on every user's PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    asked: list[str] = []
    monkeypatch.setattr("shutil.which", lambda _, path: asked.append(path))
    assert find_program("nginx") is None and "apt-get install nginx-light" in str(why_missing("nginx"))
    assert asked[0].split(":") == [str(tmp_path), "/usr/local/sbin", "/usr/sbin", "/sbin"]
