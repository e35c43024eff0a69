"""Engines at a URL: what of their config is refused before anything starts, in words that hold no password."""

from pathlib import Path
from typing import Any

import pytest

from helpers.grids import DEFAULT
from servegrid import engines
from servegrid.config import Config, ConfigError, parse_config
from standins.scripted import CERTIFICATE

AT = {"runtime": "url", "engine": "openai", "url": "https://host/v1"}


def parsed(**entry: Any) -> Config:
    config = {**DEFAULT, "engines": {**DEFAULT["engines"], "far": {**AT, **entry}}}
    return parse_config({**config, "devices": {**DEFAULT["devices"], "away": {"kind": "remote"}}})


def mistakes(**entry: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        parsed(**entry)
    return str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["http://h:1", "https://h/", "https://h/v1?api-version=2#top", "https://h/openai/completions", "http://[::1]:8/v1"],
)
def test_urls_as_people_write_them_are_taken(url: str) -> None:
    assert parsed(url=url).engines["far"].url == url


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"url": "host:80"}, "engines.far.url = 'host:80': expected http://host:port or https://host"),
        ({"url": "http://h:port"}, "engines.far.url = 'http://h:port': expected http://host:port"),
        ({"url": "http://[::1"}, "engines.far.url = 'http://[::1': expected http://host:port"),
        ({"url": None}, "engines.far.url = '': expected http://host:port"),
        ({"url": "http://h/v1/chat/completions"}, "ends in /chat/completions, which is not /v1/completions of openai-"),
        ({"url": "http://h/v1/models"}, "ends in /v1/models, which is not /v1/completions of openai-completions"),
        ({"url": "http://h?api_key=k-1"}, "engines.far.url: its query has api_key, a secret; a key goes into the variable"),
        ({"url": "http://h", "ca_file": str(CERTIFICATE)}, "engines.far.ca_file = '/"),
        ({"ca_file": "/does/not/exist"}, "engines.far.ca_file = '/does/not/exist': must be a file with certificates (PEM)"),
        ({"ca_file": __file__}, "must be a file with certificates (PEM)"),
        ({"health_path": "ping"}, "engines.far.health_path = 'ping'"),
        ({"runtime": "command", "health_path": "/ping"}, "engines.far.health_path = '/ping': goes with runtime url"),
        ({"runtime": "command", "ca_file": "x"}, "engines.far.ca_file = 'x': goes with runtime url, and with no other"),
        ({"protocol": "tgi-generate"}, "openai speaks openai-completions, openai-chat"),
        ({"request": {"most": ["<max_token>"]}}, "engines.far.request.most[0] = '<max_token>': did you mean <max_tokens>?"),
    ],
)  # fmt: skip
def test_what_is_refused_names_key_and_value(entry: dict[str, Any], message: str) -> None:
    assert message in mistakes(**entry) and "k-1" not in mistakes(**entry)


@pytest.mark.parametrize(
    "url", ["http://u:pw-1@h", "u:pw-1@h:80", "ftp://u:pw-1@h", "http://u:p/pw-1@h", ["http://u:pw-1@h"]]
)
def test_no_password_is_said(url: Any) -> None:
    assert "engines.far.url" in mistakes(url=url) and "pw-1" not in mistakes(url=url)


@pytest.mark.parametrize("engine", [name for name in engines.names() if "url" in engines.get(name).runtimes])
def test_a_gateway_may_stand_before_any_engine(engine: str) -> None:
    assert parsed(engine=engine, protocol="openai-chat", url="https://h/chat/completions").engines["far"].protocol


def test_where_a_server_is_launched_its_engine_says_what_it_speaks() -> None:
    message = mistakes(engine="llamacpp", runtime="venv", url=None, protocol="openai-chat")
    assert "engines.far.protocol = 'openai-chat': llamacpp speaks openai-completions" in message


def test_certificates_are_taken_by_relative_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(CERTIFICATE).parent)
    assert parsed(ca_file=CERTIFICATE.name).engines["far"].ca_file == "localhost.pem"
