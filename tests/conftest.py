"""The engines' own environments, built once by the workflow itself; and what runs beside what."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from ground import REPOSITORY, RESOURCES, stand_apart
from servegrid.sweep import Sweep

SWEEPS = ("tests/engines/test_cpu_engines.py", "tests/faults/", "tests/workflow/")
"""Tests that share built resources and take longest: one worker runs them, from the start, while others run the rest."""


def pytest_configure() -> None:
    """A worker of several gets temporary files of its own."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        stand_apart()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The sweeps first, since they take longest."""
    items.sort(key=lambda item: _scope(item.nodeid) != "sweeps")


class Apart(LoadScopeScheduling):
    """For `pytest -n 2`: one worker runs the sweeps, one after another; every other file is run by whoever is free."""

    def _split_scope(self, nodeid: str) -> str:
        return _scope(nodeid)


def _scope(nodeid: str) -> str:
    file = nodeid.partition("::")[0]
    return "sweeps" if file.startswith(SWEEPS) else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """xdist's own way to take groups, by marks, does not work with this pytest."""
    return Apart(config, log)


@pytest.fixture(scope="session")
def engine_environments() -> dict[str, Path]:
    """Python of each engine's environment, by engine; also in SERVEGRID_<ENGINE>_PYTHON for tests that look there."""
    config = yaml.safe_load((REPOSITORY / "config" / "config.yaml").read_text())
    marks = Sweep(config | {"pathvars": {"resources": str(RESOURCES)}}, REPOSITORY).environment_marks
    snakemake = [sys.executable, "-m", "snakemake", *marks.values(), "--config", f"pathvars={{resources: {RESOURCES}}}"]
    subprocess.run(snakemake, cwd=REPOSITORY, check=True, capture_output=True, timeout=900)
    pythons = {engine: Path(mark).parent / "bin" / "python" for engine, mark in marks.items()}
    os.environ.update({f"SERVEGRID_{engine.upper()}_PYTHON": str(python) for engine, python in pythons.items()})
    return pythons
