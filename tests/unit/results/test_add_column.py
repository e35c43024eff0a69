"""A metric more is a row of the table of columns and the function that computes it; nothing else is touched."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from helpers.old_sweep import copy_under_ids_of_today
from isolation import REPOSITORY

PACKAGE = "workflow/scripts/servegrid"
BEFORE = '    Column(\n        "steady_s",'
ROW = """    Column(
        "prompt_tokens_per_s",
        "prompt tokens/s",
        "Prompt tokens of ok requests per second of the time to complete.",
        better="higher",
        per_session=True,
    ),
"""
RATE = '            "output_tokens_per_s": request_metrics.per_second(output, seconds),\n'
COMPUTED = '            "prompt_tokens_per_s": request_metrics.per_second(prompt, seconds),\n'
EDITS = {f"{PACKAGE}/results/columns.py": (BEFORE, ROW), f"{PACKAGE}/collect/measured_load.py": (RATE, COMPUTED)}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The code with the new column, beside a small finished sweep."""
    ignore = shutil.ignore_patterns("__pycache__")
    for part in ("workflow", "config", "envs"):
        shutil.copytree(REPOSITORY / part, tmp_path / part, ignore=ignore)
    for name, (place, text) in EDITS.items():
        code = (tmp_path / name).read_text()
        assert code.count(place) == 1
        (tmp_path / name).write_text(code.replace(place, text + place))
    copy_under_ids_of_today(tmp_path / "results")
    config = json.loads((tmp_path / "results" / "config.json").read_text())
    claim = {"says": "more", "metric": "prompt_tokens_per_s", "better": {"threads": 2}, "than": {"threads": 1}}
    (tmp_path / "config.json").write_text(json.dumps(config | {"claims": [claim]}))
    return tmp_path


def run(clone: Path, script: str, *arguments: str) -> str:
    command = [sys.executable, f"workflow/scripts/{script}.py", *arguments]
    return subprocess.run(command, cwd=clone, check=True, capture_output=True, text=True).stdout


def test_it_goes_through_to_tables_claims_and_comparisons(clone: Path) -> None:
    files = {"csv": "points.csv", "parquet": "points.parquet", "sessions": "sessions.parquet"}
    files |= {"distributions": "distributions.parquet"}
    out = [part for name, file in files.items() for part in (f"--{name}", f"results/{file}")]
    run(clone, "collect", "--config", "config.json", *out, "--token", "1", "--token-file", "token")
    points = pd.read_csv(clone / "results" / "points.csv")
    measured = points[points["status"] == "ok"]
    rate = measured["prompt_tokens"] / measured["time_s"]
    assert measured["prompt_tokens_per_s"].to_numpy() == pytest.approx(rate.to_numpy(), rel=0.1)
    assert "prompt_tokens_per_s" in pd.read_parquet(clone / "results" / "sessions.parquet")

    inputs = ["--points", "results/points.parquet", "--config", "config.json", "--out", "out"]
    run(clone, "tables", *inputs)
    run(clone, "claims", *inputs, "--sessions", "results/sessions.parquet")
    assert "prompt tokens/s" in (clone / "out" / "comparison.csv").read_text().splitlines()[0]
    [verdict] = json.loads((clone / "out" / "claims.json").read_text())
    assert verdict["claim"]["metric"] == "prompt_tokens_per_s" and verdict["deciding"]
    said = run(clone, "compare", "results", "results", "--metrics", "prompt_tokens_per_s")
    assert "looked at: prompt_tokens_per_s" in said and "at no point that can be compared" not in said


def test_it_stands_in_the_reference(clone: Path) -> None:
    shutil.copytree(REPOSITORY / "docs", clone / "docs")
    run(clone, "reference")
    assert "Prompt tokens of ok requests per second" in (clone / "docs" / "results.md").read_text()
