"""What is recommended over planted speeds, and how surely."""

import json
import random
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import recommend as script
from data.report.planted import planted
from helpers.evidence import evidence_of
from servegrid.config.judging import Claim
from servegrid.report.evidence import Evidence
from servegrid.report.judge.claims import judge_claim
from servegrid.report.judge.knee import knees
from servegrid.report.judge.recommendation import Recommendation, recommend
from servegrid.report.judge.recommendation_text import as_data, as_markdown, summary_lines
from servegrid.report.settings import Settings

SPEEDS = {"a": 10.0, "b": 7.0, "c": 7.0}
"""Seconds: b and c are the same, a is slower by far."""
Tables = tuple[pd.DataFrame, pd.DataFrame]


def tables(sessions: int = 4, noise: float = 0.01) -> Tables:
    return planted({"engine": list(SPEEDS)}, lambda place: SPEEDS[place["engine"]], noise, sessions)


def chosen(points: pd.DataFrame, sessions: pd.DataFrame, **settings: Any) -> tuple[Recommendation, Evidence]:
    evidence = evidence_of(points, sessions, Settings(**settings))
    return recommend(evidence), evidence


def engine(evidence: Evidence, row: int | None) -> str:
    assert row is not None
    return str(evidence.rows["engine"].iloc[row])


def test_the_fastest_is_recommended_and_what_it_cannot_be_told_from_is_named() -> None:
    best, evidence = chosen(*tables())
    assert engine(evidence, best.row) in "bc" and best.metric == "output_tokens_per_s"
    assert best.second is not None and {engine(evidence, rival.row) for rival in best.undecided} == {"b", "c"} - {
        engine(evidence, best.row)
    }
    beaten = [rival for rival in best.rivals if rival.beaten]
    assert [engine(evidence, rival.row) for rival in beaten] == ["a"]
    assert beaten[0].effect.value == pytest.approx(10 / 7, rel=0.03)
    assert (
        best.estimate
        and best.estimate.has_interval
        and best.estimate.how == "95 % interval over 4 sessions, for the one chosen of 3 points"
    )
    assert "no difference shown from 1 of 2 others" in list(summary_lines(best, evidence))[2]


def test_one_session_beats_nobody_surely() -> None:
    best, evidence = chosen(*tables(sessions=1))
    assert len(best.undecided) == 2
    assert "is not known: set repeats to 2 or more" in list(summary_lines(best, evidence))[2]


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        ({"status": ["ok", "partial", "failed"]}, {"partial": 1, "failed": 1}),
        ({"client_bound": [False, True, True]}, {"client-bound": 2}),
        ({"output_tokens_per_s": [100.0, None, None]}, {"without output_tokens_per_s": 2}),
    ],
)
def test_what_cannot_be_recommended_is_left_out_with_its_reason(
    change: dict[str, Any], reasons: dict[str, int]
) -> None:
    points, sessions = tables()
    best, evidence = chosen(points.assign(**change), sessions)
    assert engine(evidence, best.row) == "a" and best.left_out == reasons
    assert "no other point was fit" in list(summary_lines(best, evidence))[2]


@pytest.mark.parametrize(("bound", "is_said"), [(None, True), (False, False)])
def test_a_pace_that_nobody_could_judge_is_recommended_and_said(bound: bool | None, is_said: bool) -> None:
    points, sessions = tables()
    best, evidence = chosen(points.assign(client_bound=bound), sessions)
    assert engine(evidence, best.row) in "bc"
    assert ("whether the load client set its pace is not known" in list(summary_lines(best, evidence))) == is_said


def test_a_latency_beyond_its_limit_or_not_known_rules_a_setting_out() -> None:
    points, sessions = tables()
    points = points.assign(ttft_ms_p99=[90.0, 110.0, None])
    best, evidence = chosen(points, sessions, objective="max_throughput_under_slo", slo={"ttft_ms_p99": 100})
    assert engine(evidence, best.row) == "a"
    assert best.left_out == {"beyond an SLO": 1, "not known to keep an SLO (ttft_ms_p99)": 1}
    none, evidence = chosen(points, sessions, slo={"ttft_ms_p99": 10})
    assert none.row is None and as_data(none, evidence, [])["setting"] is None
    assert list(summary_lines(none, evidence)) == [
        "nothing to recommend for max throughput, ttft_ms_p99 at most 10.0: 2 beyond an SLO, "
        "1 not known to keep an SLO (ttft_ms_p99)"
    ]


def test_least_energy_and_least_cost() -> None:
    points, sessions = tables()
    energies = {"a": 1.0, "b": 2.0, "c": 3.0}
    by_energy = [table.assign(j_per_output_token=table["engine"].map(energies)) for table in (points, sessions)]
    best, evidence = chosen(*by_energy, objective="min_energy")
    assert engine(evidence, best.row) == "a"
    none, evidence = chosen(points, sessions, objective="min_cost")
    assert none.row is None and none.left_out == {"without usd_per_million_output_tokens": 3}


