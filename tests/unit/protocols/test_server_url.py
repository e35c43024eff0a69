"""URLs of servers as people write them: the endpoint they lead to, what is refused, and what of them is shown."""

import pytest

from servegrid import protocols
from servegrid.protocols.server_url import at, join, mistake, secret_fields, shown

CHAT, COMPLETIONS = protocols.get("openai-chat"), protocols.get("openai-completions")


@pytest.mark.parametrize(
    ("written", "chat", "health"),
    [
        ("", "/v1/chat/completions", "/health"),
        ("/", "/v1/chat/completions", "/health"),
        ("/v1", "/v1/chat/completions", "/health"),
        ("//v1//", "/v1/chat/completions", "/health"),
        ("/#top", "/v1/chat/completions", "/health"),
        ("/v1/chat/completions/", "/v1/chat/completions", "/health"),
        ("/api/v3", "/api/v3/chat/completions", "/api/health"),
        ("/v1beta/openai/", "/v1beta/openai/chat/completions", "/health"),
        ("/v1/account/gateway/openai", "/v1/account/gateway/openai/chat/completions", "/health"),
        ("/chat/completions", "/chat/completions", "/health"),
        ("/token/qwen", "/token/qwen/v1/chat/completions", "/token/qwen/health"),
        ("/api/v1/services/vllm/proxy", "/api/v1/services/vllm/proxy/v1/chat/completions", None),
        ("/v1?key-id=3#top", "/v1/chat/completions?key-id=3", "/health?key-id=3"),
        ("/d/g/chat/completions?api-version=1", "/d/g/chat/completions?api-version=1", "/d/g/health?api-version=1"),
    ],
)
def test_where_a_url_leads(written: str, chat: str, health: str | None) -> None:
    server = f"https://host:8443{written}"
    assert join(server, CHAT.path) == f"https://host:8443{chat}" and mistake(server, CHAT) is None
    assert join(server, "/v1/models") == f"https://host:8443{chat.replace('/chat/completions', '/models')}"
    assert health is None or join(server, "/health") == f"https://host:8443{health}"


@pytest.mark.parametrize("name", protocols.names())
def test_no_endpoint_is_doubled(name: str) -> None:
    protocol = protocols.get(name)
    for written in ("", "/", protocol.path, f"{protocol.path}/", f"/proxy{protocol.path}"):
        joined = join(f"http://h{written}", protocol.path)
        assert joined.count(protocol.path) == 1 and joined.endswith(protocol.path)
        assert mistake(f"http://h{written}", protocol) is None


def test_a_path_of_ones_own_keeps_both_queries() -> None:
    assert at("http://h/v1?a=1#x", "/my/endpoint?b=2") == "http://h/my/endpoint?b=2&a=1"


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("h:80", "expected http://host:port"),
        ("http:/h", "expected"),
        ("http://h:port", "expected"),
        ("http://h:0", "expected"),
        ("http://[::1", "expected"),
        ("http://h 1/", "expected"),
        ("http://u:p@h", "has a user or password"),
        ("http://h/v1/completions", "ends in /completions, which is not /v1/chat/completions of openai-chat"),
        ("http://h/generate_stream", "ends in /generate_stream, which is not"),
        ("http://h/v1/models/", "ends in /v1/models, which is not"),
        ("http://h/health", "ends in /health, which is not"),
    ],
)
def test_what_is_refused(written: str, words: str) -> None:
    assert words in str(mistake(written, CHAT))


def test_chat_is_not_taken_for_completions() -> None:
    assert "ends in /chat/completions" in str(mistake("http://h/v1/chat/completions", COMPLETIONS))


@pytest.mark.parametrize("password", ["pw-1", "p@w-1", "pw-1:", "a/pw-1", "12/pw-1@x:y"])
@pytest.mark.parametrize("url", ["http://user:{}@h:1/v1?a=b", "ftp://user:{}@h", "user:{}@h:80", "http://:{}@"])
def test_no_password_is_shown(url: str, password: str) -> None:
    written = url.format(password)
    if mistake(written):
        assert "pw-1" not in shown(written) + str(mistake(written))


def test_secrets_of_a_query_are_not_shown() -> None:
    url = "http://h/a@b?api-version=1&api_key=sk-1&Token=t-1"
    assert secret_fields(url) == ["api_key", "Token"]
    assert shown(url) == "http://h/a@b?api-version=1&api_key=***&Token=***"
