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

from isolation import REPOSITORY, RESOURCES
from servegrid.launch.probe import get_text
from workflow.project import Project, until

PROMPTS, TOKENS = 4, 24
SERVER = REPOSITORY / "tests" / "standins" / "triton" / "tritonserver.py"
LOAD = [sys.executable, str(REPOSITORY / "workflow" / "scripts" / "load.py")]
ENGINES = ("triton-grpc", "triton-http", "triton-empty-end")


def environment() -> Path:
    """Python of the environment of envs/triton.txt; built if it is not there."""
    lock = REPOSITORY / "envs" / "triton.txt"
    folder = RESOURCES / "envs" / f"triton-{hashlib.sha256(lock.read_bytes()).hexdigest()[:8]}"
    if not (folder / "ready").exists():
        build = [sys.executable, REPOSITORY / "workflow" / "scripts" / "build_environment.py"]
        subprocess.run([*build, "--lock", lock, "--out", folder], check=True, timeout=600)
        (folder / "ready").touch()
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    sizes = {"count": PROMPTS, "input_tokens": 40, "input_tokens_max": 80, "output_tokens": TOKENS}
    # a device of its own name: no times are looked at here, so other sweeps on the CPU need not be waited for
    changes = {"prompts": sizes, "devices": {"apart": {"kind": "cpu"}}, "grid": {"threads": [2], "gpu": ["apart"]}}
    clone = Project(tmp_path_factory.mktemp("triton"), changes)
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
    [path] = clone.folder.glob(f"results/sessions/{engine}-apart-*/rep1")
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
    assert counted.is_monotonic_increasing and counted.max() > 0  # what came after the last sample is not in it


@pytest.fixture(scope="module")
def ports(swept: Project) -> Iterator[list[int]]:
    """Ports of the server of one session, started again by its recorded command."""
    launch = json.loads((session(swept, "triton-grpc") / "session.json").read_text())["launches"][0]
    with (swept.folder / "again.log").open("wb") as log:
        process = subprocess.Popen(launch["command"], stdout=log, stderr=log, start_new_session=True)
    try:
        until(
            lambda: (
                process.poll() is None
                and get_text(f"http://127.0.0.1:{launch['ports'][0]}/v2/health/ready", {})[0] == 200
            )
        )
        yield launch["ports"]
    finally:
        process.terminate()
        process.wait(60)


def load(folder: Path, port: int, protocol: str, *more: str) -> list[dict[str, Any]]:
    """The records of a load."""
    out = folder / "records.jsonl"
    where = ["--url", f"http://127.0.0.1:{port}", "--protocol", protocol, "--jsonl", str(out)]
    done = subprocess.run([*LOAD, *where, "--max-tokens", "8", *more], capture_output=True, text=True, timeout=300)
    assert done.returncode in (0, 1), done.stderr
    return [json.loads(line) for line in out.read_text().splitlines()]


@pytest.mark.parametrize("more", [["--threads", "3"], ["--rate", "10"], ["--threads", "4", "--workers", "2"]])
@pytest.mark.parametrize(("protocol", "port"), [("triton-grpc", 1), ("triton-generate", 0)])
def test_shapes_of_load(tmp_path: Path, ports: list[int], protocol: str, port: int, more: list[str]) -> None:
    found = load(tmp_path, ports[port], protocol, "--requests", "6", *more)
    assert [(each["status"], each["tokens"]) for each in found] == [("ok", 8)] * 6
    assert all((each["planned"] is not None) == ("--rate" in more) and len(each["itl"]) == 7 for each in found)


@pytest.mark.parametrize(("protocol", "port", "http"), [("triton-grpc", 1, None), ("triton-generate", 0, 400)])
def test_errors(tmp_path: Path, ports: list[int], protocol: str, port: int, http: int | None) -> None:
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text(json.dumps({"id": "long", "prompt": "The " * 900}))
    [long] = load(tmp_path, ports[port], protocol, "--prompts", str(prompts))
    assert (long["status"], long["http_status"]) == ("error", http)
    assert "Error generating stream: request (" in long["error"] and "data:" not in long["error"]
    [odd, _] = load(tmp_path, ports[port], protocol, "--requests", "2", "--extra", '{"lookahead": 3}')
    assert odd["status"] == "error" and "'NoneType' object has no attribute 'lora_name'" in odd["error"]


def test_counts_can_be_left_out(tmp_path: Path, ports: list[int]) -> None:
    """Backends of before October 2024 know nothing of them."""
    without = json.dumps(dict.fromkeys(("return_finish_reason", "return_num_input_tokens", "return_num_output_tokens")))
    for protocol, port in (("triton-grpc", 1), ("triton-generate", 0)):
        [found] = load(tmp_path, ports[port], protocol, "--requests", "1", "--extra", without)
        assert (found["status"], found["tokens"], found["finish_reason"]) == ("ok", None, None)


def test_limits_of_time_over_grpc(tmp_path: Path, ports: list[int]) -> None:
    [late] = load(tmp_path, ports[1], "triton-grpc", "--requests", "1", "--timeout", "0.001")
    assert (late["status"], late["error"]) == ("timeout", "no end of the answer within 0.001 s")
    [silent] = load(tmp_path, ports[1], "triton-grpc", "--requests", "1", "--first-byte-timeout", "0.001")
    assert (silent["status"], silent["error"]) == ("timeout", "nothing came for 0.001 s")
    cut = load(tmp_path, ports[1], "triton-grpc", "--max-tokens", "400", "--threads", "2", "--time-limit", "0.3")
    assert cut and {each["status"] for each in cut} == {"timeout"}


def test_what_speaks_no_grpc(tmp_path: Path, ports: list[int]) -> None:
    [found] = load(tmp_path, ports[0], "triton-grpc", "--requests", "1")
    assert found["status"] in ("disconnected", "error") and found["error"]


def test_a_client_that_speaks_http_alone_is_unsupported(swept: Project) -> None:
    swept.configure({"load": {"client": "requests"}})
    plan = swept.run("plan")
    assert "client requests speaks HTTP alone; a protocol over gRPC needs client stream" in plan
