"""Whatever happens when: no column says more than what can have happened."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from data.results import made_grid, write_results
from servegrid.collect.aggregate import aggregate_loads
from servegrid.collect.measured_load import MeasuredLoad
from servegrid.metrics.request_metrics import Requests
from servegrid.records.read import read_record
from servegrid.records.schema import REQUESTS
from servegrid.results import columns

THREADS = 4
ROUNDING = 1e-6
INSTANTS = st.sampled_from([0.0, 0.001, 0.01, 0.1, 0.5, 1.0, 7.0])
ARRIVALS = st.lists(st.tuples(INSTANTS, st.integers(1, 6), st.sampled_from([1, 1, 5])), min_size=1, max_size=5)
"""Of an answer: seconds since the arrival before, or the send, the tokens of each of its events, and their number."""
EVENTS = ARRIVALS.map(
    lambda found: [(0.0 if place else gap, tokens) for gap, tokens, events in found for place in range(events)]
)
"""Of an answer: seconds since the event before, or the send, and the tokens in it."""
WAITS = st.sampled_from([0.0, 0.001, 0.01, 0.03])
STATUSES = st.sampled_from(["ok", "ok", "ok", "ok", "short", "error", "rejected"])
EXCHANGES = st.lists(st.tuples(EVENTS, STATUSES, INSTANTS, st.booleans()), min_size=1, max_size=40)
"""Of a load: answers, how they ended, seconds until the thread's next send, and whether the server counts tokens by event."""


def requests(exchanges: list[tuple[list[tuple[float, int]], str, float, bool]]) -> pa.Table:
    """A closed loop of THREADS threads: whichever is free first sends the next request."""
    free_s, rows = [1000.0] * THREADS, []
    for number, (events, status, pause_s, is_told) in enumerate(exchanges):
        thread = int(np.argmin(free_s))
        offsets = np.cumsum([gap for gap, _ in events])
        so_far = np.cumsum([tokens for _, tokens in events]).tolist()
        sent_s, end_s = free_s[thread], free_s[thread] + float(offsets[-1])
        free_s[thread] = end_s + pause_s
        rows.append(
            dict.fromkeys(REQUESTS.names)
            | {
                "request_id": f"r{number}",
                "prompt_id": f"p{number}",
                "thread": thread,
                "status": status,
                "sent_s": sent_s,
            }
            | {
                "first_token_s": sent_s + float(offsets[0]),
                "last_token_s": end_s,
                "end_s": end_s,
                "tokens_from": "usage",
            }
            | {"chunk_offsets_s": offsets.tolist(), "chunk_tokens": so_far if is_told else None, "prompt_tokens": 9}
            | {"bytes_received": 0, "output_tokens": so_far[-1], "max_tokens": so_far[-1], "text_sha256": "a"}
        )
    return pa.Table.from_pylist(rows, schema=REQUESTS)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> MeasuredLoad:
    """The load of a made-up sweep."""
    results = tmp_path_factory.mktemp("results")
    write_results(made_grid(repeats=1), results)
    [path] = results.glob("sessions/*/*/loads/*")
    return MeasuredLoad(path, read_record(path.parents[1] / "session.json"), read_record(path / "load.json"))


def row_of(measured: MeasuredLoad, table: pa.Table) -> dict[str, Any]:
    """What is known of a point whose only session has these requests."""
    load = replace(measured)
    load.__dict__["requests"] = Requests(table)  # in place of those on disk
    return {
        name: value for name, value in aggregate_loads([load], 1.0, {"ttft_ms_p99": 100.0}).items() if value is not None
    }


@given(exchanges=EXCHANGES)
def test_no_column_exceeds_what_can_have_happened(measured: MeasuredLoad, exchanges: list[Any]) -> None:
    table = requests(exchanges)
    row, frame = row_of(measured, table), table.to_pandas()
    ok = frame[frame["status"] == "ok"]
    assert len(ok) or not {"output_tokens_per_s", "steady_s", "ttft_ms_p50"} & row.keys()
    assert_counts(row, frame, ok)
    assert_steady_state(row, frame, ok)
    assert_latencies(row, ok)
    assert_itl(row, ok)
    shares = [column.name for column in columns.ALL_COLUMNS if "(0 to 1)" in column.header and column.name in row]
    assert all(0 <= row[name] <= 1 for name in shares)


