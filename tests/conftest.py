"""The engines' own environments, built once by the workflow itself."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from servegrid.sweep import Sweep

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def engine_environments() -> dict[str, Path]:
    """Python of each engine's environment, by engine; also in SERVEGRID_<ENGINE>_PYTHON for tests that look there."""
    config = yaml.safe_load((REPOSITORY / "config" / "config.yaml").read_text())
    marks = Sweep(config, REPOSITORY).environment_marks
    snakemake = [sys.executable, "-m", "snakemake", *marks.values()]
    subprocess.run(snakemake, cwd=REPOSITORY, check=True, capture_output=True, timeout=900)
    pythons = {engine: REPOSITORY / Path(mark).parent / "bin" / "python" for engine, mark in marks.items()}
    os.environ.update({f"SERVEGRID_{engine.upper()}_PYTHON": str(python) for engine, python in pythons.items()})
    return pythons
