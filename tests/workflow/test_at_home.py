"""servegrid as Snakemake's users know workflows: dry runs, modules, other folders, paths and texts of any kind."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from isolation import REPOSITORY
from servegrid.launch.docker.image_record import ImageRecord, record_path
from workflow.project import Project

Make = Callable[..., Project]
ODD = "büro {x} $y 'z' \"w\""
SECRET = "a-secret-nobody-else-has"
MOST_LINES = 100


def snakemake(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "snakemake", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


def state(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file but Snakemake's own: its date and inode."""
    paths = (path for path in folder.rglob("*") if ".snakemake" not in path.parts and "__pycache__" not in path.parts)
    return {
        str(path): (status.st_mtime_ns, status.st_ino)
        for path in paths
        if (status := path.lstat()) and not path.is_dir()
    }


def test_a_dry_run_changes_nothing_and_can_be_read(project: Make, tmp_path: Path) -> None:
    engine = {"engine": "llamacpp", "runtime": "docker", "image": "an/image:1"}
    clone = project({"engines": {"llamacpp": engine}, "pathvars": {"resources": str(tmp_path / "resources")}})
    ImageRecord("an/image:1", error="no such host").write(tmp_path / "resources" / record_path("an/image:1"))
    before = state(tmp_path)
    assert re.search(r"^image +1$", clone.run("-n"), re.MULTILINE)
    assert state(tmp_path) == before


def test_a_dry_run_of_the_default_sweep_can_be_read(tmp_path: Path) -> None:
    done = snakemake(tmp_path, "-n", "--snakefile", REPOSITORY / "Snakefile")
    lines = (done.stdout + done.stderr).splitlines()
    assert done.returncode == 0 and len(lines) <= MOST_LINES and any(line.startswith("measure ") for line in lines)


@pytest.mark.parametrize("snakefile", ["Snakefile", "workflow/Snakefile"])
def test_from_another_folder(tmp_path: Path, snakefile: str) -> None:
    (tmp_path / "my.yaml").write_text("repeats: 1\n")
    done = snakemake(tmp_path, "-n", "--cores", "1", "--snakefile", REPOSITORY / snakefile, "--configfile", "my.yaml")
    assert done.returncode == 0, done.stderr
    assert "measure " in done.stdout + done.stderr


@pytest.mark.parametrize("prefix", ["", " as served_*"])
def test_as_a_module_of_another_workflow(tmp_path: Path, prefix: str) -> None:
    (tmp_path / "config").mkdir()
    shutil.copy(REPOSITORY / "config" / "config.yaml", tmp_path / "config")
    (tmp_path / "Snakefile").write_text(f"""
configfile: "config/config.yaml"

module servegrid:
    snakefile: "{REPOSITORY / "workflow" / "Snakefile"}"
    config: config

use rule * from servegrid{prefix}

rule mine:
    default_target: True
    input: "reports/report.html"
""")
    done = snakemake(tmp_path, "-n", "--cores", "1")
    assert done.returncode == 0, done.stderr
    assert f"{prefix and 'served_'}measure " in done.stdout + done.stderr


def test_as_snakedeploy_deploys_it(tmp_path: Path) -> None:
    """From a local path it names the Snakefile as it lies in the repository; a deployment from a host names the repository, too."""
    clone, folder = tmp_path / "clone", tmp_path / "deployed"
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, check=True, capture_output=True, text=True)
    for name in filter(None, tracked.stdout.split("\0")):
        if (source := REPOSITORY / name).is_file() and not name.startswith("tests/"):
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, clone / name)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "a"]):
        subprocess.run([*git, *arguments], cwd=clone, check=True)
    deploy = [Path(sys.executable).with_name("snakedeploy"), "deploy-workflow", "--branch", "main"]
    subprocess.run([*deploy, "--name", "servegrid", clone, folder], check=True, capture_output=True)
    written = (folder / "workflow" / "Snakefile").read_text()
    assert '"workflow/Snakefile"' in written and "use rule * from servegrid" in written
    absolute = written.replace('"workflow/Snakefile"', f'"{clone / "workflow" / "Snakefile"}"')
    (folder / "workflow" / "Snakefile").write_text(absolute)
    done = snakemake(folder, "-n", "--cores", "1")
    assert done.returncode == 0, done.stderr
    assert "measure " in done.stdout + done.stderr


def test_what_the_workflow_catalog_looks_for_is_there() -> None:
    usage = yaml.safe_load((REPOSITORY / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert {"software-stack-deployment", "report"} <= usage.keys()
    assert (REPOSITORY / "workflow" / "Snakefile").is_file() and (REPOSITORY / "config" / "README.md").is_file()


def test_names_and_texts_of_any_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real sweep in a folder that shells, formats and patterns would each read otherwise, with a config full of the same."""
    monkeypatch.setenv("HF_TOKEN", SECRET)
    (tmp_path / ODD).mkdir()
    clone = Project(tmp_path / ODD)
    text = "{braces} of ${HF_TOKEN} 'quotes' \"and\" <more> %s 100 %"
    claim = {"says": text, "better": {"threads": 2}, "than": {"threads": 1}}
    clone.configure(
        {
            "engines": {"llamacpp": {"env": {"HF_TOKEN": "${HF_TOKEN}"}}},
            "report": {"title": text},
            "claims": [claim],
            "pathvars": {"results": "ré sults 'q' $HOME", "reports": str(tmp_path / "re ports")},
        }
    )
    assert "2 points" in clone.run("plan") and "engine llamacpp" in clone.run("doctor")
    clone.run()
    results, reports = clone.folder / "ré sults 'q' $HOME", tmp_path / "re ports"
    assert text in json.loads((reports / "claims.json").read_text())[0]["claim"]["says"]
    assert (results / "points.csv").is_file() and (reports / "report.html").is_file()
    assert "Nothing to be done" in clone.run("-n")
    kept = [path for path in [*clone.folder.rglob("*"), *reports.rglob("*")] if path.is_file()]
    assert not [path for path in kept if SECRET.encode() in path.read_bytes()]
    tables = [path for path in kept if path.suffix == ".parquet"]
    assert tables and not [path for path in tables if SECRET in str(pq.ParquetFile(path).read().to_pydict())]


def test_what_was_measured_belongs_to_the_workflow(project: Make) -> None:
    clone = project({"grid": {"threads": [1]}})
    clone.run()
    assert '"measure"' in clone.run("--rulegraph")
    assert "/measured/" in clone.run("--summary")
    [mark] = (clone.folder / "results").glob("sessions/*/rep1/measured/????????")
    assert '"rule": "measure"' in (clone.folder / "reports" / "snakemake.html").read_text()
    before = clone.loads()
    clone.run("--forcerun", "measure")
    assert clone.loads() == before and mark.exists(), "a session that is settled is not measured when it is run again"
    os.utime(clone.folder / "results" / "config.json")
    assert "Measure " not in clone.run()
