"""A server that runs already is asked whether it is there, and otherwise left alone."""

import json
import socket

import pytest

from servegrid.remote import RemoteServer, at_port, key_headers
from servegrid.server import ServerError
from servers_fake.answers import sized
from servers_fake.scripted import ScriptedServer

MODELS = sized(json.dumps({"object": "list", "data": [{"id": "a/b"}, {"id": "c"}]}).encode(), kind="application/json")


def test_it_is_there() -> None:
    with ScriptedServer([MODELS]) as server, RemoteServer(server.url + "/v1/", {"Authorization": "Bearer k"}) as remote:
        remote.wait_ready(remote.url + "/v1/models", 5)
        assert remote.first_model() == "a/b"
        assert remote.alive and not remote.dies_within(0) and remote.url == server.url
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


def test_a_server_without_a_list_of_models() -> None:
    with ScriptedServer([sized(b"[]", kind="application/json")]) as server:
        assert RemoteServer(server.url, {}).first_model() is None


def test_the_key_comes_from_the_environment() -> None:
    assert key_headers(None, {}) == {}
    assert key_headers("FAR_KEY", {"FAR_KEY": "abc"}) == {"Authorization": "Bearer abc"}
    assert key_headers("FAR_KEY", {"FAR_KEY": "abc\r\n"}) == {"Authorization": "Bearer abc"}
    with pytest.raises(ServerError, match="cannot stand in a header field") as caught:
        key_headers("FAR_KEY", {"FAR_KEY": "a\nb"})
    assert "a\nb" not in str(caught.value)
    with pytest.raises(ServerError, match="api_key_env = FAR_KEY: no such environment variable"):
        key_headers("FAR_KEY", {})


@pytest.mark.parametrize(
    ("url", "number", "at"),
    [
        ("http://10.0.0.5:8000", 1, "http://10.0.0.5:8001"),
        ("http://[::1]:8000", 2, "http://[::1]:8002"),
        ("https://host", 1, "https://host"),
        ("http://host:8000", 0, "http://host:8000"),
    ],
)
def test_ports_of_a_server_come_in_a_row(url: str, number: int, at: str) -> None:
    assert at_port(url, number) == at