def test_energy_that_is_not_to_be_trusted_wins_nothing_and_is_named() -> None:
    points, sessions = tables()
    points = points.assign(
        j_per_output_token=[1.0, 2.0, -3.0], warnings=["energy counter and power differ", None, None]
    )
    best, evidence = chosen(points, sessions, objective="min_energy")
    assert engine(evidence, best.row) == "b"
    assert best.left_out == {"energy counter and power differ": 1, "without j_per_output_token": 1}
    assert {engine(evidence, row): why for row, why in best.ahead.items()} == {"a": "energy counter and power differ"}


def test_what_is_left_out_for_its_doubt_and_measured_better_is_said() -> None:
    points, sessions = tables()
    best, evidence = chosen(points.assign(status=["ok", "partial", "failed"]), sessions)
    assert engine(evidence, best.row) == "a"
    assert "left out, though measured better: engine b (partial)" in list(summary_lines(best, evidence))
    slower, evidence = chosen(points.assign(status=["partial", "ok", "ok"]), sessions)
    assert not slower.ahead


def test_how_a_limit_is_kept_is_said_with_the_sessions() -> None:
    points, sessions = planted({"engine": ["a"]}, noise=0.01, sessions=3)
    points, sessions = points.assign(ttft_ms_p50=209.0), sessions.assign(ttft_ms_p50=[180.0, 209.0, 260.0])
    best, evidence = chosen(points, sessions, objective="max_throughput_under_slo", slo={"ttft_ms_p50": 220})
    assert "limit kept: ttft_ms_p50 209 of at most 220, in 2 of 3 sessions" in list(summary_lines(best, evidence))
    [kept] = as_data(best, evidence, [])["slo_kept"]
    assert (kept["sessions_within"], kept["sessions"]) == (2, 3)


def test_points_that_share_a_load_are_compared_once() -> None:
    """Threads mean nothing where arrivals are planned: two levels are one measurement."""
    made = planted({"threads": [4, 8], "engine": ["a", "b"]}, lambda p: SPEEDS[p["engine"]], 0.01, 3)
    points, sessions = (table.assign(server_id=table["engine"], load_id="planned") for table in made)
    best, evidence = chosen(points, sessions.drop_duplicates(["server_id", "load_id", "rep"]))
    assert [engine(evidence, rival.row) for rival in best.rivals] == ["a"]
    assert not list(knees(evidence))
    claim = Claim(says="threads matter", better={"threads": 8}, than={"threads": 4})
    assert judge_claim(claim, evidence, "measured").verdict == "not measured"


def test_a_row_under_another_name_is_no_rival() -> None:
    points, sessions = planted({"speculation": ["2", "ngram:2"]}, noise=0.01, sessions=3)
    points, sessions = points.assign(server_id="s0"), sessions.assign(server_id="s0")
    best, _ = chosen(points, sessions)
    assert best.rivals == ()


@pytest.mark.slow
def test_a_setting_that_is_as_good_as_the_best_is_rarely_ruled_out() -> None:
    """Of 80 sweeps of six settings that differ in nothing, the first is said to be beaten in at most 5 %, but for chance."""
    tries, ruled_out = 80, 0
    for seed in range(tries):
        best, evidence = chosen(*planted({"threads": range(1, 7)}, noise=0.03, sessions=4, seed=seed))
        first = [rival for rival in best.rivals if evidence.rows["threads"].iloc[rival.row] == 1]
        ruled_out += any(rival.beaten for rival in first)
    assert ruled_out / tries <= 0.05 + 3 * (0.05 * 0.95 / tries) ** 0.5


def test_the_page_begins_with_the_answer_and_has_the_command() -> None:
    best, evidence = chosen(*tables())
    page = as_markdown(best, evidence, "serve --fast")
    assert page.startswith("# Recommendation\n\nrecommended for max throughput: engine ")
    assert "```sh\nserve --fast\n```" in page and "No difference shown from (with 95 %" in page


