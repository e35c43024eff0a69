"""A whole sweep over two real engines, from config to report, and what it leaves on disk."""

import json
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from servegrid.records.schema import REQUESTS, SERVER_METRICS, TELEMETRY
from servegrid.results.columns import POINT_COLUMNS
from workflow.project import Project

AXES = ["engine", "gpu", "threads", "speculation", "quantization"]
GRID = {
    "engine": ["llamacpp", "ctranslate2"],
    "threads": [1, 4],
    "speculation": ["none", 2, 8],
    "quantization": ["none", "int8"],
    "exclude": [{"speculation": [2, 8], "quantization": "int8", "engine": "llamacpp"}],
    "include": [
        {"engine": "llamacpp", "speculation": ["draft:2", "draft:8"], "threads": 1, "quantization": "none"},
    ],
}


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("sweep") / "clone"
    folder.mkdir()
    clone = Project(
        folder, {"grid": GRID, "prompts": {"count": 10, "input_tokens": 24, "output_tokens": 24}, "repeats": 2}
    )
    clone.run()
    return clone


def test_every_point_is_a_row(swept: Project) -> None:
    points = swept.points()
    assert list(points.columns) == [*AXES, *POINT_COLUMNS]
    assert len(points) == 2 * 2 * 3 * 2 - 4 + 2
    unsupported = points[points["status"] == "unsupported"]
    assert set(unsupported["engine"]) == {"ctranslate2"}
    assert set(unsupported["reason"]) == {"CTranslate2 has no speculative decoding"}
    assert unsupported["time_s"].isna().all()
    measured = points[points["status"] != "unsupported"]
    assert set(measured["status"]) == {"ok"}, measured[["engine", "status", "reason"]]
    assert set(measured["sessions"]) == {2}


def test_csv_and_parquet_are_the_same_table(swept: Project) -> None:
    tables = pd.read_parquet(swept.folder / "results" / "points.parquet"), swept.points()
    for table in tables:  # unknown is None in the one and NaN in the other
        table["client_bound"] = table["client_bound"].astype("boolean")
    pd.testing.assert_frame_equal(*tables, check_dtype=False)


def test_numbers_of_a_measured_point(swept: Project) -> None:
    points = swept.points()
    measured = points[points["status"] == "ok"]
    assert set(measured["requests_ok"]) == {10} and set(measured["requests_failed"]) == {0}
    assert set(measured["output_tokens"]) == {240}, "exact output lengths"
    assert set(measured["tokens_from"]) == {"usage"}
    assert (measured["time_s_low"] <= measured["time_s"]).all() and (
        measured["time_s"] <= measured["time_s_high"]
    ).all()
    sessions = pd.read_parquet(swept.folder / "results" / "sessions.parquet").query("status == 'ok'")
    assert len(sessions) == 2 * len(measured)
    rate = sessions["output_tokens"] / sessions["time_s"]
    assert (abs(rate / sessions["output_tokens_per_s"] - 1) < 1e-9).all()
    # the mean of rates is no less than the rate in the mean time
    assert (measured["output_tokens"] / measured["time_s"] <= measured["output_tokens_per_s"] * (1 + 1e-9)).all()
    for column in ("ttft_ms_p50", "e2e_ms_p50", "startup_s", "server_memory_gib_max", "client_cpu_s"):
        assert (measured[column] > 0).all(), column
    assert measured["ttft_ms_p99"].isna().all(), "20 requests are not enough for a 99th percentile"
    assert measured["energy_j"].isna().all() and measured["vram_used_gib"].isna().all(), "unknown is empty, not 0"


def test_prompt_tokens_are_the_same_on_every_engine(swept: Project) -> None:
    assert swept.points()["prompt_tokens"].dropna().nunique() == 1


def test_acceptance_is_real_and_falls_with_the_length(swept: Project) -> None:
    rates = swept.points().groupby("speculation")["acceptance_rate"].mean()
    assert pd.isna(rates["none"])
    for short, long in (("2", "8"), ("draft:2", "draft:8")):
        assert 0 < rates[long] < rates[short] < 1, rates


def test_engines_agree_at_full_precision(swept: Project) -> None:
    points = swept.points()
    plain = points[(points["quantization"] == "none") & (points["speculation"] == "none")]
    assert (plain["agreement"] >= 0.9).all(), plain[["engine", "threads", "agreement"]]
    assert plain["agreement_floor"].iloc[0] == 1.0


