"""The number types that servers say they took. Log lines and answers are those of the real servers, as the engines' files cite them."""

from typing import Any

import pytest

from servegrid import engines
from servegrid.engines.served_types import one_spelling

VLLM = (
    "INFO 11-28 [core.py:93] Initializing a V1 LLM engine (v0.32.0) with config: model='/m', speculative_config=None, "
    "dtype=torch.{dtype}, max_seq_len=512, quantization=None, kv_cache_dtype={kv}, device_config=cpu\n"
)
SGLANG = (
    "[2025-03-25 16:37:06 TP0] Load weight end. type=LlamaForCausalLM, dtype=torch.bfloat16, avail mem=63.48 GB\n"
    "[2026-02-09 03:51:05] {kv}\n"
)
LLAMACPP = "llama_kv_cache: size = 16.00 MiB (  4096 cells,   8 layers,  8/8 seqs), K (q8_0):    8.00 MiB, V (q8_0):    8.00 MiB\n"


@pytest.mark.parametrize(
    ("engine", "answers", "log", "command", "expected"),
    [
        ("vllm", {}, VLLM.format(dtype="float32", kv="auto"), [], ("float32", "float32")),
        ("vllm", {}, VLLM.format(dtype="bfloat16", kv="fp8"), [], ("bfloat16", "fp8")),
        ("vllm", {}, "", ["vllm", "serve", "--dtype", "half", "--kv-cache-dtype=fp8"], ("float16", "fp8")),
        ("vllm", {}, "", ["vllm", "serve", "--dtype", "auto"], (None, None)),
        (
            "vllm-async",
            {"/version": {"compute_type": "float32"}},
            VLLM.format(dtype="float32", kv="auto"),
            [],
            ("float32",) * 2,
        ),
        (
            "sglang",
            {},
            SGLANG.format(kv="KV Cache is allocated. dtype: torch.bfloat16, #tokens: 1"),
            [],
            ("bfloat16",) * 2,
        ),
        (
            "sglang",
            {},
            SGLANG.format(kv="Using KV cache dtype: torch.float8_e4m3fn"),
            [],
            ("bfloat16", "float8_e4m3fn"),
        ),
        (
            "sglang",
            {"/server_info": {"dtype": "float16", "kv_cache_dtype": "fp8_e5m2"}},
            "",
            [],
            ("float16", "fp8_e5m2"),
        ),
        ("sglang", {"/server_info": {"dtype": "auto", "kv_cache_dtype": "auto"}}, "", [], (None, None)),
        (
            "llamacpp",
            {"/props": {"model_ftype": "all F32"}},
            "",
            ["llama-server", "--cache-type-k", "f32"],
            ("float32",) * 2,
        ),
        ("llamacpp", {"/props": {"model_ftype": "Q4_0"}}, "", ["llama-server"], ("q4_0", "float16")),
        ("llamacpp", {"/props": {"model_ftype": "BF16"}}, LLAMACPP, ["llama-server"], ("bfloat16", "q8_0")),
        ("llamacpp", {"/props": {"model_ftype": "F16"}}, "", [], ("float16", None)),  # at a URL: no command line
        ("llamacpp", {"/props": None}, "", [], (None, None)),
        ("ctranslate2", {"/version": {"compute_type": "int8_float32"}}, "", [], ("int8_float32", "float32")),
        ("ctranslate2", {"/version": {"compute_type": "int8"}}, "", [], ("int8", None)),
        ("transformers", {"/version": {"compute_type": "bfloat16"}}, "", [], ("bfloat16", "bfloat16")),
        (
            "tgi",
            {"/info": {"model_dtype": "torch.float16"}},
            "",
            ["--kv-cache-dtype", "fp8_e4m3fn"],
            ("float16", "fp8_e4m3fn"),
        ),
        ("transformers-serve", {}, "", ["transformers", "serve", "/m", "--dtype", "float32"], ("float32", None)),
        ("openai", {"/v1/models": [1]}, "", [], (None, None)),
    ],
)
def test_types_by_answers_else_log_else_command(
    engine: str, answers: dict[str, Any], log: str, command: list[str], expected: tuple[str | None, str | None]
) -> None:
    assert tuple(engines.get(engine).served_types(answers, log, command)) == expected


@pytest.mark.parametrize("name", engines.names())
def test_answers_of_odd_shapes_say_nothing(name: str) -> None:
    engine = engines.get(name)
    for answer in (None, [], "text", 7, {"dtype": 7, "model_ftype": None, "compute_type": []}):
        assert tuple(engine.served_types(dict.fromkeys(engine.info_paths, answer), "", [])) == (None, None)


def test_one_spelling() -> None:
    spellings = {
        "torch.bfloat16": "bfloat16",
        "all F32": "float32",
        "F16": "float16",
        "Q2_K - Medium": "q2_k - medium",
        "": None,
    }
    assert {name: one_spelling(name) for name in spellings} == spellings
