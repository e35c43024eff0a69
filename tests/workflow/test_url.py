"""Servers that run already: measured at their URL, neither launched nor stopped."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from isolation import REPOSITORY, RESOURCES
from servegrid.host.ports import free_port
from servegrid.launch.remote import RemoteServer
from workflow.project import Project

Make = Callable[..., Project]
KEY = "a-key-nobody-else-has"


@contextmanager
def running(engine_environments: Mapping[str, Path]) -> Iterator[str]:
    """A real llama-server with an API key, started by somebody else."""
    model = next((RESOURCES / "models").glob("*/f32.gguf"))
    program = REPOSITORY / "workflow" / "scripts" / "servers" / "llama_server.py"
    url = f"http://127.0.0.1:{(port := free_port())}"
    arguments = ["--model", str(model), "--host", "127.0.0.1", "--port", str(port), "--metrics", "--api-key", KEY]
    python = engine_environments["llamacpp"]
    env = os.environ | {"OMP_WAIT_POLICY": "PASSIVE"}
    with subprocess.Popen(
        [python, program, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env
    ) as server:
        try:
            RemoteServer(url, {}).wait_ready(url + "/health", 60)
            yield url
            assert server.poll() is None, "the sweep has left it running"
        finally:
            server.kill()


def test_a_server_at_a_url(
    project: Make, engine_environments: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = project()
    clone.run("--until", "gguf")
    monkeypatch.setenv("FAR_KEY", KEY)
    with running(engine_environments) as url:
        far = {"runtime": "url", "url": url, "api_key_env": "FAR_KEY"}
        engines = {"llamacpp": far, "hosted": far | {"engine": "openai", "url": f"{url}/v1"}}
        grid = {"engine": ["llamacpp", "hosted"], "gpu": ["far"], "threads": [2], "speculation": ["none", 2]}
        clone.config["engines"] = engines
        clone.configure({"devices": {"far": {"kind": "remote"}}, "grid": grid})
        doctor = clone.run("doctor")
        assert f"engine hosted: answers at {url}/v1" in doctor and "device far: elsewhere" in doctor
        assert f"runs already at {url}" in clone.run("plan", "--config", "commands=true")
        clone.run()
    points = clone.points().set_index(["engine", "speculation"])
    for engine in ("llamacpp", "hosted"):
        row = points.loc[(engine, "none")]
        assert (row["status"], row["runtime"], row["tokens_from"]) == ("ok", "url", "usage")
        # it caches: of a salt of 16 tokens and 12 of its own a prompt has no more than the salt in common with others
        assert row["cache_policy"] == "cold (salt)" and row["prefix_cache_hit_rate"] <= 16 / (16 + 12)
        assert points.loc[(engine, "2"), "status"] == "unsupported"
    unknown = ("startup_s", "server_cpu_percent_mean", "host", "gpu_name")
    assert points.loc[:, unknown].isna().all().all()
    records = (clone.folder / "results").rglob("*.json")
    assert not any(KEY in path.read_text() for path in records)
    session = json.loads(next((clone.folder / "results").glob("sessions/hosted-*/rep1/session.json")).read_text())
    assert session["launches"][0]["command"] is None and session["launches"][0]["url"]


def test_nobody_at_the_url(project: Make) -> None:
    far = {"runtime": "url", "url": f"http://127.0.0.1:{free_port()}", "engine": "openai"}
    changes = {"devices": {"far": {"kind": "remote"}}, "server": {"start_timeout_s": 1.0}}
    clone = project({**changes, "engines": {"far": far}, "grid": {"engine": ["far"], "gpu": ["far"], "threads": [1]}})
    assert "1 points failed: http://127.0.0.1" in clone.run(status=1)
    assert "MISS  engine far:" in clone.run("doctor", status=1)