@given(step=st.integers(1, 8), steps=st.integers(1, 5), waits=st.lists(WAITS, min_size=12, max_size=40))
@example(
    step=8, steps=1, waits=[0.0, 0.001, 0.001, 0.001, *[0.0] * 8]
)  # three threads' steps begin just before the steady state
def test_no_server_of_even_steps_is_faster_than_its_steps(
    measured: MeasuredLoad, step: int, steps: int, waits: list[float]
) -> None:
    later = [(0.0 if place % step else 0.1, 1) for place in range(1, step * steps)]
    table = requests([([(0.1 + wait_s, 1), *later], "ok", 0.0, False) for wait_s in waits])
    assert_steady_state(row_of(measured, table), table.to_pandas(), table.to_pandas())


def assert_counts(row: dict[str, Any], table: pd.DataFrame, ok: pd.DataFrame) -> None:
    assert row["requests_ok"] + row["requests_short"] + row["requests_failed"] == len(table)
    span, tokens = table["end_s"].max() - table["sent_s"].min(), ok["output_tokens"].sum()
    assert row["time_s"] <= span * (1 + ROUNDING) and row.get("output_tokens", 0) == tokens
    most = {"requests_per_s": len(ok), "goodput_requests_per_s": len(ok), "output_tokens_per_s": tokens}
    assert all(row[rate] * span <= amount * (1 + ROUNDING) for rate, amount in most.items() if rate in row)
    assert row["tail_s"] <= (table["end_s"] - table["sent_s"]).max() * (1 + ROUNDING)
    assert row.get("in_flight_mean", 0) <= min(THREADS, len(table)) * (1 + ROUNDING)


def assert_steady_state(row: dict[str, Any], table: pd.DataFrame, ok: pd.DataFrame) -> None:
    if "steady_s" not in row:
        assert "steady_output_tokens_per_s" not in row
        return
    begin, end, took_s = ok["end_s"].min(), table["sent_s"].max(), ok["end_s"] - ok["sent_s"]
    assert row["steady_s"] == pytest.approx(end - begin) and row["steady_s"] >= 2 * took_s.median() * (1 - ROUNDING)
    assert (ok["end_s"] < end).sum() >= 2 * max(
        ((table["sent_s"] <= t) & (table["end_s"] > t)).sum() for t in table["sent_s"]
    )
    rate = row.get("steady_output_tokens_per_s", 0)
    assert rate * row["steady_s"] <= ok["output_tokens"].sum() * (1 + ROUNDING), "no more than all tokens"
    fastest = max(tokens / max(gap, 1e-6) for gap, tokens in arrivals(ok))
    assert rate <= THREADS * fastest * (1 + ROUNDING), "no more than every thread at the fastest pace of any"


def assert_itl(row: dict[str, Any], ok: pd.DataFrame) -> None:
    if "itl_ms_p50" in row:
        fastest_ms = 1e3 * min(gap / max(tokens, 1) for gap, tokens in arrivals(ok))
        assert row["itl_ms_p50"] >= fastest_ms * (1 - ROUNDING), "no less than of the fastest arrival"


def arrivals(ok: pd.DataFrame) -> list[tuple[float, int]]:
    """Seconds since the arrival before, or the send, and tokens of each arrival: all events of an answer at one instant."""
    found: list[tuple[float, int]] = []
    for told, offsets in zip(ok["chunk_tokens"], ok["chunk_offsets_s"], strict=True):
        counts = np.asarray(told if told is not None else range(1, len(offsets) + 1))
        is_last = np.append(np.diff(offsets) > 0, True)
        gaps_s, tokens = np.diff(offsets[is_last], prepend=0.0), np.diff(counts[is_last], prepend=0)
        found += zip(gaps_s.tolist(), tokens.tolist(), strict=True)
    return found


def assert_latencies(row: dict[str, Any], ok: pd.DataFrame) -> None:
    longest = 1e3 * (ok["end_s"] - ok["sent_s"]).max() * (1 + ROUNDING)
    for latency in columns.LATENCIES:
        names = [columns.latency_column(latency, percent) for percent in columns.PERCENTILES]
        known = [row[name] for name in names if name in row]
        assert known == sorted(known) and all(0 <= value <= longest for value in known)
    for percent in columns.PERCENTILES:
        whole = row.get(columns.latency_column("e2e", percent), np.inf) * (1 + ROUNDING)
        assert row.get(columns.latency_column("ttft", percent), 0) <= whole
