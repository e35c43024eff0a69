"""Settings that single engines interpret in their own way: memory shares, options, ports, concurrency."""

from dataclasses import replace
from typing import Any

import pytest

from helpers.specs import DEVICES, RESOURCES, SPEC
from servegrid import engines
from servegrid.engines.base import Option, ServerSpec
from servegrid.engines.speculation import Speculation
from servegrid.launch.command_line import nominal_launch

CUDA = replace(SPEC, runtime="command", command=("/opt/server",), device=DEVICES["cuda"])


def arguments(spec: ServerSpec, copy: int = 0) -> list[str]:
    return engines.get(spec.engine).arguments(spec, nominal_launch(spec, RESOURCES, copy=copy))


def value(arguments: list[str], flag: str) -> str:
    """The value after the flag, which must occur once: TGI ends when a flag is given twice."""
    assert arguments.count(flag) == 1
    return arguments[arguments.index(flag) + 1]


@pytest.mark.parametrize(
    ("fraction", "shares"), [(0.5, ["0.5", "1.0"]), (0.3, ["0.3", "0.6", "0.9"]), (0.6, ["0.6", "1.0"])]
)
@pytest.mark.parametrize("engine", ["tgi", "tgi-1.4"])
def test_a_further_tgi_on_a_device_is_told_of_those_before(engine: str, fraction: float, shares: list[str]) -> None:
    spec = replace(CUDA, engine=engine, memory_fraction=fraction)
    fractions = [value(arguments(spec, copy), "--cuda-memory-fraction") for copy in range(len(shares))]
    assert fractions == shares


def test_a_share_of_aphrodite_is_one_of_the_whole_device() -> None:
    spec = replace(CUDA, engine="aphrodite", memory_fraction=0.5)
    assert [value(arguments(spec, copy), "--gpu-memory-utilization") for copy in (0, 1)] == ["0.5", "0.5"]


@pytest.mark.parametrize("engine", ["tgi", "tgi-1.4", "powerinfer"])
def test_options_replace_the_engines_own_flags(engine: str) -> None:
    flag = "parallel" if engine == "powerinfer" else "max-concurrent-requests"
    options: dict[str, Option] = {flag: 128}
    assert value(arguments(replace(CUDA, engine=engine, options=options)), f"--{flag}") == "128"


def test_servers_on_one_host_share_no_port_and_no_socket() -> None:
    spec = replace(CUDA, engine="tgi")
    flags = ("--port", "--master-port", "--prometheus-port", "--shard-uds-path")
    values = [value(arguments(spec, copy), flag) for copy in (0, 1) for flag in flags]
    assert len(set(values)) == len(values)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"engine": "tgi", "quantization": "eetq", "options": {"dtype": "bfloat16"}}, "a dtype or a quantization"),
        ({"engine": "tgi", "speculation": Speculation("draft", 2)}, "no speculation of kind draft"),
        ({"engine": "tgi-1.4", "speculation": Speculation("mlp", 2)}, "no speculation of kind mlp"),
        ({"engine": "tgi-1.4", "quantization": "fp8"}, "no quantization fp8"),
        ({"engine": "tgi", "quantization": "fp8", "device": DEVICES["cpu"]}, "on a CPU TGI has neither"),
        ({"engine": "powerinfer", "memory_fraction": 0.5}, "set options.vram-budget"),
        ({"engine": "powerinfer", "options": {"vram-budget": 8}, "device": DEVICES["cpu"]}, "device of kind cuda"),
        ({"engine": "deepspeed-mii", "sharing": 2}, "fixed ports"),
        (
            {"engine": "deepspeed-mii", "device": {"name": "b", "kind": "cuda", "ids": [1]}},
            "does not heed CUDA_VISIBLE",
        ),
        ({"engine": "deepspeed-mii", "runtime": "docker"}, "knows no image"),
        ({"engine": "aphrodite", "quantization": "exl3"}, "name it under model.quantized.exl3"),
        ({"engine": "optimum-nvidia"}, "superseded by TensorRT-LLM"),
    ],
)
def test_what_an_engine_cannot_be(changes: dict[str, Any], reason: str) -> None:
    spec = replace(CUDA, **changes)
    assert reason in str(engines.get(spec.engine).unsupported(spec))


def test_what_is_asked_of_apis_that_differ() -> None:
    def fields(engine: str, **changes: Any) -> dict[str, Any]:
        return dict(engines.get(engine).extra_fields(replace(CUDA, engine=engine, **changes), 8))

    assert fields("tgi") == {}
    openai = fields("tgi", protocol="openai-completions")
    assert openai["model"] == "tgi" and openai["ignore_eos"] is openai["min_tokens"] is openai["stream_options"] is None
    assert fields("tgi", protocol="openai-chat")["stream_options"] == {"include_usage": True}
    assert fields("deepspeed-mii") == {
        "temperature": None,
        "seed": None,
        "ignore_eos": None,
        "stream_options": None,
        "top_k": 1,
        "min_tokens": 512,
    }
    assert fields("aphrodite-0.5") == {"min_tokens": None, "stream_options": None}
