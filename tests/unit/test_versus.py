"""Two runs held against each other: planted changes are found, noise is not, and the exit status is a gate."""

import json
import random
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import compare as command
from servegrid.versus import NotComparable, changes, read_run

AXES = {"engine": "llamacpp", "gpu": "cpu", "speculation": "none", "quantization": "none"}


def run(folder: Path, seed: int, factor: dict[int, float] | None = None, sessions: int = 4, **changed: Any) -> Path:
    """Results of 4 points with 1 % noise; `factor` makes the times at a thread level longer."""
    chance, rows, points = random.Random(seed), [], []
    for threads in (1, 4, 16, 64):
        axes = {"engine": "llamacpp", "gpu": "cpu", "threads": threads} | {k: AXES[k] for k in list(AXES)[2:]} | changed
        for rep in range(1, sessions + 1):
            time_s = 10 / threads**0.5 * (factor or {}).get(threads, 1) * chance.gauss(1, 0.01)
            rows.append(axes | {"rep": rep, "status": "ok", "time_s": time_s, "output_tokens_per_s": 1000 / time_s})
        points.append(axes | {"status": "ok", "reason": None})
    folder.mkdir()
    pd.DataFrame(rows).to_parquet(folder / "sessions.parquet")
    pd.DataFrame(points).to_parquet(folder / "points.parquet")
    return folder


def verdicts(before: Path, after: Path, worse_by: float = 0.0) -> dict[tuple[str, str], str]:
    found = changes(read_run(before), read_run(after), worse_by=worse_by)
    return {(change.axes["threads"], change.metric): change.verdict for change in found}


def test_finds_what_was_planted_and_nothing_else(tmp_path: Path) -> None:
    found = verdicts(run(tmp_path / "a", 1), run(tmp_path / "b", 2, {4: 1.1, 16: 0.9}))
    assert found["4", "time_s"] == found["4", "output_tokens_per_s"] == "worse"
    assert found["16", "time_s"] == found["16", "output_tokens_per_s"] == "better"
    assert {found[n, metric] for n in ("1", "64") for metric in ("time_s", "output_tokens_per_s")} == {
        "no difference shown"
    }


def test_noise_alone_is_no_change_in_nearly_all_runs(tmp_path: Path) -> None:
    alarms = 0
    for seed in range(30):
        found = verdicts(run(tmp_path / f"a{seed}", seed), run(tmp_path / f"b{seed}", 1000 + seed))
        alarms += any(verdict != "no difference shown" for verdict in found.values())
    assert alarms <= 6  # 5 % of 30 are 1.5; 7 or more have a chance below 0.1 %


def test_what_is_let_pass_is_no_regression(tmp_path: Path) -> None:
    before, after = run(tmp_path / "a", 1), run(tmp_path / "b", 2, {4: 1.1})
    assert verdicts(before, after, worse_by=0.2)["4", "time_s"] == "no difference shown"


def test_one_session_has_no_doubt_and_no_verdict(tmp_path: Path) -> None:
    found = verdicts(run(tmp_path / "a", 1, sessions=1), run(tmp_path / "b", 2, {4: 2}, sessions=1))
    assert set(found.values()) == {"no doubt known"}


def test_a_point_that_fails_now_is_worse(tmp_path: Path) -> None:
    before, after = run(tmp_path / "a", 1), run(tmp_path / "b", 2)
    for name in ("points", "sessions"):
        table = pd.read_parquet(after / f"{name}.parquet")
        table = table[table["threads"] != 16] if name == "sessions" else table
        table.loc[table["threads"] == 16, "status"] = "failed"
        table.to_parquet(after / f"{name}.parquet")
    found = verdicts(before, after)
    assert found["16", "status"] == "worse" and ("16", "time_s") not in found


def test_points_of_one_run_alone_are_named(tmp_path: Path) -> None:
    before, after = run(tmp_path / "a", 1), run(tmp_path / "b", 2)
    points = pd.read_parquet(after / "points.parquet")
    points[points["threads"] != 64].to_parquet(after / "points.parquet")
    assert verdicts(before, after)["64", "status"] == "gone" and verdicts(after, before)["64", "status"] == "new"


def test_what_cannot_be_compared_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotComparable, match="engine is llamacpp in one and vllm in the other"):
        changes(read_run(run(tmp_path / "a", 1)), read_run(run(tmp_path / "b", 2, engine="vllm")))
    with pytest.raises(NotComparable, match="is not there"):
        read_run(tmp_path)


def test_exit_status_is_a_gate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, same, slower = run(tmp_path / "a", 1), run(tmp_path / "b", 2), run(tmp_path / "c", 3, {4: 1.1})
    assert command.main([str(before), str(same)]) == 0
    assert command.main([str(before), str(slower), "--out", str(tmp_path / "out.json")]) == 1
    assert " worse  engine llamacpp, gpu cpu, threads 4" in capsys.readouterr().out
    assert any(row["verdict"] == "worse" for row in json.loads((tmp_path / "out.json").read_text()))
    assert command.main([str(before), str(tmp_path)]) == 2
    assert "not comparable" in capsys.readouterr().err


def test_broken_off_sessions_are_short_not_fast(tmp_path: Path) -> None:
    before, after = run(tmp_path / "a", 1), run(tmp_path / "b", 2, {4: 0.4})
    for name in ("points", "sessions"):
        table = pd.read_parquet(after / f"{name}.parquet")
        table.loc[table["threads"] == 4, "status"] = "partial"
        table.to_parquet(after / f"{name}.parquet")
    found = verdicts(before, after)
    assert found["4", "status"] == "worse" and ("4", "time_s") not in found


def test_an_axis_of_one_run_alone_is_refused(tmp_path: Path) -> None:
    before, after = run(tmp_path / "a", 1), run(tmp_path / "b", 2)
    points = pd.read_parquet(before / "points.parquet")
    both = pd.concat([points.assign(concurrency=n) for n in (4, 16)])
    order = ["engine", "gpu", "threads", "speculation", "quantization", "concurrency", "status", "reason"]
    both[order].to_parquet(before / "points.parquet")
    sessions = pd.read_parquet(before / "sessions.parquet")
    pd.concat([sessions.assign(concurrency=n) for n in (4, 16)]).to_parquet(before / "sessions.parquet")
    with pytest.raises(NotComparable, match="one run alone has the axes concurrency"):
        changes(read_run(before), read_run(after))


def test_a_gate_that_compared_nothing_does_not_pass(tmp_path: Path) -> None:
    before, after = run(tmp_path / "a", 1, sessions=1), run(tmp_path / "b", 2, {4: 5}, sessions=1)
    assert command.main([str(before), str(after)]) == 2
