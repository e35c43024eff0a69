"""What the top of the page says was measured."""

from pathlib import Path

import pandas as pd

from data.report.session import write_session
from data.report.synthetic import sweep
from servegrid.report.page.build import page
from servegrid.report.page.summary import measurement_summary
from servegrid.report.result_table import ResultTable
from servegrid.report.settings import Settings
from servegrid.util.files import read_json, write_json

SETTINGS = Settings("A sweep")
CONFIG = {"model": {"source": "builtin"}, "prompts": {"count": 7, "output_tokens": 9}}


def summary(points: pd.DataFrame, folder: Path) -> dict[str, str]:
    parts = (
        fact.partition(": ") for fact in measurement_summary(ResultTable.of(points, SETTINGS).measured, CONFIG, folder)
    )
    return {name: text for name, _, text in parts}


def measured() -> pd.DataFrame:
    counted = {"requests_ok": 24.0, "requests_short": 0.0, "requests_failed": 0.0, "sessions": 2}
    counted |= {"prompt_tokens": 24.0 * 40, "output_tokens": 24.0 * 16}
    return sweep(engine=["vllm", "llamacpp"], gpu=["a"]).assign(model="tiny", host="box", driver="595", **counted)


def test_what_was_measured_is_said_from_the_points(tmp_path: Path) -> None:
    points = measured().assign(gpu_name="RTX A6000")
    points["engine_version"] = points["engine"].map({"vllm": "0.32", "llamacpp": ""})
    facts = summary(points, tmp_path)
    assert facts["Model"] == "tiny" and facts["Host"] == "box" and facts["Sessions"] == "2 of each server"
    assert facts["Requests"] == "24 a point, generated prompts, on average 40 tokens in and 16 tokens out"
    assert facts["Devices"] == "a (RTX A6000); driver 595"
    assert facts["Engines"] == "vllm (0.32); llamacpp", "an unknown version is left out"
    assert "Started" not in facts, "without records no date"


def test_host_and_dates_are_those_of_the_sessions(tmp_path: Path) -> None:
    for rep, unix_s in ((1, 86_400.0 * 365), (2, 86_400.0 * 367)):
        path = write_session(tmp_path / "s" / f"rep{rep}") / "session.json"
        session = read_json(path)
        session["launches"][0]["anchor"]["unix_s"] = unix_s
        write_json(path, session | {"host": {"name": "box", "cpu": "EPYC", "logical_cpus": 4}})
    facts = summary(measured().assign(server_id="s"), tmp_path)
    assert facts["Host"] == "box (EPYC, 4 logical CPUs)"
    assert facts["Started"] == "1971-01-01 to 1971-01-03"


def test_where_nothing_was_measured_the_plan_is_said_as_a_plan(tmp_path: Path) -> None:
    points = measured().assign(status="absent", model="", **dict.fromkeys(("requests_ok", "sessions"), None))
    facts = summary(points, tmp_path)
    assert facts["Model"] == "builtin" and facts["Sessions"] == "none measured"
    assert facts["Requests"] == "7 a point planned, generated prompts, 9 tokens out"


def test_facts_are_text_and_no_markup(tmp_path: Path) -> None:
    facts = measurement_summary(
        ResultTable.of(measured().assign(host="<b>box</b>"), SETTINGS).measured, CONFIG, tmp_path
    )
    folders = {name: tmp_path / name for name in ("sessions", "timelines", "figures")}
    text = page(ResultTable.of(measured(), SETTINGS), {"facts": facts}, folders, "{}")
    assert "<span>Host: &lt;b&gt;box&lt;/b&gt;</span>" in text
