"""Two runs held against each other by their tails and starts: a regression there is found, noise is not, and nothing goes unsaid."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import compare as command
from servegrid.compare import METRICS, Change, NotComparable, changes, default_metrics, read_run
from servegrid.compare.metric_changes import metric_changes
from servegrid.compare.runs import PointInRun, PointPair
from servegrid.metrics import request_metrics
from servegrid.results import columns

THREADS, REQUESTS = (1, 4, 16, 64), 200
SLOWEST = REQUESTS // 40
"""Requests of the tail: 2.5 %, which leave the median as it is."""


def sessions_of(chance: np.random.Generator, rounds: int, tail: float, start: float) -> list[pd.DataFrame]:
    """Sessions of one server with 4 loads: every latency varies by 30 % between requests, a session by 3 %, a start by 10 %.

    The slowest requests take `tail` times as long, and the start `start` times.
    """
    launch, starts = np.exp(chance.normal(0, 0.03, rounds)), 10 * start * np.exp(chance.normal(0, 0.1, rounds))

    def row(number: int) -> dict[str, float | str | None]:
        session: dict[str, float | str | None] = {"rep": number + 1, "status": "ok", "startup_s": starts[number]}
        for name in ("ttft", "itl", "e2e"):
            latencies = np.sort(launch[number] * np.exp(chance.normal(0, 0.3, REQUESTS)))
            latencies[-SLOWEST:] *= tail
            session[f"{name}_ms_p50"], session[f"{name}_ms_p99"] = request_metrics.percentiles(latencies, (50, 99))
            session |= {"time_s": latencies.mean(), "output_tokens_per_s": 1 / latencies.mean()}
        return session

    return [pd.DataFrame([row(number) for number in range(rounds)]) for _ in THREADS]


def compared(seed: int, rounds: int = 3, tail: float = 1.0, start: float = 1.0) -> list[Change]:
    """Changes in all metrics that are compared where none are named."""
    chance = np.random.default_rng(seed)
    before, after = sessions_of(chance, rounds, 1.0, 1.0), sessions_of(chance, rounds, tail, start)
    places = [{"engine": "llamacpp", "threads": str(threads)} for threads in THREADS]
    return metric_changes(
        [PointPair(p, PointInRun({}, b), PointInRun({}, a)) for p, b, a in zip(places, before, after, strict=True)],
        METRICS,
        0.0,
    )


def changed_metrics(run_changes: list[Change]) -> set[str]:
    return {change.metric for change in run_changes if change.verdict in ("better", "worse")}


@pytest.mark.slow
def test_noise_changes_something_in_at_most_one_run_in_twenty() -> None:
    assert sum(bool(changed_metrics(compared(seed))) for seed in range(200)) <= 10


@pytest.mark.slow
def test_a_tail_that_grows_is_found_where_the_median_stays() -> None:
    runs = [compared(seed, tail=4) for seed in range(20)]
    tails = {"ttft_ms_p99", "itl_ms_p99", "e2e_ms_p99"}
    assert sum(tails <= changed_metrics(run_changes) for run_changes in runs) >= 18
    assert not any(
        changed_metrics(run_changes) & {"ttft_ms_p50", "itl_ms_p50", "e2e_ms_p50"} for run_changes in runs[:5]
    )


@pytest.mark.slow
@pytest.mark.parametrize("rounds", [2, 3])
def test_a_start_that_grows_is_found_once_for_a_server(rounds: int) -> None:
    runs = [
        [change for change in compared(seed, rounds, start=30) if change.metric == "startup_s"] for seed in range(20)
    ]
    assert all(len(start_changes) == 1 and start_changes[0].axes == {"engine": "llamacpp"} for start_changes in runs)
    assert sum(start_changes[0].verdict == "worse" for start_changes in runs) >= 19


def folder(place: Path, seed: int, tail: float = 1.0, start: float = 1.0, unknown: str | None = None) -> Path:
    """Result tables of such a run; `unknown`: a metric that it does not know at 16 threads."""
    place.mkdir()
    tables = sessions_of(np.random.default_rng(seed), 3, tail, start)
    axes = [{"engine": "llamacpp", "threads": threads} for threads in THREADS]
    sessions = pd.concat([table.assign(**axis) for axis, table in zip(axes, tables, strict=True)])
    if unknown:
        sessions[unknown] = sessions[unknown].mask(sessions["threads"] == 16)
    sessions.to_parquet(place / "sessions.parquet")
    pd.DataFrame([axis | {"status": "ok", "reason": None} for axis in axes]).to_parquet(place / "points.parquet")
    return place


def with_slo(place: Path, **limits: float) -> Path:
    (place / "config.json").write_text(json.dumps({"report": {"slo": limits}}))
    return place


def test_tails_and_starts_are_a_gate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, tail, start = (
        folder(tmp_path / "a", 1),
        folder(tmp_path / "b", 2, tail=4),
        folder(tmp_path / "c", 3, start=30),
    )
    assert command.main([str(before), str(tail)]) == 1
    assert "worse  4 points together: ttft_ms_p99 in the mean over these points" in capsys.readouterr().out
    assert command.main([str(before), str(start)]) == 1
    assert "worse  engine llamacpp: startup_s" in capsys.readouterr().out
    assert command.main([str(before), str(tail), "--metrics", "ttft_ms_p50"]) == 0


def test_a_metric_that_is_known_no_more_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = folder(tmp_path / "a", 1), folder(tmp_path / "b", 2, unknown="itl_ms_p99")
    assert command.main([str(before), str(after)]) == 1
    assert (
        "gone  engine llamacpp, threads 16: itl_ms_p99 not compared, known before, not after" in capsys.readouterr().out
    )
    assert command.main([str(after), str(before)]) == 0
    assert (
        "new  engine llamacpp, threads 16: itl_ms_p99 not compared, known after, not before" in capsys.readouterr().out
    )
    only = pd.read_parquet(after / "sessions.parquet").drop(columns="itl_ms_p99")
    only.to_parquet(after / "sessions.parquet")
    assert command.main([str(before), str(after), "--metrics", "itl_ms_p99"]) == 2
    assert "4 metrics are known in one run alone" in capsys.readouterr().err


def test_what_a_failed_point_does_not_know_is_its_outcome(tmp_path: Path) -> None:
    before, after = folder(tmp_path / "a", 1), folder(tmp_path / "b", 2)
    for name in ("points", "sessions"):
        table = pd.read_parquet(after / f"{name}.parquet")
        table.loc[table["threads"] == 16, "status"] = "failed"
        table.to_parquet(after / f"{name}.parquet")
    run_changes = changes(read_run(before), read_run(after))
    assert [change.metric for change in run_changes if change.axes.get("threads") == "16"] == ["status"]


def test_it_says_which_metrics_it_looked_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = folder(tmp_path / "a", 1), folder(tmp_path / "b", 2)
    command.main([str(before), str(after)])
    printed = capsys.readouterr().out
    assert f"looked at: {', '.join(METRICS)}; at no point that can be compared: j_per_output_token" in printed


def test_limits_of_the_service_are_looked_at(tmp_path: Path) -> None:
    before, after = folder(tmp_path / "a", 1), with_slo(folder(tmp_path / "b", 2), tpot_ms_p90=50, ttft_ms_p99=500)
    assert default_metrics(read_run(before), read_run(before)) == METRICS
    assert default_metrics(read_run(before), read_run(after)) == (*METRICS, "tpot_ms_p90")


def test_a_goodput_under_other_limits_is_refused(tmp_path: Path) -> None:
    before = with_slo(folder(tmp_path / "a", 1), ttft_ms_p99=500)
    after = with_slo(folder(tmp_path / "b", 2), ttft_ms_p99=300)
    with pytest.raises(NotComparable, match="under other limits"):
        changes(read_run(before), read_run(after), ["goodput_requests_per_s"])


@pytest.mark.parametrize("metric", columns.BETTER)
def test_every_metric_with_a_direction_can_be_asked_for(metric: str, tmp_path: Path) -> None:
    folders = [folder(tmp_path / name, 1) for name in "ab"]
    for place, factor in zip(folders, (1.0, 2.0), strict=True):
        sessions = pd.read_parquet(place / "sessions.parquet")
        sessions.assign(**{metric: factor * sessions["time_s"]}).to_parquet(place / "sessions.parquet")
    worse = int(columns.BETTER[metric] == "lower")
    assert command.main([*map(str, folders), "--metrics", metric]) == worse


def stalled(seed: int, rounds: int) -> list[Change]:
    """Changes between two equal runs of 8 points, where a stall makes the tails of three sessions in ten five times as long; noise is 3 %."""
    chance = np.random.default_rng(seed)

    def side() -> PointInRun:
        stalls = np.where(chance.random(rounds) < 0.3, 5.0, 1.0)
        noise = {metric: np.exp(chance.normal(0, 0.03, rounds)) for metric in METRICS}
        values = {metric: value * stalls if metric.endswith("_p99") else value for metric, value in noise.items()}
        return PointInRun({}, pd.DataFrame({"rep": range(1, rounds + 1), "status": "ok"} | values))

    places = [{"engine": engine, "threads": str(threads)} for engine in "ab" for threads in THREADS]
    return metric_changes([PointPair(place, side(), side()) for place in places], METRICS, 0.0)


@pytest.mark.slow
@pytest.mark.parametrize("rounds", [2, 3])
def test_sessions_that_agree_on_stalls_by_chance_are_no_change(rounds: int) -> None:
    assert sum(bool(changed_metrics(stalled(seed, rounds))) for seed in range(200)) <= 10


@pytest.mark.slow
def test_the_tail_of_one_point_is_found() -> None:
    def changes_with_tail(seed: int) -> list[Change]:
        chance = np.random.default_rng(seed)
        before, after = sessions_of(chance, 3, 1.0, 1.0), sessions_of(chance, 3, 1.0, 1.0)
        after[2]["ttft_ms_p99"] *= 4
        points = zip(THREADS, before, after, strict=True)
        return metric_changes(
            [PointPair({"threads": str(n)}, PointInRun({}, b), PointInRun({}, a)) for n, b, a in points], METRICS, 0.0
        )

    runs = [
        {(c.metric, c.axes.get("threads")) for c in changes_with_tail(seed) if c.verdict == "worse"}
        for seed in range(20)
    ]
    assert sum(("ttft_ms_p99", "16") in worse for worse in runs) >= 18
    assert not any((metric, "1") in worse for worse in runs for metric in METRICS)
