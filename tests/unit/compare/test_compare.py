"""Two runs held against each other: planted changes are found, noise is not, and the exit status is a gate."""

import json
import math
import random
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import compare as command
from servegrid.compare import METRICS, Change, NotComparable, changes, read_run
from servegrid.compare.metric_changes import metric_changes
from servegrid.compare.run_model import AFTER, BEFORE, run_model
from servegrid.compare.runs import PointInRun, PointPair
from servegrid.compare.session_values import SessionValues
from servegrid.records.schema import RequestRecord, write_requests

AXES = {"engine": "llamacpp", "gpu": "cpu", "speculation": "none", "quantization": "none"}


def run(folder: Path, seed: int, factor: dict[int, float] | None = None, sessions: int = 4, **changed: Any) -> Path:
    """Folder with results of 4 points with 1 % noise; `factor` makes the times at a thread level longer."""
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
    """Verdicts by threads and metric; threads are `all` where the points are compared together."""
    run_changes = changes(read_run(before), read_run(after), worse_by=worse_by)
    return {(change.axes.get("threads", "all"), change.metric): change.verdict for change in run_changes}


def with_column(folder: Path, name: str, values: Any) -> Path:
    """The run with a further column in its points; `values`: one for all, or one for each."""
    points = pd.read_parquet(folder / "points.parquet")
    points.assign(**{name: values}).to_parquet(folder / "points.parquet")
    return folder


def test_finds_what_was_planted_and_nothing_else(tmp_path: Path) -> None:
    found_verdicts = verdicts(run(tmp_path / "a", 1), run(tmp_path / "b", 2, {4: 1.1, 16: 0.9}))
    assert found_verdicts["4", "time_s"] == found_verdicts["4", "output_tokens_per_s"] == "worse"
    assert found_verdicts["16", "time_s"] == found_verdicts["16", "output_tokens_per_s"] == "better"
    assert {found_verdicts[n, metric] for n in ("1", "64") for metric in ("time_s", "output_tokens_per_s")} == {
        "no difference shown"
    }


@pytest.mark.slow
def test_noise_alone_is_no_change_in_nearly_all_runs(tmp_path: Path) -> None:
    alarms = 0
    for seed in range(30):
        found_verdicts = verdicts(run(tmp_path / f"a{seed}", seed), run(tmp_path / f"b{seed}", 1000 + seed))
        alarms += any(verdict != "no difference shown" for verdict in found_verdicts.values())
    assert alarms <= 6  # 5 % of 30 are 1.5; 7 or more have a chance below 0.1 %


def test_what_is_let_pass_is_no_regression(tmp_path: Path) -> None:
    before, after = run(tmp_path / "a", 1), run(tmp_path / "b", 2, {4: 1.1})
    assert verdicts(before, after, worse_by=0.2)["4", "time_s"] == "no difference shown"


@pytest.mark.parametrize("nowhere", ["a", "b", "ab"])
def test_a_metric_that_no_session_of_a_run_knows_is_not_compared(tmp_path: Path, nowhere: str) -> None:
    folders = {name: run(tmp_path / name, seed) for seed, name in enumerate("ab")}
    for name, folder in folders.items():
        sessions = pd.read_parquet(folder / "sessions.parquet")
        itl = [None] * len(sessions) if name in nowhere else sessions["time_s"]
        sessions.assign(itl_ms_p50=itl).to_parquet(folder / "sessions.parquet")
    run_changes = changes(*map(read_run, folders.values()))
    judged = {change.metric for change in run_changes if change.judged}
    assert judged == {"time_s", "output_tokens_per_s"}


def test_one_session_has_no_doubt_and_no_verdict(tmp_path: Path) -> None:
    found_verdicts = verdicts(run(tmp_path / "a", 1, sessions=1), run(tmp_path / "b", 2, {4: 2}, sessions=1))
    assert set(found_verdicts.values()) == {"no doubt known"}


