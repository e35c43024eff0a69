"""What docs/engines.md says of adding an engine, followed to the letter in a clone: one engine file and its lock, nothing else."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from isolation import REPOSITORY, RESOURCES
from servegrid.plan.resolve import lock_file
from servegrid.util.identity import digest
from workflow.project import Project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # environments may have to be built first

ENGINE = '''"""A newcomer: llama-server under another name, with the flags of its own that this file gives it."""

from servegrid.engines.base import Engine, Launch, Metrics, ServerSpec, flags


class Newcomer(Engine):
    """As small as an engine can be."""

    name = "newcomer"
    title = "Newcomer"
    runtimes = ("venv",)
    program = "servers/llama_server.py"
    quantizations = {"none": "f32"}
    metrics = Metrics(running="llamacpp:requests_processing")

    def files(self, spec: ServerSpec) -> dict[str, str]:
        """The model as GGUF."""
        return {"model": f"{spec.model.folder}/f32.gguf"}

    def arguments(self, spec: ServerSpec, launch: Launch) -> list[str]:
        """The least that serves."""
        line = ["--model", str(launch.files["model"]), "--host", launch.host, "--port", str(launch.port)]
        line += ["--metrics", "--parallel", str(spec.concurrency), "--no-cache-prompt"]
        return [*line, "--ctx-size", str(spec.concurrency * spec.context_tokens), *flags(spec.options)]
'''
ADDED = {Path("workflow/scripts/servegrid/engines/newcomer.py"), Path("envs/newcomer.txt")}


def files(folder: Path) -> dict[Path, str]:
    """The project's files below the folder, by path, with their content."""
    parts = ("Snakefile", "workflow", "envs", "profiles")
    paths = [path for part in parts for path in [folder / part, *(folder / part).rglob("*")] if path.is_file()]
    kept = [path for path in paths if "__pycache__" not in path.parts]
    return {path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest() for path in kept}


@pytest.fixture
def clone(tmp_path: Path, engine_environments: Mapping[str, Path]) -> Project:
    """A clone of the project with the new engine; its lock file and environment are llama.cpp's."""
    (tmp_path / "clone").mkdir()
    grid = {"engine": ["newcomer"], "gpu": ["cpu"], "threads": [2], "speculation": ["none", 2]}
    changes = {"grid": grid, "report": {"baseline": {"engine": "newcomer"}}, "pathvars": {"resources": "resources"}}
    project = Project(tmp_path / "clone", changes)
    project.config["engines"] = {"newcomer": {"runtime": "venv"}}
    project.configure({})
    (project.folder / "workflow/scripts/servegrid/engines/newcomer.py").write_text(ENGINE)
    # a comment makes it another lock file than llama.cpp's, of the same packages
    lock = f"# The newcomer.\n{lock_file('llamacpp').read_text()}"
    (project.folder / "envs/newcomer.txt").write_text(lock)
    version = f"lock {hashlib.sha256(lock.encode()).hexdigest()[:12]}"
    environment = project.folder / "resources/envs" / f"newcomer-{digest(version, 8)}"
    environment.parent.mkdir(parents=True)
    environment.symlink_to(engine_environments["llamacpp"].parents[1])
    for part in ("models", "calibration"):
        (RESOURCES / part).mkdir(parents=True, exist_ok=True)
        (project.folder / "resources" / part).symlink_to(RESOURCES / part)
    return project


def test_one_file_and_a_lock_are_an_engine(clone: Project) -> None:
    before, after = files(REPOSITORY), files(clone.folder)
    assert set(after) - set(before) == ADDED
    assert {path for path, content in before.items() if after.get(path) != content} == set()

    plan = clone.run("plan", "--config", "commands=true")
    [environment] = (clone.folder / "resources/envs").iterdir()
    assert f"{environment.name}/bin/python" in plan and "servers/llama_server.py --model" in plan
    assert "Newcomer has no speculative decoding" in plan

    clone.measure()
    points = clone.points().set_index("speculation")
    measured, skipped = points.loc["none"], points.loc["2"]
    assert (measured["engine"], measured["status"], measured["requests_ok"]) == ("newcomer", "ok", 4)
    assert measured["output_tokens"] == 4 * 8 and measured["tokens_from"] == "usage"
    assert (skipped["status"], skipped["reason"]) == ("unsupported", "Newcomer has no speculative decoding")
    [record] = (clone.folder / "results").glob("sessions/newcomer-*/rep1/session.json")
    assert environment.name in json.loads(record.read_text())["launches"][0]["command"][0]


def test_a_name_that_no_file_defines_is_refused(clone: Project) -> None:
    (clone.folder / "workflow/scripts/servegrid/engines/newcomer.py").unlink()
    message = clone.run("plan", status=1)
    assert "newcomer" in message and "llamacpp" in message and "ctranslate2" in message
