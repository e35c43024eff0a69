"""Options that servegrid sets itself: refused in every spelling, naming the key; and no flag of a builder is forgotten."""

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
import yaml

from helpers.specs import RESOURCES, base
from isolation import REPOSITORY
from servegrid import engines
from servegrid.config import ConfigError, parse_config
from servegrid.engines import Engine
from servegrid.engines.base import LAUNCH, Launch, ServerSpec, flags
from servegrid.engines.speculation import Speculation
from servegrid.launch.command_line import nominal_launch

DEFAULT: dict[str, Any] = yaml.safe_load((REPOSITORY / "config" / "config.yaml").read_text())
CHANGES: tuple[Mapping[str, Any], ...] = (
    {"concurrency": 9},
    {"context_tokens": 777},
    {"cpu_threads": 3},
    {"prefix_cache": True},
    {"memory_fraction": 0.4},
    {"tensor_parallel": 2},
    *({"speculation": Speculation(kind, 7)} for kind in ("ngram", "draft", "eagle3", "mtp")),
    *({"quantization": name} for name in ("int8", "fp8", "nf4", "awq", "fp6")),
)
TUNABLE = {
    "max-batch-size": "of the library server, which options of vllm-async do not reach",
    "backend-config": "tritonserver takes several",
    # tied to a key at its default only; the key stays true when they are changed
    "cache-ram": "with the prompt cache off there is nothing to keep",
    "max-batch-prefill-tokens": "a prefill's size is not a prompt's limit",
    "max-num-tokens": "as above",
    "spec-ngram-simple-size-n": "how many tokens are matched, not how many are drafted",
    "spec-ngram-simple-min-hits": "as above",
    "spec-draft-n-min": "as above",
    "spec-draft-p-min": "as above",
    "speculative-ngram-max-bfs-breadth": "the tree's shape",
    "speculative-eagle-topk": "the tree's shape",
    "speculative-algorithm": "LMDeploy has one name per model for its mtp heads",
}


def flag_values(engine: Engine, spec: ServerSpec, launch: Launch) -> dict[str, str]:
    """Flags of the command line by name, each with the text up to the next flag; keys of a settings file `model.json` too."""
    words = " ".join(engine.arguments(spec, launch)).replace("CMD_ADDITIONAL_ARGUMENTS=", " ").split(" ")
    starts = [place for place, word in enumerate(words) if word.startswith("--")]
    ends = [*starts, len(words)][1:]
    found = {
        words[start].lstrip("-").partition("=")[0]: " ".join(words[start:end])
        for start, end in zip(starts, ends, strict=True)
    }
    extra = json.loads(found.pop("engine-arguments", "--engine-arguments {}").partition(" ")[2])
    for path, text in engine.settings_files(spec, launch).items():
        extra |= json.loads(text) if path.endswith("model.json") else {}
    return found | {name: str(value) for name, value in extra.items()}


def bases(engine: Engine) -> Iterator[ServerSpec]:
    for runtime in engine.runtimes:
        for kind in engine.devices:
            spec = base(engine, runtime, kind)
            if runtime != "url" and not engine.unsupported(spec):
                yield spec


@pytest.mark.parametrize("name", [name for name in engines.names() if name not in ("openai", "optimum-nvidia")])
def test_every_flag_that_a_key_changes_is_reserved(name: str) -> None:
    engine, free = engines.get(name), set()
    for plain in bases(engine):
        launch = nominal_launch(plain, RESOURCES)
        before = flag_values(engine, plain, launch)
        elsewhere = replace(launch, ports=tuple(port + 100 for port in launch.ports), host="0.0.0.0")
        variants = [(replace(plain, **change), launch) for change in CHANGES]
        variants = [(spec, nominal_launch(spec, RESOURCES)) for spec, _ in variants if not engine.unsupported(spec)]
        for spec, changed_launch in [*variants, (plain, elsewhere)]:
            after = flag_values(engine, spec, changed_launch)
            changed = {flag for flag in before | after if before.get(flag) != after.get(flag)}
            free |= {flag for flag in changed if not (engine.reserved_by(flag) or engine.reserved_by(f"triton-{flag}"))}
    assert {flag.replace("_", "-") for flag in free} <= set(TUNABLE)


@pytest.mark.parametrize(
    ("engine", "option", "key"),
    [
        ("llamacpp", "ctx-size", "server.context_tokens"),
        ("llamacpp", "ctx_size", "server.context_tokens"),
        ("llamacpp", "--ctx-size", "server.context_tokens"),
        ("llamacpp", "-c", "server.context_tokens"),
        ("llamacpp", "c", "server.context_tokens"),
        ("llamacpp", "-np", "server.concurrency"),
        ("llamacpp", "parallel=32", "server.concurrency"),
        ("llamacpp", "no-cache-prompt", "server.prefix_cache"),
        ("llamacpp", "port", LAUNCH),
        ("llamacpp", "host", LAUNCH),
        ("llamacpp", "model", "model.source"),
        ("llamacpp", "api-key", "engines.<name>.api_key_env"),
        ("vllm", "max_model_len", "server.context_tokens"),
        ("vllm", "speculative-config.method", "grid.speculation"),
        ("vllm-async", "tensor_parallel_size", "server.tensor_parallel"),
        ("triton-vllm", "triton-http-port", LAUNCH),
        ("rbln-triton", "max_num_seqs", "server.concurrency"),
        ("tensorrt-llm", "config.kv_cache_config.enable_block_reuse", "server.prefix_cache"),
        ("llamacpp", "--no-mmap", None),
        ("llamacpp", "no-mmap", None),
        ("llamacpp", "cache-type-k", None),
        ("llamacpp", "-C", None),
        ("tgi", "max-batch-size", None),
        ("tensorrt-llm", "config.kv_cache_config.dtype", None),
        ("ctranslate2", "batch-wait-ms", None),
    ],
)
def test_who_sets_an_option(engine: str, option: str, key: str | None) -> None:
    assert engines.get(engine).reserved_by(option) == key


def mistakes(options: Mapping[str, Any], axes: Mapping[str, Any]) -> list[str]:
    raw = copy.deepcopy(DEFAULT)
    raw["engines"]["llamacpp"]["options"] = dict(options)
    raw["grid"] |= axes
    try:
        parse_config(raw)
    except ConfigError as error:
        return error.mistakes
    return []


def test_a_reserved_option_is_refused_by_its_key() -> None:
    assert mistakes({"ctx-size": 99, "-np": 32, "api-key": "sk", "no-mmap": None}, {}) == [
        "engines.llamacpp.options.ctx-size: is set by server.context_tokens",
        "engines.llamacpp.options.-np: is set by server.concurrency",
        "engines.llamacpp.options.api-key: is set by engines.llamacpp.api_key_env",
    ]


def test_a_reserved_axis_is_refused_for_the_grids_engines_alone() -> None:
    axis = {"options.max-batch-size": [1, 2]}
    assert mistakes({}, axis) == ["grid.options.max-batch-size: is set by server.concurrency (of ctranslate2)"]
    assert mistakes({}, axis | {"engine": ["llamacpp"]}) == []


def test_options_keep_the_dashes_they_have() -> None:
    assert flags({"batch-size": 64, "-fa": "on", "--no-mmap": None}) == ["--batch-size", "64", "-fa", "on", "--no-mmap"]