def test_a_point_that_fails_now_is_worse(tmp_path: Path) -> None:
    before, after = run(tmp_path / "a", 1), run(tmp_path / "b", 2)
    for name in ("points", "sessions"):
        table = pd.read_parquet(after / f"{name}.parquet")
        table = table[table["threads"] != 16] if name == "sessions" else table
        table.loc[table["threads"] == 16, "status"] = "failed"
        table.to_parquet(after / f"{name}.parquet")
    found_verdicts = verdicts(before, after)
    assert found_verdicts["16", "status"] == "worse" and ("16", "time_s") not in found_verdicts


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
    found_verdicts = verdicts(before, after)
    assert found_verdicts["4", "status"] == "worse" and ("4", "time_s") not in found_verdicts


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


def test_client_bound_points_are_named_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = with_column(run(tmp_path / "a", 1), "client_bound", [False, True, False, None])
    after = with_column(run(tmp_path / "b", 2, {4: 3, 16: 3}), "client_bound", [False, True, True, None])
    found_verdicts = verdicts(before, after)
    assert {key for key, verdict in found_verdicts.items() if verdict == "client-bound"} == {
        ("4", "client_bound"),
        ("16", "client_bound"),
    }
    assert ("16", "time_s") not in found_verdicts and found_verdicts["1", "time_s"] == "no difference shown"
    assert command.main([str(before), str(after)]) == 0
    printed = capsys.readouterr().out
    assert "threads 4, speculation none, quantization none: not compared, client-bound in both runs" in printed
    assert "both versions in one sweep, whose sessions alternate (config/two-versions.yaml)" in printed
    assert "threads 16, speculation none, quantization none: not compared, client-bound in the run after" in printed
    assert "2 client-bound" in printed


def test_a_client_that_could_not_be_judged_is_unknown_and_not_unbound(tmp_path: Path) -> None:
    before = with_column(run(tmp_path / "a", 1), "client_bound", [None, False, None, None])
    after = with_column(run(tmp_path / "b", 2), "client_bound", [True, True, False, None])
    found = [change for change in changes(read_run(before), read_run(after)) if change.metric == "client_bound"]
    assert [(change.axes["threads"], change.before, change.after) for change in found] == [
        ("1", None, True),
        ("4", False, True),
    ]


def test_a_gate_that_saw_only_the_client_does_not_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = run(tmp_path / "a", 1), with_column(run(tmp_path / "b", 2), "client_bound", True)
    assert command.main([str(before), str(after)]) == 2
    assert "4 points were client-bound" in capsys.readouterr().err


def test_another_load_is_not_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = with_column(run(tmp_path / "a", 1), "load_id", ["n-1", "n-4", "n-16", None])
    after = with_column(run(tmp_path / "b", 2, {16: 2}), "load_id", ["n-1", "n-4", "m-16", "n-64"])
    after = with_column(after, "status", ["ok", "ok", "partial", "ok"])
    found_verdicts = verdicts(before, after)
    assert (
        found_verdicts["16", "load_id"] == "another load"
        and len([key for key in found_verdicts if key[0] == "16"]) == 1
    )
    assert found_verdicts["4", "time_s"] == found_verdicts["64", "time_s"] == "no difference shown"
    assert command.main([str(before), str(after)]) == 0
    assert "not compared, n-16 before and m-16 after" in capsys.readouterr().out


def test_a_gate_under_another_load_does_not_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = with_column(run(tmp_path / "a", 1), "load_id", "n")
    after = with_column(run(tmp_path / "b", 2, dict.fromkeys((1, 4, 16, 64), 2)), "load_id", "m")
    assert command.main([str(before), str(after)]) == 2
    assert "4 points had another load" in capsys.readouterr().err


