"""Every ready config is accepted, expands, and its plan with all command lines is the golden one (UPDATE_GOLDEN=1 rewrites)."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from helpers.configs import merged
from isolation import REPOSITORY, TESTS
from servegrid.config import ConfigError, parse_config
from servegrid.consult.preview import plan_text
from servegrid.plan import resolve as resolve_module
from servegrid.plan.grid import Grid
from servegrid.plan.resolve import resolve

GOLDEN = TESTS / "data" / "configs"
READY = ("article", "speculation", "quantization", "multi-gpu", "npu", "cpu-engines", "two-versions")
REVISION = "0" * 40  # stands for the commit that the user sets


def raw(name: str) -> dict[str, Any]:
    """The default with what the ready config says on top, as Snakemake merges `--configfile`."""
    return merged(_yaml("config"), _yaml(name))


def _yaml(name: str) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((REPOSITORY / "config" / f"{name}.yaml").read_text())
    return read


@pytest.fixture
def every_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate a host that has all devices, balancers and clients; of lock files only the name counts."""
    for name in ("_absent_devices", "_absent_balancers", "_absent_clients"):
        monkeypatch.setattr(resolve_module, name, lambda _config: {})
    locks = resolve_module._lock_versions
    monkeypatch.setattr(resolve_module, "_lock_versions", lambda config: dict.fromkeys(locks(config), "a lock"))


def planned(name: str, folder: Path) -> str:
    config = raw(name)
    if name == "article":
        config["model"]["revision"] = REVISION
    config |= {"commands": True, "pathvars": {"results": str(folder / "results")}}
    grid = Grid(parsed := parse_config(config), resolve(parsed))
    assert not grid.shortages
    text = plan_text(grid)
    text = text.replace(f"{REPOSITORY}/", "").replace(f"{Path.cwd()}/", "")
    text = re.sub(r"(?m)^( *)(# )?\S*/(nginx|haproxy) ", r"\1\2\3 ", text)
    return re.sub(r"(worker_processes|nbthread) \d+", r"\1 N", text) + "\n"


@pytest.mark.usefixtures("every_device")
@pytest.mark.parametrize("name", READY)
def test_its_plan(name: str, tmp_path: Path) -> None:
    path, text = GOLDEN / f"{name}.txt", planned(name, tmp_path)
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.usefixtures("every_device")
def test_the_article_wants_a_revision() -> None:
    config = parse_config(raw("article"))
    with pytest.raises(ConfigError, match=r"model.source = 'lmsys/vicuna-7b-v1.5': a hub name needs model.revision"):
        resolve(config)


@pytest.mark.usefixtures("every_device")
def test_the_articles_rows() -> None:
    config = raw("article")
    config["model"]["revision"] = REVISION
    parsed = parse_config(config)
    grid = Grid(parsed, resolve(parsed))
    axes = ("gpu", "threads", "speculation", "memory_fraction", "sharing")
    assert sorted(tuple(map(str, (point.axes[axis] for axis in axes))) for point in grid.points) == sorted(
        [
            *(("a6000", threads, "none", "1", "1") for threads in ("24", "64", "128", "256")),
            *(("a6000", "128", length, "1", "1") for length in ("2", "8")),
            *((gpu, "128", "2", "1", "1") for gpu in ("rtx3090", "rtx4090")),
            *(("a6000", "128", "2", "0.5", sharing) for sharing in ("1", "2")),
        ]
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", READY)
def test_snakemake_takes_it(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "snakemake", "-n", "--quiet", "all", "--snakefile", str(REPOSITORY / "Snakefile")]
    command += ["--directory", str(tmp_path), "--configfile", str(REPOSITORY / "config" / f"{name}.yaml")]
    command += ["--config", f"model={{revision: '{REVISION}'}}"] if name == "article" else []
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=REPOSITORY, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