@pytest.mark.slow
def test_the_command_starts_the_server_of_the_best_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command is a line that a shell takes apart into the program and what the engine was started with."""
    from servegrid.config import load_config
    from servegrid.plan.grid import Grid
    from servegrid.plan.resolve import resolve
    from servegrid.util.files import write_json

    monkeypatch.setenv("OF_THE_HUB", "hush")
    config = {
        "engines": {
            "llamacpp": {"runtime": "venv", "env": {"HF_TOKEN": "${OF_THE_HUB}"}, "options": {"chat-template": "a 'b"}}
        },
        "grid": {"engine": ["llamacpp"], "threads": [1, 2]},
    }
    write_json(tmp_path / "config.json", config)
    parsed = load_config(tmp_path / "config.json")
    points, sessions = planted({"threads": [1, 2]}, noise=0.01, sessions=2)
    ids = {"server_id": Grid(parsed, resolve(parsed)).points[0].server.id, "engine": "llamacpp"}
    points.assign(**ids).to_parquet(tmp_path / "points.parquet")
    sessions.assign(**ids).to_parquet(tmp_path / "sessions.parquet")
    paths = [f"--{name}={tmp_path / name}.parquet" for name in ("points", "sessions")]
    script.main([*paths, f"--config={tmp_path / 'config.json'}", f"--out={tmp_path}"])
    recommendation = json.loads((tmp_path / "recommendation.json").read_text())
    text = (tmp_path / "recommendation.sh").read_text()
    assert recommendation["command"] in text and "hush" not in text and 'HF_TOKEN="$OF_THE_HUB"' in text
    arguments = subprocess.run(
        ["sh", "-c", f"for word in {recommendation['command'].split(' ', 1)[1]}; do echo \"$word\"; done"],
        capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    assert (
        "a 'b" in arguments and any(word.endswith("llama_server.py") for word in arguments) and "--model" in arguments
    )


@pytest.mark.parametrize(
    ("engines", "seconds", "sessions", "text"),
    [
        ("ab", 20.0, 4, "better than the only other"),
        ("abc", 20.0, 4, "better than all 2 others"),
        ("ab", 10.0, 2, "no difference shown from it; "),
        ("ab", 20.0, 1, "how surely it beats the 1 other is not known"),
    ],
)
def test_the_margin_counts_the_others(engines: str, seconds: float, sessions: int, text: str) -> None:
    tables = planted(
        {"engine": list(engines)}, lambda place: 10.0 if place["engine"] == "a" else seconds, 0.01, sessions
    )
    evidence = evidence_of(*tables, Settings())
    assert text in list(summary_lines(recommend(evidence), evidence))[2]


def test_the_page_has_the_warnings_of_what_it_recommends_and_a_command_if_there_is_one() -> None:
    points, sessions = tables()
    best, evidence = chosen(points.assign(warnings="shared host"), sessions)
    assert "Warnings: shared host." in as_markdown(best, evidence, None).splitlines()
    best, evidence = chosen(points.assign(warnings=""), sessions)
    page = as_markdown(best, evidence, None)
    assert "Warnings" not in page and "```" not in page
    assert "The command:\n\n```sh\nserve\n```\n" in as_markdown(best, evidence, "serve")


def test_the_interval_of_one_alone_is_of_no_choice() -> None:
    best, _ = chosen(*planted({"engine": ["a"]}, noise=0.01, sessions=4))
    assert best.estimate and best.estimate.how == "95 % interval over 4 sessions"


def sweep_with_rounds(values: dict[str, dict[int, float]], **more: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Points and sessions of engines with these output tokens/s by round."""
    points, sessions = planted({"engine": list(values)}, sessions=1)
    rates = list(values.values())
    points = points.assign(output_tokens_per_s=[sum(rounds.values()) / len(rounds) for rounds in rates], **more)
    rows = [
        row | {"rep": rep, "output_tokens_per_s": value}
        for row, rounds in zip(sessions.to_dict("records"), rates, strict=True)
        for rep, value in rounds.items()
    ]
    return points, pd.DataFrame(rows)


def test_a_setting_that_was_measured_in_slow_rounds_alone_is_not_behind() -> None:
    """The machine gets 5 % faster each round: the first engine has the first three rounds alone, and is 5 % faster in each."""
    pace = {rep: 100 * 1.05**rep for rep in range(8)}
    values = {
        "a": {rep: 1.05 * pace[rep] for rep in range(3)},
        "b": pace,
        "c": {rep: 0.99 * value for rep, value in pace.items()},
    }
    best, evidence = chosen(*sweep_with_rounds(values))
    assert engine(evidence, best.row) == "a" and all(rival.effect.value > 1 for rival in best.rivals)


def test_what_is_no_evidence_tells_nothing_of_the_noise() -> None:
    draw = random.Random(1)
    values = {
        name: {rep: pace * draw.gauss(1, 0.01) for rep in range(3)}
        for name, pace in zip("abc", (130, 100, 99), strict=True)
    }
    values["cached"] = {0: 100.0, 1: 1500.0, 2: 1500.0}
    best, evidence = chosen(*sweep_with_rounds(values, warnings=["", "", "", "prompts were cached"]))
    assert engine(evidence, best.row) == "a" and not best.undecided


def test_equal_values_are_not_told_apart_by_rounding() -> None:
    best, _ = chosen(*sweep_with_rounds({name: dict.fromkeys(range(4), 7.3) for name in "abcdef"}))
    assert len(best.undecided) == 5


def test_a_row_of_which_no_session_knows_the_metric_is_recommended_without_doubt_known() -> None:
    points, sessions = sweep_with_rounds({"a": {0: 2.0}, "b": {0: 1.0}})
    best, evidence = chosen(points, sessions.iloc[:0])
    assert engine(evidence, best.row) == "a" and best.further_sessions is None and best.undecided