def noisy_pairs(seed: int, launch: float, slower: float = 1.0, engines: int = 2, sessions: int = 2) -> list[PointPair]:
    """`engines` servers with 4 loads each. A session's noise (1 %) is each load's own; `launch` is common to its loads."""
    chance = random.Random(seed)

    def side(engine: int, factor: float) -> list[pd.DataFrame]:
        common = [chance.gauss(0, launch) for _ in range(sessions)]
        times = [[factor * math.exp(c + chance.gauss(0, 0.01)) for c in common] for _ in range(4)]
        return [pd.DataFrame({"rep": range(1, sessions + 1), "time_s": time, "e2e_ms_p50": time}) for time in times]

    sides = [(engine, side(engine, 1), side(engine, slower)) for engine in range(engines)]
    return [
        PointPair({"engine": str(engine), "threads": str(n)}, PointInRun({}, before[n]), PointInRun({}, after[n]))
        for engine, before, after in sides
        for n in range(4)
    ]


def pooled_changes(run_changes: list[Change]) -> list[Change]:
    return [change for change in run_changes if change.points > 1]


@pytest.mark.slow
@pytest.mark.parametrize(("launch", "engines"), [(0.0, 2), (0.02, 2), (0.02, 1)])
def test_noise_is_worse_in_at_most_one_run_in_twenty(launch: float, engines: int) -> None:
    runs = [
        metric_changes(noisy_pairs(seed, launch, engines=engines), ("time_s", "e2e_ms_p50"), 0.0) for seed in range(200)
    ]
    assert all(len(pooled_changes(run_changes)) == 2 for run_changes in runs)
    assert sum(any(change.verdict == "worse" for change in run_changes) for run_changes in runs) <= 10


@pytest.mark.slow
def test_what_is_slower_everywhere_is_found_where_no_point_shows_it() -> None:
    runs = [metric_changes(noisy_pairs(seed, 0.0, 1.05), METRICS, 0.0) for seed in range(50)]
    assert sum(all(change.verdict == "worse" for change in pooled_changes(run_changes)) for run_changes in runs) >= 40
    alone = [change.verdict for run_changes in runs for change in run_changes if change.points == 1]
    assert alone.count("worse") < 0.75 * len(alone)


def test_points_together_say_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = run(tmp_path / "a", 1, sessions=3), run(tmp_path / "b", 2, dict.fromkeys((1, 4, 16, 64), 1.1), 3)
    assert command.main([str(before), str(after), "--out", str(tmp_path / "out.json")]) == 1
    printed = capsys.readouterr().out
    assert "worse  4 points together: time_s in the mean over these points (+" in printed
    assert "single points may differ" in printed
    assert {row["points"] for row in json.loads((tmp_path / "out.json").read_text())} == {1, 4}


def test_the_mean_is_that_of_the_points_and_its_doubt_that_of_the_sessions() -> None:
    """Logarithms -+x in the sessions after: a mean with variance x^2 / 2; loads of one server have one session in common."""
    x = 0.01
    doubled = {1: 2 * math.exp(-x), 2: 2 * math.exp(x)}
    together = [SessionValues({"threads": n}, {1: 1.0, 2: 1.0}, doubled) for n in "123"]
    mean = run_model(together).mean_ratio([((AFTER, n), (BEFORE, n)) for n in range(3)])
    assert mean.value == pytest.approx(2)
    assert mean.high == pytest.approx(2 * math.exp(4.302653 * x)), "2 degrees of freedom: a round of each run"


def test_only_what_is_compared_shares_the_doubt() -> None:
    [few] = metric_changes(noisy_pairs(1, 0.0)[:1], ["time_s"], 0.0)
    [same] = metric_changes(noisy_pairs(1, 0.0)[:1], METRICS[:1] + METRICS[2:4] + METRICS[5:], 0.0)
    assert few.ratio == same.ratio and few.ratio and few.ratio.how.startswith("95 %")


