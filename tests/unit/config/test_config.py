"""The config refuses unknown keys, and its errors name the key, the value and what is allowed."""

import copy
from typing import Any

import pytest
import yaml

from isolation import REPOSITORY
from servegrid.config import ConfigError, parse_config

DEFAULT: dict[str, Any] = yaml.safe_load((REPOSITORY / "config" / "config.yaml").read_text())


def with_value(path: str, value: Any) -> dict[str, Any]:
    raw = copy.deepcopy(DEFAULT)
    *parents, last = path.split("/")
    section = raw
    for key in parents:
        section = section.setdefault(key, {})
    section[last] = value
    return raw


def mistakes(path: str, value: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(with_value(path, value))
    return str(caught.value)


def test_the_default_config_is_accepted() -> None:
    assert parse_config(DEFAULT).grid.threads == [1, 2, 4, 8]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("modle", {}, ["modle", "did you mean model?"]),
        ("grid/threds", [1], ["grid.threds", "did you mean threads?", "options.<flag>"]),
        ("load/requst_timeout_s", 3, ["load.requst_timeout_s", "request_timeout_s"]),
        ("grid/threads", [1, "many"], ["grid.threads[1] = 'many'", "integer"]),
        ("grid/threads", [1, 2, 1], ["grid.threads[2] = 1", "twice"]),
        ("grid/threads", [], ["grid.threads = []", "at least 1"]),
        ("pathvars/results", "a {x}", ["pathvars.results = 'a {x}'", "takes for wildcards"]),
        ("grid/engine", ["vlm"], ["grid.engine[0] = 'vlm'", "ctranslate2, llamacpp"]),
        ("grid/gpu", ["a6000"], ["grid.gpu[0] = 'a6000'", "cpu"]),
        ("grid/quantization", ["fp9"], ["grid.quantization[0] = 'fp9'", "int8"]),
        ("grid/speculation", ["ngram:x"], ["grid.speculation[0] = 'ngram:x'", "draft:N"]),
        ("grid/speculation", ["lookahead:2"], ["grid.speculation[0] = 'lookahead:2'", "ngram:N"]),
        ("grid/concurrency", [2, 0], ["grid.concurrency[1] = 0", "greater than or equal to 1"]),
        ("grid/exclude", [{"engine": "foo"}], ["grid.exclude[0].engine = 'foo'", "llamacpp, ctranslate2"]),
        ("grid/include", [{"thread": 2}], ["grid.include[0].thread", "did you mean threads?"]),
        ("grid/include", [{"engine": "foo"}], ["grid.include[0].engine = 'foo'"]),
        (
            "grid/include",
            [{"threads": True}],
            ["grid.include[0].threads = true", "must be a value that grid.threads can have"],
        ),
        ("grid/exclude", [{"quantization": None}], ["grid.exclude[0].quantization = null", "in quotes"]),
        ("report/baseline", {"engin": "x"}, ["report.baseline.engin", "did you mean engine?"]),
        ("report/objective", "fastest", ["report.objective = 'fastest'", "min_cost"]),
        ("report/objective", "max_throughput_under_slo", ["report.slo = {}", "at least one limit"]),
        ("report/slo", {"ttft_p99": 5}, ["report.slo.ttft_p99", "did you mean ttft_ms_p99?"]),
        ("report/slo", {"ttft_ms_p99": 0}, ["report.slo.ttft_ms_p99 = 0", "greater than 0"]),
        ("claims", [{"better": {"threads": 2}}], ["claims[0].says", "missing"]),
        ("claims", [{"says": "x", "metrc": "y"}], ["claims[0].metrc", "did you mean metric?"]),
        (
            "claims",
            [{"says": "x", "than": {"threads": 1}, "metric": "speed"}],
            ["claims[0].metric = 'speed'", "time_s"],
        ),
        ("claims", [{"says": "x"}], ["claims[0]: names no rows"]),
        ("claims", [{"says": "x", "better": {"thread": 2}}], ["claims[0].better.thread", "did you mean threads?"]),
        ("claims", [{"says": "x", "than": {"threads": []}}], ["claims[0].than.threads = []", "at least one"]),
        (
            "claims",
            [{"says": "x", "better": {"threads": 2}, "matched_on": ["gpus"]}],
            ["claims[0].matched_on = 'gpus'"],
        ),
        (
            "claims",
            [{"says": "x", "better": {"threads": 2}, "at_least": 0.2, "at_most": 0.1}],
            ["claims[0].at_most = 0.1", "below at_least = 0.2"],
        ),
        ("load/arrival", "poisson", ["load.rate = null", "requests per second"]),
        ("engines/llamacpp/runtime", "podman", ["engines.llamacpp.runtime = 'podman'", "venv"]),
        ("engines/llamacpp/runtime", "command", ["engines.llamacpp.command = null"]),
        ("engines/other", {"runtime": "venv"}, ["engines.other = 'other'", "ctranslate2, ", "llamacpp, "]),
        ("engines/llamacpp/env", {"HF_TOKEN": "abc"}, ["engines.llamacpp.env.HF_TOKEN", "write ${HF_TOKEN}"]),
        ("engines/llamacpp/memory_limit", "8g", ["engines.llamacpp.memory_limit = '8g'", "runtime docker"]),
        ("engines/llamacpp/memory_limit", "8 GB", ["engines.llamacpp.memory_limit = '8 GB'", "kmg"]),
        ("devices/atom", {"kind": "npu", "name": "RBLN-CA22"}, ["devices.atom", "kind npu takes no name or uuids"]),
        ("devices/cpu", {"kind": "gpu"}, ["devices.cpu.kind = 'gpu'", "'cuda'"]),
        ("devices/cpu", {"kind": "cpu", "ids": [0]}, ["devices.cpu", "kind: cuda"]),
        ("prompts/input_tokens", 500, ["prompts.input_tokens = 500", "input_tokens_max = 160"]),
        ("server/context_tokens", 128, ["server.context_tokens = 128", "longest request"]),
        ("load/cache", "hot", ["load.cache = 'hot'", "'cold' or 'warm'"]),
        ("grid/cache", ["cold", "hot"], ["grid.cache[1] = 'hot'", "'cold' or 'warm'"]),
        ("engines/llamacpp/request", {"cache_prompt": True}, ["request.cache_prompt: is set by server.prefix_cache"]),
        ("repeats", 0, ["repeats = 0", "greater than or equal to 1"]),
    ],
)
def test_a_mistake_is_named_with_what_is_allowed(path: str, value: Any, message: list[str]) -> None:
    text = mistakes(path, value)
    assert all(word in text for word in message), text


