"""Whole sweeps with the genuine llama-server in real containers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from boxes import engine, of

from faults.test_interrupted import interrupt, kill_job, kill_tree
from workflow.project import Project, until

Make = Callable[..., Project]


def record(clone: Project, name: str) -> dict[str, Any]:
    path = next((clone.folder / "results" / "sessions").glob(f"{name}-*/rep1/session.json"))
    found: dict[str, Any] = json.loads(path.read_text())
    return found


@pytest.fixture
def own(project: Make, tmp_path: Path) -> Make:
    """Makes clones that keep records of images to themselves, and share all else."""

    def make(changes: dict[str, Any]) -> Project:
        clone = project()
        shared, resources = Path(clone.config["pathvars"]["resources"]), tmp_path / "resources"
        clone.run("--until", "engine_environment", "gguf", "prompts", "calibrate")
        resources.mkdir()
        for part in ("calibration", "envs", "models", "prompts"):
            (resources / part).symlink_to(shared / part)
        clone.configure({"pathvars": {"resources": str(resources)}})
        clone.configure(changes)
        return clone

    return make


def test_a_container_serves_as_the_environment_does(own: Make, daemon: Any, image: str) -> None:
    clone = own({"engines": {"boxed": engine(image)}, "grid": {"engine": ["llamacpp", "boxed"], "threads": [1]}})
    assert "docker: version" in clone.run("doctor")
    clone.measure()
    points = clone.points().set_index("engine")
    assert set(points["status"]) == {"ok"} and points.loc["boxed", "agreement"] == 1.0
    boxed = points.loc["boxed"]
    assert boxed["runtime"] == "docker" and boxed["image_digest"] == daemon.images.get(image).id
    assert boxed["server_memory_gib_max"] > 0.05, "telemetry sees the processes in the container"
    session = record(clone, "boxed")
    assert session["launches"][0]["image"]["reference"] == image
    assert session["launches"][0]["command"][:2] == ["docker", "run"]
    log = next((clone.folder / "results" / "sessions").glob("boxed-*/rep1/server.log"))
    assert log.read_text().startswith("llama_server: llama.cpp")
    assert not of(daemon, clone.folder)


def test_killed_under_load(own: Make, daemon: Any, image: str) -> None:
    changes = {"prompts": {"count": 12, "output_tokens": 64}, "grid": {"engine": ["boxed"]}}
    clone = own({"engines": {"boxed": engine(image)}, **changes})
    with clone.running("results/points.csv") as process:
        log = clone.folder / "run.log"
        until(lambda: "threads 1: " in log.read_text())
        of(daemon, clone.folder)[0].kill()
        process.wait(timeout=200)
    points = clone.points().set_index("threads")
    assert points.loc[1, "status"] == "failed"
    assert "died under this load: killed by signal 9" in points.loc[1, "reason"]
    assert points.loc[2, "status"] == "ok", "the next load had a server of its own"


def test_out_of_memory_is_named(own: Make, image: str) -> None:
    boxed = engine(image, memory_limit="48m")
    clone = own({"engines": {"boxed": boxed}, "grid": {"engine": ["boxed"], "threads": [1]}})
    clone.measure()
    assert "out of memory" in clone.points().loc[0, "reason"]
    assert "engines.<name>.memory_limit = 48m" in clone.points().loc[0, "reason"]
    assert record(clone, "boxed")["launches"][0]["kind"] == "out-of-memory"


def test_an_image_that_cannot_be_had_is_a_row_until_it_can(own: Make, daemon: Any, image: str) -> None:
    missing = "127.0.0.1:1/servegrid-test/missing:1"  # nobody listens there
    clone = own({"engines": {"boxed": engine(missing)}, "grid": {"engine": ["boxed", "llamacpp"], "threads": [1]}})
    clone.measure()
    points = clone.points().set_index("engine")
    assert points.loc["llamacpp", "status"] == "ok"
    assert points.loc["boxed", "status"] == "failed"
    assert f"no image {missing}: cannot be pulled" in points.loc["boxed", "reason"]
    assert record(clone, "boxed")["launches"][0]["kind"] == "image"
    assert "Look up the container image" not in clone.measure()

    daemon.images.get(image).tag(missing)
    try:
        clone.measure("--config", "retry=[failed]")
        assert set(clone.points()["status"]) == {"ok"}
    finally:
        daemon.images.remove(missing)


@pytest.mark.parametrize("blow", [interrupt, kill_job, kill_tree])
def test_interrupted_then_the_same_command_again(own: Make, daemon: Any, image: str, blow: Callable[..., None]) -> None:
    changes = {"prompts": {"count": 12, "output_tokens": 32}, "grid": {"engine": ["boxed"], "threads": [1, 2]}}
    clone = own({"engines": {"boxed": engine(image)}, **changes})
    with clone.running("results/points.csv") as process:
        until(lambda: clone.loads())
        left = of(daemon, clone.folder)
        assert len(left) == 1
        blow(process)
        if blow is not kill_tree:  # which leaves nobody who could clear away
            until(lambda: not of(daemon, clone.folder), limit_s=60)
        process.wait(timeout=60)
    kept = clone.loads()
    clone.measure()
    after = clone.loads()
    assert len(after) == 2 and {load: after[load] for load in kept} == kept
    assert not of(daemon, clone.folder), "the next run swept what the killed one had left"
    assert set(clone.points()["status"]) == {"ok"}