def test_texts_that_turn_bad_are_worse(tmp_path: Path) -> None:
    before = with_column(run(tmp_path / "a", 1), "warnings", [None, "quantization changes texts", "cold start", None])
    warnings = [None, None, "shared host; garbled texts", "latency drifts"]
    after = with_column(run(tmp_path / "b", 2), "warnings", warnings)
    found_verdicts = verdicts(before, after)
    assert {key[0]: verdict for key, verdict in found_verdicts.items() if key[1] == "warnings"} == {
        "4": "better",
        "16": "worse",
    }
    assert command.main([str(before), str(after)]) == 1


def with_texts(folder: Path, vocabulary: str) -> Path:
    """The run with raw answers of its first sessions: 12 sentences, each of 30 of these words."""
    sessions = pd.read_parquet(folder / "sessions.parquet")
    ids = sessions.assign(server_id="s", load_id=[f"n-{n}" for n in sessions["threads"]])
    ids.to_parquet(folder / "sessions.parquet")
    chance = random.Random(vocabulary)
    texts = [" ".join(chance.choices(vocabulary.split(), k=30)) for _ in range(12)]
    for load in set(ids["load_id"]):
        place = folder / "sessions" / "s" / "rep1" / "loads" / load
        place.mkdir(parents=True)
        write_requests(place, [RequestRecord(f"r{n}", f"p{n}", 8, "ok", text=text) for n, text in enumerate(texts)])
    return folder


def test_a_run_that_is_garbage_as_a_whole_is_worse(tmp_path: Path) -> None:
    vocabulary = "the server answers every request with a short and simple story about cats who live near rivers"
    before, again = (
        with_texts(run(tmp_path / "a", 1), vocabulary),
        with_texts(run(tmp_path / "b", 2), vocabulary + " today"),
    )
    garbage = with_texts(run(tmp_path / "c", 2), "qxz vvkj zzzq jjxw 0x0x kqkq wxyz bbbq")
    assert not [key for key in verdicts(before, again) if key[1] == "warnings"]
    assert verdicts(before, garbage)["16", "warnings"] == "worse"
    assert command.main([str(before), str(garbage)]) == 1


def test_a_point_without_answers_has_no_better_texts(tmp_path: Path) -> None:
    before = with_column(run(tmp_path / "a", 1), "warnings", "garbled texts")
    after = with_column(run(tmp_path / "b", 2), "status", ["failed", "ok", "ok", "ok"])
    after = with_column(after, "warnings", [None, *["garbled texts"] * 3])
    assert not [key for key in verdicts(before, after) if key[1] == "warnings"]


