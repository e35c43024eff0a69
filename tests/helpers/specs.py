"""Servers of every engine, runtime and device, for tests of command lines."""

from dataclasses import replace
from pathlib import Path

from servegrid.engines import Engine
from servegrid.engines.base import ModelRef, ServerSpec
from servegrid.engines.speculation import TRAINED, Speculation

RESOURCES = Path("resources")


MODEL = ModelRef(
    "tiny",
    "r1",
    "models/tiny/checkpoint",
    "models/tiny",
    quantized={name: f"/models/tiny-{name}" for name in ("awq", "gptq", "marlin", "exl2", "compressed-tensors")},
    speculators={kind: f"/models/tiny-{kind}" for kind in TRAINED},
)


SPEC = ServerSpec(
    engine="llamacpp",
    version="lock 1",
    runtime="venv",
    device={"name": "cpu", "kind": "cpu"},
    speculation=Speculation(),
    quantization="none",
    model=MODEL,
    draft=ModelRef("draft", "d1", "models/draft/checkpoint", "models/draft"),
    concurrency=4,
    context_tokens=512,
    cpu_threads=None,
    prefix_cache=False,
    options={},
    env={},
)


DEVICES = {
    "cpu": {"name": "cpu", "kind": "cpu"},
    "cuda": {"name": "a6000", "kind": "cuda", "uuids": ["GPU-0", "GPU-1"]},
    "npu": {"name": "atom", "kind": "npu", "ids": [2]},
    "remote": {"name": "far", "kind": "remote"},
}


def base(engine: Engine, runtime: str, kind: str) -> ServerSpec:
    spec = replace(SPEC, engine=engine.name, runtime=runtime, device=DEVICES[kind])
    if runtime == "docker":
        fallback = "named/image:1" if kind == "npu" or not engine.images else None  # some engines have no image
        spec = replace(spec, image=engine.images.get(kind, fallback), version="")
    spec = replace(spec, weights=engine.unquantized_type(spec))
    return replace(spec, command=("/opt/server",)) if runtime == "command" else spec