@pytest.mark.parametrize(
    ("path", "written", "hint"),
    [
        ("grid/speculation", "[off, 2]", ["grid.speculation[0] = false", "bare off"]),
        ("server/prefix_cache", "'off'", ["server.prefix_cache = 'off'", "boolean"]),
        ("engines/llamacpp/version", "0.10", ["engines.llamacpp.version = 0.1", "0.10 is read as 0.1"]),
        ("engines/llamacpp/options", "{fit: off}", ["engines.llamacpp.options.fit = false", "quotes"]),
        ("grid/options.fit", "[on]", ["grid.options.fit[0] = true", "quotes"]),
        ("load/rate", "1e3", ["load.rate = '1e3'", "write 1000"]),
        ("repeats", "yes", ["repeats = true", "integer"]),
    ],
)
def test_what_yaml_misreads_is_caught(path: str, written: str, hint: list[str]) -> None:
    text = mistakes(path, yaml.safe_load(written))
    assert all(word in text for word in hint), text


def test_true_on_the_command_line_is_text() -> None:
    assert parse_config(DEFAULT | {"commands": "true"}).commands is True
    assert "commands = 'yes': must be a valid boolean" in mistakes("commands", "yes")


def test_a_salt_needs_room_in_the_context_where_a_server_keeps_prompts_and_loads_are_cold() -> None:
    longest = DEFAULT["prompts"]["input_tokens_max"] + DEFAULT["prompts"]["output_tokens"]
    server = {"prefix_cache": True, "context_tokens": longest}
    assert f"+ 17 of a salt, as server.prefix_cache is true = {longest + 17}" in mistakes("server", server)
    parse_config(with_value("server", server | {"context_tokens": longest + 17}))
    parse_config(with_value("server", server) | {"load": {"cache": "warm"}})
    parse_config(with_value("server", server | {"prefix_cache": False}))


def test_all_mistakes_come_at_once() -> None:
    raw = with_value("repeats", 0) | {"modle": {}}
    with pytest.raises(ConfigError) as caught:
        parse_config(raw)
    assert len(caught.value.mistakes) == 2


def test_the_article_s_claims_go_with_the_default_config() -> None:
    article = yaml.safe_load((REPOSITORY / "config" / "article.yaml").read_text())
    raw = copy.deepcopy(DEFAULT) | {"claims": article["claims"]}
    raw["report"]["published"] = article["report"]["published"]
    assert len(parse_config(raw).claims) == 13


def test_a_published_table_that_is_not_there_is_named() -> None:
    from servegrid.plan.resolve import resolve

    with pytest.raises(ConfigError, match=r"report.published\[0\] = 'no.csv': is not there"):
        resolve(parse_config(with_value("report/published", ["no.csv"])))
