"""Rows of loads whose clocks say less than they seem to: unknown is empty, and it is said why."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from data.results import Plan, made_grid, write_results
from servegrid.collect.tables import Collected, collect

GAPS = ["itl_ms_p50", "itl_ms_p90", "chunk_gap_ms_p50", "chunk_gap_ms_p90"]


def collected(folder: Path, *plans: Plan) -> Collected:
    """The tables of one point, with a session of each plan."""
    grid = made_grid(repeats=len(plans))
    write_results(grid, folder, lambda session, _: plans[session.rep - 1])
    return collect(grid, folder)


def row(folder: Path, *plans: Plan) -> "pd.Series[Any]":
    return collected(folder, *plans).points.iloc[0]


def test_events_on_time_have_gaps(tmp_path: Path) -> None:
    point = row(tmp_path, Plan(columns={"late_chunks": np.zeros(60)}))
    assert point["stamps_shared"] == 0 and point["itl_ms_p50"] == pytest.approx(114, rel=0.05)
    assert point["warnings"] is None


def test_old_records_do_not_say_how_late_they_were_read_and_keep_their_gaps(tmp_path: Path) -> None:
    point = row(tmp_path, Plan())
    assert pd.isna(point["stamps_shared"]) and point["itl_ms_p50"] > 100 and point["warnings"] is None


def test_events_read_late_have_no_gaps_and_a_time_per_token(tmp_path: Path) -> None:
    late = np.zeros(60)
    late[:30] = 1  # of 7 events after the first
    point = row(tmp_path, Plan(columns={"late_chunks": late}))
    assert point["stamps_shared"] == pytest.approx(30 / 420)
    assert point[GAPS].isna().all() and point["tpot_ms_p50"] > 100 and point["ttft_ms_p50"] > 100
    assert point["warnings"] == "events read late"


def test_one_session_read_late_leaves_the_others_gaps(tmp_path: Path) -> None:
    tables = collected(
        tmp_path, Plan(columns={"late_chunks": np.full(60, 1)}), Plan(columns={"late_chunks": np.zeros(60)})
    )
    assert tables.points.iloc[0]["stamps_shared"] == pytest.approx(60 / 840)
    assert tables.sessions["itl_ms_p50"].isna().tolist() == [True, False]
    assert tables.points[GAPS].isna().all(axis=None)
    assert set(tables.distributions["latency"]) == {"ttft"}


@pytest.mark.parametrize("events", [[1.0] * 8, [1.0 + 0.00005 * n for n in range(8)], [1.0]])
def test_answers_held_back_have_neither_gaps_nor_a_time_per_token(tmp_path: Path, events: list[float]) -> None:
    first_and_last = {"first_token_s": 50 + events[0], "last_token_s": 50 + events[-1]}
    sent = {"sent_s": np.full(60, 50.0), "end_s": np.full(60, 51.1)}
    columns = {"late_chunks": np.zeros(60), "chunk_offsets_s": [events] * 60, "output_tokens": np.full(60, 8)}
    point = row(tmp_path, Plan(columns=columns | sent | {name: np.full(60, t) for name, t in first_and_last.items()}))
    assert point[[*GAPS, "tpot_ms_p50"]].isna().all() and point["ttft_ms_p50"] == pytest.approx(1000)
    assert point["warnings"] == "answers held back"


@pytest.mark.parametrize(("requests", "sessions"), [(24, 2), (48, 1), (240, 1), (8, 2)])
@pytest.mark.parametrize(("turnaround_s", "bound"), [(0.03, True), (0.015, False)])
def test_the_client_is_judged_alike_by_few_requests_and_many(
    tmp_path: Path, requests: int, sessions: int, turnaround_s: float, bound: bool
) -> None:
    plan = Plan(requests=requests, turnaround_s=turnaround_s, client_share=0.1)
    point = row(tmp_path, *[plan] * sessions)
    assert point["turnaround_ms_mean"] == pytest.approx(1e3 * turnaround_s)
    assert point["client_bound"] == bound


@pytest.mark.parametrize(
    "plan", [Plan(), Plan(requests=4, client_share=0.1)], ids=["not calibrated", "one request a thread"]
)
def test_a_client_that_cannot_be_judged_is_unknown(tmp_path: Path, plan: Plan) -> None:
    assert row(tmp_path, plan)["client_bound"] is None
