"""Command lines of every engine against golden files (rewrite them with UPDATE_GOLDEN=1 and read the difference)."""

import os
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from servegrid import engines
from servegrid.commands import command_line
from servegrid.engines.base import ModelRef, ServerSpec
from servegrid.speculation import Speculation, parse_speculation

GOLDEN = Path(__file__).parents[1] / "data" / "commands"
MODEL = ModelRef("tiny", "r1", "models/tiny/checkpoint", "models/tiny")
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
CUDA = {"name": "a6000", "kind": "cuda"}


def variants(engine: str) -> dict[str, ServerSpec]:
    base = replace(SPEC, engine=engine)
    kinds = [Speculation(), Speculation("ngram", 2), Speculation("ngram", 8), Speculation("draft", 4)]
    named = {
        f"{speculation} {quantization}": replace(base, speculation=speculation, quantization=quantization)
        for speculation in kinds
        for quantization in engines.get(engine).quantizations
    }
    command = replace(base, runtime="command", command=("llama-server",), device=CUDA)
    return named | {
        "8 at once, 2048 tokens, 2 CPU threads": replace(base, concurrency=8, context_tokens=2048, cpu_threads=2),
        "prefix cache": replace(base, prefix_cache=True),
        "options": replace(base, options={"batch-size": 64, "flag": None}),
        "the user's command on a GPU": command,
    }


def lines(engine: str) -> str:
    rows = []
    for name, spec in variants(engine).items():
        reason = engines.get(engine).unsupported(spec)
        line = f"unsupported: {reason}" if reason else shlex.join(command_line(spec, Path("resources"), 8080))
        rows.append(f"# {name}\n{line.replace(str(Path(__file__).parents[2]) + '/', '')}\n")
    return "\n".join(rows)


@pytest.mark.parametrize("engine", engines.names())
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


@pytest.mark.parametrize("value", ["ngram", "ngram:", "ngram:0", "-1", "medusa:2", "2.5", ""])
def test_what_is_no_speculation(value: str) -> None:
    with pytest.raises(ValueError, match="none, a whole number, or one of ngram:N"):
        parse_speculation(value, "ngram")