def test_the_report_and_its_parts(swept: Project) -> None:
    reports = swept.folder / "reports"
    article = pd.read_csv(reports / "tables" / "article.csv")
    assert list(article.columns)[:7] == [
        "No",
        "GPU",
        "vRAM (used/total GiB)",
        "engine",
        "threads",
        "time (s)",
        "speculation",
    ]
    assert len(article) == len(swept.points())
    distributions = pd.read_parquet(swept.folder / "results" / "distributions.parquet")
    knows_itl = swept.points()["itl_ms_p50"].notna().any()  # a busy machine may read every load late
    assert set(distributions["latency"]) == {"ttft"} | ({"itl"} if knows_itl else set())
    assert set(distributions["engine"]) == set(swept.points()["engine"])
    for name in ("time_threads", "speculation", "engines", "latencies", "quantization", "sameness"):
        assert (reports / "figures" / f"{name}.svg").read_text().startswith("<?xml")
        assert (reports / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    servers = {path.parent.name for path in swept.folder.glob("results/sessions/*/rep1")}
    assert {path.parent.name for path in (reports / "timelines").glob("*/rep1.svg")} == servers
    assert "CTranslate2 has no speculative decoding" in (reports / "tables" / "article.html").read_text()
    assert (reports / "report.html").stat().st_size > 1e6
    assert "22 points: 14 ok, 8 unsupported" in (reports / "verdict.txt").read_text()


def test_raw_records(swept: Project) -> None:
    sessions = sorted(swept.folder.glob("results/sessions/*/rep*"))
    assert len(sessions) == (4 + 2 + 2) * 2
    for folder in sessions:
        session = json.loads((folder / "session.json").read_text())
        (launch,) = session["launches"]
        start = launch["start_up"]
        assert session["status"] == launch["status"] == "ok"
        assert (
            start["launched_s"] < start["listening_s"] <= start["ready_s"] < launch["stopping_s"] < launch["stopped_s"]
        )
        assert launch["telemetry"]["error"] is None
        assert (folder / "server.log").stat().st_size
        assert_records(folder, start["launched_s"], launch["stopped_s"])


def assert_records(folder: Path, launched_s: float, stopped_s: float) -> None:
    telemetry = pq.read_table(folder / "telemetry.parquet")
    assert telemetry.schema.names == TELEMETRY.names
    frame = telemetry.to_pandas()
    assert frame["t_s"].min() < launched_s and frame["t_s"].max() > stopped_s, "from before launch to after stop"
    assert {"host", "server"} <= set(frame["device"])
    series = pq.read_table(folder / "server_metrics.parquet")
    assert series.schema.names == SERVER_METRICS.names and series.num_rows
    for load in (folder / "loads").iterdir():
        record = json.loads((load / "load.json").read_text())
        requests = pq.read_table(load / "requests.parquet")
        assert requests.schema.equals(REQUESTS)
        assert requests.num_rows == 10 and set(requests["status"].to_pylist()) == {"ok"}
        rows = requests.to_pandas()
        assert record["start_s"] <= rows["sent_s"].min() and rows["end_s"].max() <= record["end_s"]
        in_flight = [((rows["sent_s"] <= t) & (rows["end_s"] > t)).sum() for t in rows["sent_s"]]
        assert max(in_flight) == record["definition"]["threads"]


def test_plan_says_what_is_there_and_what_is_skipped(swept: Project) -> None:
    text = swept.run("plan", "--config", "commands=true")
    assert "22 points, 8 of them skipped; 8 servers x 2 sessions" in text
    assert "8 points unsupported: CTranslate2 has no speculative decoding" in text
    assert "Everything is measured" in text
    assert "--spec-ngram-simple-size-m 8" in text and "--compute-type int8" in text


def test_doctor_finds_this_host_fit(swept: Project) -> None:
    text = swept.run("doctor")
    assert "MISS" not in text
    for subject in (
        "disk for results",
        "ports",
        "engine llamacpp",
        "engine ctranslate2",
        "model",
        "device cpu",
    ):
        assert f"{subject}:" in text
    assert "docker:" not in text, "no engine of this config needs it"
