"""Command lines of every engine against golden files (rewrite them with UPDATE_GOLDEN=1 and read the difference)."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.specs import DEVICES, RESOURCES, SPEC, base
from isolation import REPOSITORY, TESTS
from servegrid import engines
from servegrid.engines import Engine
from servegrid.engines.base import ServerSpec
from servegrid.engines.speculation import Speculation, parse_speculation
from servegrid.launch.command_line import configured_gpus, nominal_launch, shell_line

GOLDEN = TESTS / "data" / "commands"


def bases(engine: Engine) -> dict[str, ServerSpec]:
    """A plain server for every runtime and device that the engine can be launched on; the first one is varied further."""
    pairs = [(runtime, kind) for runtime in engine.runtimes if runtime != "url" for kind in engine.devices]
    base_classes = {f"{runtime} on {kind}": base(engine, runtime, kind) for runtime, kind in pairs}
    return {name: spec for name, spec in base_classes.items() if not engine.unsupported(spec)}


def able(engine: Engine, plain: dict[str, ServerSpec], **changes: object) -> ServerSpec:
    """The first plain server that supports these changes (some engines do on a GPU only), else the first of all."""
    changed = [replace(spec, **changes) for spec in plain.values()]  # type: ignore[arg-type]
    return next((spec for spec in changed if not engine.unsupported(spec)), changed[0])


def variants(engine: Engine) -> dict[str, ServerSpec]:
    launched = bases(engine)
    # one that cannot be launched at all has its reasons shown
    plain = launched or {"none": base(engine, engine.runtimes[0], engine.devices[0])}
    first = next(iter(plain.values()))
    kinds = [Speculation(), *(Speculation(kind, n) for kind in ("ngram", *engine.speculation_kinds) for n in (2, 8))]
    product = {
        f"{speculation} {quantization}": able(engine, plain, speculation=speculation, quantization=quantization)
        for speculation in dict.fromkeys(kinds)
        for quantization in engine.quantizations
    }
    return {
        **launched,
        **product,
        "8 at once, 2048 tokens, 2 CPU threads": replace(first, concurrency=8, context_tokens=2048, cpu_threads=2),
        "prefix cache": able(engine, plain, prefix_cache=True),
        "half the memory": able(engine, plain, memory_fraction=0.5),
        "split over two": able(engine, plain, tensor_parallel=2),
        **rbln(first),
        "options": replace(first, options={"batch-size": 64, "flag": None}),
    }


def rbln(spec: ServerSpec) -> dict[str, ServerSpec]:
    """Further variants of servers on NPUs, by name."""
    four = {"name": "atoms", "kind": "npu", "ids": [0, 1, 2, 3]}
    wide = replace(spec, device=four, tensor_parallel=4, context_tokens=4096)
    variants = {"four NPUs": wide, "tutorial's flags": replace(wide, options={"era": "tutorial"})}
    return variants if spec.kind == "npu" else {}


def line(name: str, engine: Engine, spec: ServerSpec) -> str:
    if reason := engine.unsupported(spec):
        return f"# {name}\nunsupported: {reason}\n"
    launch = nominal_launch(spec, RESOURCES)
    written = [f"# {path}: {json.dumps(text)}\n" for path, text in engine.settings_files(spec, launch).items()]
    return "".join([f"# {name}\n", *written, shell_line(spec, RESOURCES, launch, configured_gpus(spec)), "\n"])


def lines(name: str) -> str:
    engine = engines.get(name)
    text = "\n".join(line(variant, engine, spec) for variant, spec in variants(engine).items())
    return text.replace(f"{REPOSITORY}/", "").replace(f"{Path.cwd()}/", "")


LAUNCHED = [name for name in engines.names() if engines.get(name).runtimes != ("url",)]


@pytest.mark.parametrize("engine", LAUNCHED)
def test_command_lines(engine: str) -> None:
    path = GOLDEN / f"{engine}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(lines(engine))
    assert path.read_text() == lines(engine)


@pytest.mark.parametrize(
    ("value", "meant"),
    [("none", "none"), (0, "none"), ("0", "none"), (2, "ngram:2"), ("ngram:8", "ngram:8"), ("draft:4", "draft:4")],
)
def test_names_of_speculation(value: str | int, meant: str) -> None:
    assert str(parse_speculation(value, "ngram")) == meant


@pytest.mark.parametrize("value", ["ngram", "ngram:", "ngram:0", "-1", "lookahead:2", "medusa:0", "2.5", ""])
def test_what_is_no_speculation(value: str) -> None:
    with pytest.raises(ValueError, match="none, a whole number, or one of ngram:N"):
        parse_speculation(value, "ngram")


def test_vllm_makes_no_8_bit_weights_of_a_dense_model() -> None:
    spec = replace(SPEC, engine="vllm", device=DEVICES["cuda"], quantization="int8-weight")
    assert "experts alone" in str(engines.get("vllm").unsupported(spec))
    assert "experts alone" in str(engines.get("vllm-async").unsupported(replace(spec, engine="vllm-async")))


def test_transformers_serve_is_sent_what_it_knows() -> None:
    fields = dict(engines.get("transformers-serve").extra_fields(SPEC, 24))
    assert json.loads(fields.pop("generation_config")) == {
        "max_new_tokens": 24,
        "min_new_tokens": 24,
        "do_sample": True,
    }
    assert fields == dict.fromkeys(("model", "ignore_eos", "min_tokens", "stream_options"))


@pytest.mark.parametrize(
    ("engine", "answers", "meant"),
    [
        (
            "vllm",
            {"/version": {"version": "0.32.0"}, "/v1/models": {"data": [{"max_model_len": 512}]}},
            ("0.32.0", 512),
        ),
        ("vllm", {"/version": None, "/v1/models": None}, (None, None)),
        ("transformers", {"/version": {"engine_version": "5.23.0", "max_model_len": 64}}, ("5.23.0", 64)),
        ("transformers", {"/version": None}, (None, None)),
        ("llamacpp", {"/props": None}, (None, None)),
        (
            "llamacpp",
            {"/props": {"build_info": "b0-unknown", "default_generation_settings": {"n_ctx": 256}}},
            (None, 256),
        ),
        (
            "llamacpp",
            {"/props": {"build_info": "b11549-1a2b3c4", "default_generation_settings": None}},
            ("b11549-1a2b3c4", None),
        ),
        ("llamacpp", {"/props": {"build_info": "", "total_slots": 4}}, (None, None)),
    ],
)
def test_what_a_server_says_of_itself(engine: str, answers: dict[str, object], meant: tuple[object, ...]) -> None:
    reported = engines.get(engine).reported(answers)
    assert (reported.version, reported.context_tokens) == meant


def test_llamacpp_says_how_many_slots_it_has() -> None:
    reported = engines.get("llamacpp").reported
    assert reported({"/props": {"total_slots": 4}}).concurrency == 4 and reported({}).concurrency is None
