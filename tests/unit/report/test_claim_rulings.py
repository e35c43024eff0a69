"""The verdicts as files."""

import csv
import json
from pathlib import Path

import pytest
import yaml

import claims as script
from data.report.planted import planted
from helpers.evidence import evidence_of
from isolation import REPOSITORY
from servegrid.config.judging import Claim
from servegrid.report.evidence import MEASURED
from servegrid.report.format import DASH
from servegrid.report.judge.claim_rulings import as_data, as_table, estimate_text
from servegrid.report.judge.claims import judge_claim
from servegrid.report.page.sections import claim_row
from servegrid.report.settings import Settings
from servegrid.report.tables.write import to_csv
from servegrid.stats.intervals import Estimate
from servegrid.util.files import write_json


def test_the_verdicts_are_written_in_every_form_with_the_row_that_decides(tmp_path: Path) -> None:
    config = yaml.safe_load((REPOSITORY / "config" / "config.yaml").read_text())
    article = yaml.safe_load((REPOSITORY / "config" / "article.yaml").read_text())
    config["report"]["published"] = [str(REPOSITORY / "config" / "published" / "article.csv")]
    hostile = {"says": "<script>alert(1)</script> | =cmd()", "better": {"threads": 4}, "than": {"threads": 1}}
    write_json(tmp_path / "config.json", config | {"claims": [*article["claims"], hostile]})
    points, sessions = planted({"threads": [1, 4]}, lambda place: 10.0 / place["threads"], sessions=3)
    points.to_parquet(tmp_path / "points.parquet")
    sessions.to_parquet(tmp_path / "sessions.parquet")
    paths = [f"--{name}={tmp_path / name}.parquet" for name in ("points", "sessions")]
    script.main([*paths, f"--config={tmp_path / 'config.json'}", f"--out={tmp_path}"])

    data = json.loads((tmp_path / "claims.json").read_text())
    assert len(data) == 14 * 2
    threads_entry = next(entry for entry in data if entry["source"] == "the article")
    assert threads_entry["counts"] == {"supported": 3, "contradicted": 1, "no difference shown": 0}
    assert (
        threads_entry["deciding"]["first"]["axes"]["threads"] == "256"
        and threads_entry["deciding"]["first"]["time_s"] == 568
    )
    assert threads_entry["deciding"]["effect"]["low"] is None

    with (tmp_path / "claims.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    shared_row = next(row for row in rows if "sharing one card" in row["claim"] and row["rows of"] == "the article")
    assert shared_row["second row"].startswith("2 times ") and float(shared_row["second"]) == 596
    halved_row = next(row for row in rows if "half of its memory" in row["claim"] and row["rows of"] == "the article")
    assert float(halved_row["second"]) == 707 and halved_row["verdict"] == "contradicted"
    script_row = next(row for row in rows if "script" in row["claim"] and row["rows of"] == "measured")
    assert script_row["verdict"] == "supported"
    assert (
        float(script_row["effect low (times)"])
        < float(script_row["effect (times)"])
        < float(script_row["effect high (times)"])
    )
    assert "<script>alert" not in (tmp_path / "claims.html").read_text()
    assert "<script>" not in (tmp_path / "claims.md").read_text()


def test_no_claims_make_an_empty_table_that_says_so(tmp_path: Path) -> None:
    config = yaml.safe_load((REPOSITORY / "config" / "config.yaml").read_text())
    write_json(tmp_path / "config.json", config)
    points, sessions = planted({}, sessions=2)
    points.to_parquet(tmp_path / "points.parquet")
    sessions.to_parquet(tmp_path / "sessions.parquet")
    paths = [f"--{name}={tmp_path / name}.parquet" for name in ("points", "sessions")]
    script.main([*paths, f"--config={tmp_path / 'config.json'}", f"--out={tmp_path}"])
    assert "The config states no claims." in (tmp_path / "claims.md").read_text()


def test_a_ratio_to_nothing_is_told_in_words_and_never_as_infinity() -> None:
    points, sessions = planted({"engine": ["a", "b"]}, sessions=2)
    goodput = {"goodput_requests_per_s": [4.0, 0.0]}
    claim = Claim(says="a is ahead", metric="goodput_requests_per_s", better={"engine": "a"})
    sessions = sessions.assign(goodput_requests_per_s=[4.0, 4.1, 0.0, 0.0])
    evidence = evidence_of(points.assign(**goodput), sessions, Settings())
    rulings = [judge_claim(claim, evidence, MEASURED)]
    [entry] = as_data(rulings, evidence)
    assert entry["verdict"] == "supported" and entry["deciding"]["effect"]["value"] is None
    assert entry["deciding"]["effect"]["doubt"] == "0 in every session of one, in none of the other"
    assert "inf" not in to_csv(as_table(rulings, evidence, "t"))
    assert claim_row(entry)["effect"] == ""


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (None, None, "145 tokens/s"),
        (140.0, 150.0, f"145 (140{DASH}150) tokens/s"),
        (1.27, 16_481.0, "145 (not known within a factor of 100) tokens/s"),
        (-3.0, 4.0, f"145 (-3.00{DASH}4.00) tokens/s"),
    ],
)
def test_an_interval_that_says_nothing_is_not_spelt_out(low: float | None, high: float | None, text: str) -> None:
    assert estimate_text(Estimate(145.0, low, high, "how"), "tokens/s") == text