def test_levels_that_came_and_went_are_no_comparison(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = run(tmp_path / "a", 1, sessions=1), run(tmp_path / "b", 2, {4: 5}, sessions=1)
    points = pd.read_parquet(before / "points.parquet")
    points[points["threads"] != 64].to_parquet(before / "points.parquet")
    assert command.main([str(before), str(after)]) == 2
    assert command.main([str(after), str(before)]) == 2
    assert "too few sessions for an interval" in capsys.readouterr().err


def test_a_gate_says_how_blind_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def hidden(sessions: int) -> float:
        folders = [run(tmp_path / f"{side}{sessions}", seed, sessions=sessions) for seed, side in ((1, "a"), (2, "b"))]
        assert command.main([str(folder) for folder in folders]) == 0
        match = re.search(r"the noise hides changes up to ([\d.]+) % at a single point", capsys.readouterr().out)
        assert match
        return float(match[1])

    assert hidden(2) > 2 * hidden(8) > 0


def test_energy_that_is_not_to_be_relied_on_is_not_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = run(tmp_path / "a", 1), run(tmp_path / "b", 2)
    for folder, joules in ((before, 6.0), (after, 0.6)):
        sessions = pd.read_parquet(folder / "sessions.parquet")
        noise = sessions["time_s"] / sessions.groupby("threads")["time_s"].transform("mean")
        sessions.assign(j_per_output_token=joules * noise).to_parquet(folder / "sessions.parquet")
    with_column(after, "warnings", [None, "shared host; energy counter and power differ", "cold start", None])
    found_verdicts = verdicts(before, after)
    energy = {
        threads: verdict for (threads, metric), verdict in found_verdicts.items() if metric == "j_per_output_token"
    }
    assert energy == {"4": "untrusted", "1": "better", "16": "better", "64": "better", "all": "better"}
    assert found_verdicts["4", "time_s"] == "no difference shown"
    assert command.main([str(before), str(after)]) == 0
    expected = "j_per_output_token not compared, energy counter and power differ in the run after"
    assert expected in capsys.readouterr().out
    with_column(after, "warnings", "energy samples missing")
    assert command.main([str(before), str(after), "--metrics", "j_per_output_token"]) == 2
    assert "4 metrics had a warning" in capsys.readouterr().err


def test_garbage_is_not_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = with_column(run(tmp_path / "a", 1), "warnings", [None, "garbled texts", "garbled texts", None])
    after = with_column(run(tmp_path / "b", 2, {1: 0.5, 4: 2, 16: 0.5}), "warnings", ["garbled texts"] * 2 + [None] * 2)
    found_verdicts = verdicts(before, after)
    assert {threads for threads, metric in found_verdicts if metric == "time_s"} == {"64"}
    assert {threads for (threads, _), verdict in found_verdicts.items() if verdict == "garbled"} == {"1", "4", "16"}
    assert found_verdicts["1", "warnings"] == "worse" and found_verdicts["16", "warnings"] == "better"
    command.main([str(before), str(after)])
    assert (
        "threads 4, speculation none, quantization none: not compared, garbled texts in both" in capsys.readouterr().out
    )
    with_column(before, "warnings", "garbled texts"), with_column(after, "warnings", "garbled texts")
    assert command.main([str(before), str(after)]) == 2
    assert "4 points had garbled texts" in capsys.readouterr().err


def with_zeros(folder: Path, threads: int, *rounds: int) -> Path:
    """The run without a whole answer, so without output tokens, in these rounds of a point."""
    sessions = pd.read_parquet(folder / "sessions.parquet")
    none = (sessions["threads"] == threads) & sessions["rep"].isin(rounds)
    sessions["output_tokens_per_s"] = sessions["output_tokens_per_s"].mask(none, 0.0)
    sessions.to_parquet(folder / "sessions.parquet")
    return folder


def test_zero_is_a_value(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = with_zeros(with_zeros(run(tmp_path / "a", 1), 16, 1, 2, 3, 4), 64, 1, 2)
    after = with_zeros(with_zeros(run(tmp_path / "b", 2), 4, 1, 2, 3, 4), 64, 3)
    rates = {
        threads: verdict for (threads, metric), verdict in verdicts(before, after).items() if metric.startswith("out")
    }
    assert rates == {"1": "no difference shown", "4": "worse", "16": "better", "64": "no difference shown"}
    assert command.main([str(before), str(after)]) == 1
    printed = capsys.readouterr().out
    assert re.search(r"worse .* threads 4,.*output_tokens_per_s [\d.]+ -> 0 \(zero in a session, so without", printed)
    assert re.search(r"no difference shown .* threads 64,.*output_tokens_per_s", printed)


def test_zero_in_one_session_is_no_verdict(tmp_path: Path) -> None:
    before, after = run(tmp_path / "a", 1, sessions=1), with_zeros(run(tmp_path / "b", 2), 4, 1, 2, 3, 4)
    assert verdicts(before, after)["4", "output_tokens_per_s"] == "no doubt known"


def test_a_session_of_zero_is_not_passed_over(tmp_path: Path) -> None:
    # Two of five sessions three times as fast, and three that answer nothing: not faster.
    before, after = run(tmp_path / "a", 1, sessions=5), run(tmp_path / "b", 2, {4: 0.3}, sessions=5)
    assert verdicts(before, after)["4", "output_tokens_per_s"] == "better"
    assert verdicts(before, with_zeros(after, 4, 3, 4, 5))["4", "output_tokens_per_s"] == "no difference shown"
