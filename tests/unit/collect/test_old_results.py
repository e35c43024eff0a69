"""Results of version 0.1, before packages were stages: a small real sweep whose records nothing may make worthless."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from helpers.old_sweep import LATER, OLD, copy_under_ids_of_today
from isolation import REPOSITORY
from servegrid.collect.tables import collect
from servegrid.config import parse_config
from servegrid.plan.grid import Grid
from servegrid.plan.resolve import resolve
from servegrid.records.read import Damaged
from servegrid.sweep import Sweep


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    """Its config, with its results in a folder of their own."""
    copy_under_ids_of_today(tmp_path / "results")
    raw = json.loads((OLD / "config.json").read_text())
    return raw | {"pathvars": {"results": str(tmp_path / "results"), "resources": str(tmp_path / "resources")}}


def test_loads_at_a_url_that_may_have_been_warm_are_measured_again(config: dict[str, Any]) -> None:
    sweep = Sweep(config | {"pathvars": {"results": str(OLD)}}, REPOSITORY)
    assert [{load.id for load in session.loads} for session in sweep.pending_sessions] == [{*LATER.values()}] * 4


def test_nothing_is_measured_again(config: dict[str, Any]) -> None:
    sweep = Sweep(config, REPOSITORY)
    assert len(sweep.grid.sessions) == 4 and sweep.pending_sessions == []


def test_a_level_more_measures_that_alone(config: dict[str, Any]) -> None:
    sweep = Sweep(config | {"grid": config["grid"] | {"threads": [1, 2, 3]}}, REPOSITORY)
    assert len(sweep.pending_sessions) == 4
    folders = {path.parent for path in (OLD / "sessions").glob("*/rep*/session.json")}
    assert {str(folder.relative_to(OLD / "sessions")) for folder in folders} == {
        session.id for session in sweep.pending_sessions
    }


def test_the_table_is_the_same_but_for_columns_that_were_added(config: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    files = {"csv": "points.csv", "parquet": "a.parquet", "sessions": "b.parquet", "distributions": "c.parquet"}
    out = [part for name, file in files.items() for part in (f"--{name}", tmp_path / file)]
    marks = ["--token", "0", "--token-file", tmp_path / "token"]
    program = [sys.executable, REPOSITORY / "workflow" / "scripts" / "collect.py"]
    subprocess.run([*program, "--config", tmp_path / "config.json", *out, *marks], check=True)
    paths = (OLD / "points.csv", tmp_path / "points.csv")
    old, new = (pd.read_csv(path, dtype=str, keep_default_na=False) for path in paths)
    pd.testing.assert_frame_equal(old.replace({"load_id": LATER}), new[list(old)])


DAMAGE = [
    ("loads/threads-2-bd8ea83bdd/requests.parquet", "partial", "session 2: requests.parquet cannot be read"),
    ("loads/threads-2-bd8ea83bdd/load.json", "partial", "session 2: load.json cannot be read"),
    ("session.json", "partial", "session 2: session.json cannot be read"),
    ("server_metrics.parquet", "ok", ""),
]


@pytest.mark.parametrize(("name", "status", "reason"), DAMAGE)
def test_a_damaged_record_costs_its_session_and_is_said(
    config: dict[str, Any], tmp_path: Path, name: str, status: str, reason: str
) -> None:
    parsed = parse_config(config)
    grid = Grid(parsed, resolve(parsed))
    [server] = {point.server.id for point in grid.points if point.server.name == "real" and not point.skip}
    path = tmp_path / "results" / "sessions" / server / "rep2" / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    points = collect(grid, tmp_path / "results").points
    row = points[(points["server_id"] == server) & (points["threads"] == 2)].iloc[0]
    assert row["status"] == status and str(row["reason"] if status != "ok" else "").startswith(reason)
    assert row["sessions"] == (2 if status == "ok" else 1) and row["output_tokens_per_s"] > 0
    assert (row["warnings"] == "samples damaged") == (status == "ok")
    others = points[points["server_id"] != server]
    assert set(others["status"]) == {"ok", "unsupported"}


def test_a_damaged_session_record_is_named_before_anything_starts(config: dict[str, Any], tmp_path: Path) -> None:
    [path, *_] = sorted((tmp_path / "results" / "sessions").glob("*/rep1/session.json"))
    path.write_text("{")
    with pytest.raises(Damaged, match=rf"{path.parent}: session.json cannot be read .*; restore it, or move"):
        _ = Sweep(config, REPOSITORY).pending_sessions
