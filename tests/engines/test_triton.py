"""Sweeps over a genuine tritonserver (nvidia-pytriton's), whose model has the vLLM backend's inputs and outputs and llama.cpp's tokens."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from workflow.project import REPOSITORY, Project

PROMPTS, TOKENS = 4, 24
SERVER = REPOSITORY / "tests" / "servers_fake" / "triton" / "tritonserver.py"
LOAD = [sys.executable, str(REPOSITORY / "workflow" / "scripts" / "load.py")]
ENGINES = ("triton-grpc", "triton-http", "triton-empty-end")


def environment() -> Path:
    """Python of the environment of envs/triton.txt; built if it is not there."""
    lock = REPOSITORY / "envs" / "triton.txt"
    folder = REPOSITORY / "resources" / "envs" / f"triton-{hashlib.sha256(lock.read_bytes()).hexdigest()[:8]}"
    if not (folder / "ready").exists():
        build = [sys.executable, REPOSITORY / "workflow" / "scripts" / "build_environment.py"]
        subprocess.run([*build, "--lock", lock, "--out", folder], check=True, timeout=600)
        (folder / "ready").touch()
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    sizes = {"count": PROMPTS, "input_tokens": 40, "input_tokens_max": 80, "output_tokens": TOKENS}
    clone = Project(tmp_path_factory.mktemp("triton"), {"prompts": sizes, "grid": {"threads": [2]}})
    clone.measure()  # llama.cpp first: its model file is what the stand-in backend reads
    command = [str(environment()), str(SERVER)]
    triton: dict[str, Any] = {"engine": "triton-vllm", "runtime": "command", "command": command}
    engines = {
        "triton-grpc": triton,
        "triton-http": triton | {"protocol": "triton-generate"},
        "triton-empty-end": triton | {"command": [*command, "--endings", "empty"]},
    }
    clone.configure({"engines": engines, "grid": {"engine": ["llamacpp", *engines]}})
    clone.measure()
    yield clone


def session(clone: Project, engine: str) -> Path:
    [path] = clone.folder.glob(f"results/sessions/{engine}-cpu-*/rep1")
    return path


def table(clone: Project, engine: str, name: str) -> pd.DataFrame:
    [path] = session(clone, engine).glob(f"loads/*/{name}.parquet")
    return pd.read_parquet(path).set_index("prompt_id").sort_index()


@pytest.mark.parametrize("engine", ENGINES)
def test_every_token_is_counted(swept: Project, engine: str) -> None:
    found, plain = table(swept, engine, "requests"), table(swept, "llamacpp", "requests")
    assert list(found["status"]) == ["ok"] * PROMPTS, list(found["error"])
    assert list(found["output_tokens"]) == [TOKENS] * PROMPTS
    assert set(found["tokens_from"]) == {"usage"} and set(found["finish_reason"]) == {"length"}
    assert list(found["prompt_tokens"]) == list(plain["prompt_tokens"])
    assert [list(tokens) for tokens in found["chunk_tokens"]] == [list(range(1, TOKENS + 1))] * PROMPTS


@pytest.mark.parametrize("engine", ENGINES)
def test_texts_are_those_of_llamacpp(swept: Project, engine: str) -> None:
    assert dict(table(swept, engine, "texts")["text"]) == dict(table(swept, "llamacpp", "texts")["text"])


@pytest.mark.parametrize("engine", ENGINES)
def test_version_and_metrics(swept: Project, engine: str) -> None:
    record = json.loads((session(swept, engine) / "session.json").read_text())
    assert record["launches"][0]["reported"]["version"] == "2.51.0"
    series = pd.read_parquet(session(swept, engine) / "server_metrics.parquet")
    counted = series[series["name"] == "vllm:generation_tokens_total"]["value"]
    assert counted.max() >= PROMPTS * TOKENS


def test_a_client_that_speaks_http_alone_is_unsupported(swept: Project) -> None:
    swept.configure({"load": {"client": "requests"}})
    plan = swept.run("plan")
    assert "client requests speaks HTTP alone; a protocol over gRPC needs client stream" in plan
