"""A server that runs already is only asked whether it is ready."""

import gzip
import json
import socket
from itertools import chain, cycle

import pytest

from servegrid.launch import probe
from servegrid.launch.probe import get_json
from servegrid.launch.remote import RemoteServer, api_key_headers, url_at_port
from servegrid.launch.server import ServerError
from standins.answers import HEAD, chunk, chunked, sized
from standins.scripted import CERTIFICATE, CLOSE, ScriptedServer

pytestmark = pytest.mark.slow

MODELS = sized(json.dumps({"object": "list", "data": [{"id": "a/b"}, {"id": "c"}]}).encode(), kind="application/json")


def test_it_is_there() -> None:
    with ScriptedServer([MODELS]) as server, RemoteServer(server.url + "/v1/", {"Authorization": "Bearer k"}) as remote:
        remote.wait_ready(f"{server.url}/v1/models", 5)
        assert remote.first_model() == "a/b"
        assert remote.alive and not remote.dies_within(0) and remote.answers(["/v1/models"])["/v1/models"]
    assert {seen.line for seen in server.seen} == {"GET /v1/models HTTP/1.1"}
    assert {seen.headers["authorization"] for seen in server.seen} == {"Bearer k"}


def test_it_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ServerError, match=r"did not answer 200 within 0.6 s: connection refused") as caught:
        RemoteServer(f"http://127.0.0.1:{port}", {}).wait_ready(f"http://127.0.0.1:{port}" + "/health", 0.6)
    assert caught.value.kind == "unreachable"


def test_it_wants_another_key() -> None:
    refusal = sized(b"{}", "401 Unauthorized", "application/json")
    with ScriptedServer([refusal]) as server, pytest.raises(ServerError, match="refuses the API key") as caught:
        RemoteServer(server.url, {}).wait_ready(server.url + "/health", 30)
    assert caught.value.kind == "refused"


@pytest.mark.parametrize(
    "status", ["404 Not Found", "405 Method Not Allowed", "400 Bad Request", "501 Not Implemented"]
)
def test_that_there_is_no_such_page_is_an_answer(status: str) -> None:
    with ScriptedServer([sized(b"", status)]) as server, RemoteServer(server.url, {}) as remote:
        remote.wait_ready(f"{server.url}/v1/models", 60)
        assert remote.start_up.ready_s and remote.first_model() is None and len(server.seen) == 2


def test_a_server_that_is_not_ready_yet_is_waited_for() -> None:
    answers = [sized(b"", "503 Service Unavailable"), sized(b"", "429 Too Many Requests"), sized(b"ok")]
    with ScriptedServer(lambda seen: [answers[min(seen.number, 2)]]) as server:
        RemoteServer(server.url, {}).wait_ready(f"{server.url}/health", 60)
        assert len(server.seen) == 3


def test_a_certificate_is_trusted_by_file_or_environment_or_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer([MODELS], tls=True) as server:
        trusting = RemoteServer(server.url, {}, CERTIFICATE)
        trusting.wait_ready(f"{server.url}/v1/models", 60)
        assert trusting.first_model() == "a/b"
        with pytest.raises(ServerError, match=r"/v1/models: TLS: self.signed certificate") as caught:
            RemoteServer(server.url, {}).wait_ready(f"{server.url}/v1/models", 1e9)
        monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
        assert RemoteServer(server.url, {}).first_model() == "a/b"
    assert caught.value.kind == "refused"


def test_a_server_without_a_list_of_models() -> None:
    with ScriptedServer([sized(b"[]", kind="application/json")]) as server:
        assert RemoteServer(server.url, {}).first_model() is None


@pytest.mark.parametrize("text", [b"[" * 200_000, b'{"data": [{"id": ' + b"[" * 200_000, b"\xff", b"", b"[1"])
def test_an_answer_that_is_no_json_of_ours_says_nothing(text: bytes) -> None:
    with ScriptedServer([sized(text, kind="application/json")]) as server:
        assert get_json(server.url, {}) is None
        assert RemoteServer(server.url, {}).first_model() is None


def test_an_answer_in_chunks_or_packed_is_read() -> None:
    with ScriptedServer([chunked([b'{"a":', b" 1}"])]) as server:
        assert get_json(server.url, {}) == {"a": 1}
    packed = sized(gzip.compress(b'{"a": 1}'), "200 OK", "application/json", "Content-Encoding: gzip\r\n")
    with ScriptedServer([packed]) as server:
        assert get_json(server.url, {}) == {"a": 1}


ENDLESS = {
    "flood": (chunk(b"x" * 65536), 0.0, f"the answer is longer than {4 * 2**20} bytes"),
    "trickle": (chunk(b" "), 0.05, "no end of the answer within 1 s"),
    "one chunk": (b"x" * 65536, 0.0, f"the answer is longer than {4 * 2**20} bytes"),
}


@pytest.mark.parametrize("how", ENDLESS)
def test_an_answer_without_end_is_given_up(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_TIMEOUT_S", 1.0)
    block, pause_s, text = ENDLESS[how]
    first = b"7fffffff\r\n" if how == "one chunk" else b""
    with ScriptedServer(lambda _: chain([HEAD, first], cycle([block, pause_s]))) as server:
        assert probe.get_text(server.url, {}) == (None, text)
        assert RemoteServer(server.url, {}).first_model() is None
        with pytest.raises(ServerError, match=f"did not answer 200 within 0.1 s: {text}"):
            RemoteServer(server.url, {}).wait_ready(server.url + "/health", 0.1)


def test_an_answer_that_is_cut_off_says_so() -> None:
    with ScriptedServer([sized(b'{"a": 1}')[:-2], CLOSE]) as server:
        assert probe.get_text(server.url, {})[0] is None and get_json(server.url, {}) is None


def test_the_key_comes_from_the_environment() -> None:
    assert api_key_headers(None, {}) == {}
    assert api_key_headers("FAR_KEY", {"FAR_KEY": "abc"}) == {"Authorization": "Bearer abc"}
    assert api_key_headers("FAR_KEY", {"FAR_KEY": "abc\r\n"}) == {"Authorization": "Bearer abc"}
    with pytest.raises(ServerError, match="cannot stand in a header field") as caught:
        api_key_headers("FAR_KEY", {"FAR_KEY": "a\nb"})
    assert "a\nb" not in str(caught.value)
    with pytest.raises(ServerError, match="api_key_env = FAR_KEY: no such environment variable"):
        api_key_headers("FAR_KEY", {})


@pytest.mark.parametrize(
    ("url", "number", "at"),
    [
        ("http://10.0.0.5:8000", 1, "http://10.0.0.5:8001"),
        ("http://[::1]:8000", 2, "http://[::1]:8002"),
        ("http://[fe80::8000:1]:8000/v1?a=:8000", 1, "http://[fe80::8000:1]:8001/v1?a=:8000"),
        ("https://host", 1, "https://host"),
        ("http://host:8000", 0, "http://host:8000"),
    ],
)
def test_ports_of_a_server_come_in_a_row(url: str, number: int, at: str) -> None:
    assert url_at_port(url, number) == at
