"""The engines' own environments, built once by the workflow itself; and the order of the tests."""

import os
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, settings

from isolation import REPOSITORY, RESOURCES, stand_apart
from servegrid.sweep import Sweep

# A busy machine makes examples slow; how long one takes is none of its properties.
settings.register_profile("servegrid", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("servegrid")

LONG = ("tests/engines/", "tests/workflow/", "tests/faults/", "tests/containers/")


def pytest_configure(config: pytest.Config) -> None:
    """A worker of several gets temporary files of its own, which go with it.

    What tests start hears SIGINT, also where the tests themselves were started deaf to it (in the background of a script).
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if "PYTEST_XDIST_WORKER" in os.environ:
        config.add_cleanup(partial(shutil.rmtree, stand_apart(), ignore_errors=True))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, so that two workers end together."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))


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
