"""Answers that end by themselves: a time is compared where their lengths are alike, and else per output token."""

from typing import Any

import pandas as pd
import pytest

from data.report.planted import planted
from helpers.evidence import evidence_of
from servegrid.compare import changes
from servegrid.compare.runs import Run
from servegrid.config.judging import Claim
from servegrid.report.drawing.speedup import speedups, time_model
from servegrid.report.evidence import MEASURED, PER_TOKEN, Evidence
from servegrid.report.judge.claims import judge_claim
from servegrid.report.settings import Settings
from servegrid.results.answer_lengths import UNKNOWN_LENGTHS
from servegrid.results.columns import PER_ANSWER

TIMES = {"a": 10.0, "b": 20.0}


def tables(tokens: list[float | None], ends: str = "natural") -> tuple[pd.DataFrame, pd.DataFrame]:
    """Engine b takes twice the time of a; `tokens`: output tokens of ten answers of each."""
    points, sessions = planted({"engine": ["a", "b"]}, lambda place: TIMES[place["engine"]], 0.002, 4)
    return points.assign(answers_end=ends, output_tokens=tokens, requests_ok=10), sessions


def evidence(*args: Any) -> Evidence:
    return evidence_of(*tables(*args), Settings())


FASTER = Claim(says="a is faster", better={"engine": "a"}, than={"engine": "b"}, metric="time_s")


@pytest.mark.parametrize(
    ("tokens", "ends", "times", "verdict"),
    [
        ([1000, 1000], "natural", 2.0, "supported"),
        ([1000, 1005], "natural", 2.0, "supported"),  # alike
        ([1000, 2500], "natural", 0.8, "contradicted"),  # b made 2.5 times the tokens in twice the time
        ([1000, 2500], "exact", 2.0, "supported"),  # what was asked for: no row of a load has another number of tokens
    ],
)
def test_a_time_is_per_token_where_lengths_differ(
    tokens: list[float | None], ends: str, times: float, verdict: str
) -> None:
    rows = evidence(tokens, ends)
    effect = rows.times_better(0, 1, "time_s")
    assert effect.value == pytest.approx(times, rel=0.01) and (PER_TOKEN in effect.how) == (verdict == "contradicted")
    assert judge_claim(FASTER, rows, MEASURED).verdict == verdict
    assert rows.times_better(0, 1, "output_tokens_per_s").value == pytest.approx(2.0, rel=0.01), "is per token already"


def test_a_rate_of_requests_is_of_requests_as_long() -> None:
    points, sessions = tables([1000, 2500])
    rates = [table.assign(requests_per_s=10 / table["time_s"]) for table in (points, sessions)]
    assert evidence_of(*rates, Settings()).times_better(0, 1, "requests_per_s").value == pytest.approx(0.8, rel=0.01)


def test_without_tokens_there_is_no_time_to_compare() -> None:
    rows = evidence([1000, None])
    assert list(rows.unfit("time_s")) == ["", UNKNOWN_LENGTHS]
    assert list(rows.unfit("ttft_ms_p50", client_bound=True)) == ["without ttft_ms_p50"] * 2
    assert judge_claim(FASTER, rows, MEASURED).verdict == "not measured"


def test_two_runs_with_answers_of_other_lengths_are_not_compared_by_time(tmp_path: Any) -> None:
    axes = ("engine", "gpu", "threads", "speculation", "quantization")
    runs = [Run(points, sessions, axes, tmp_path) for points, sessions in (tables([1000, 1000]), tables([1000, 1200]))]
    verdicts = {(change.axes.get("engine"), change.metric): change.verdict for change in changes(*runs)}
    assert verdicts["b", "time_s"] == "other lengths" and verdicts["b", "output_tokens_per_s"] == "no difference shown"
    assert verdicts["a", "time_s"] == "no difference shown"


def test_metrics_that_go_with_the_length_of_answers() -> None:
    assert {"time_s", "requests_per_s", "energy_j", "e2e_ms_p50", "e2e_planned_ms_p99"} <= set(PER_ANSWER)
    assert not {"output_tokens_per_s", "ttft_ms_p50", "tpot_ms_p50", "j_per_output_token"} & set(PER_ANSWER)


def test_no_speed_up_is_drawn_of_answers_of_other_lengths() -> None:
    points, _ = tables([1000, 2500])
    assert speedups(points, "engine", "a", ("gpu", "threads"), time_model(points))["speedup"].isna().tolist() == [
        False,
        True,
    ]
