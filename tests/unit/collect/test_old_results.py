"""Results of version 0.1, before packages were stages: a small real sweep whose records nothing may make worthless."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from isolation import REPOSITORY, TESTS
from servegrid.sweep import Sweep

OLD = TESTS / "data" / "sweep-0.1"


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    """Its config, with its results in a folder of their own."""
    shutil.copytree(OLD, tmp_path / "results")
    raw = json.loads((OLD / "config.json").read_text())
    return raw | {"pathvars": {"results": str(tmp_path / "results"), "resources": str(tmp_path / "resources")}}


def test_nothing_is_measured_again(config: dict[str, Any]) -> None:
    sweep = Sweep(config, REPOSITORY)
    assert len(sweep.grid.sessions) == 4 and sweep.todo == []


def test_a_level_more_measures_that_alone(config: dict[str, Any]) -> None:
    sweep = Sweep(config | {"grid": config["grid"] | {"threads": [1, 2, 3]}}, REPOSITORY)
    assert len(sweep.todo) == 4
    folders = {path.parent for path in (OLD / "sessions").glob("*/rep*/session.json")}
    assert {str(folder.relative_to(OLD / "sessions")) for folder in folders} == {session.id for session in sweep.todo}


def test_the_table_is_the_same_but_for_columns_that_were_added(config: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    files = {"csv": "points.csv", "parquet": "a.parquet", "sessions": "b.parquet", "distributions": "c.parquet"}
    out = [part for name, file in files.items() for part in (f"--{name}", tmp_path / file)]
    marks = ["--token", "0", "--token-file", tmp_path / "token"]
    program = [sys.executable, REPOSITORY / "workflow" / "scripts" / "collect.py"]
    subprocess.run([*program, "--config", tmp_path / "config.json", *out, *marks], check=True)
    paths = (OLD / "points.csv", tmp_path / "points.csv")
    old, new = (pd.read_csv(path, dtype=str, keep_default_na=False) for path in paths)
    pd.testing.assert_frame_equal(old, new[list(old)])
