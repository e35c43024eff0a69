"""The page's figure of start-ups, from session records."""

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from data.report.session import START_S, write_session
from data.report.synthetic import sweep
from helpers.plots import titles
from servegrid.report.page.start_up import MAX_SERVERS, start_up_plots
from servegrid.report.settings import Settings
from servegrid.results.points import prepare_points

Plot = dict[str, Any]
SETTINGS = Settings("A sweep")


def started(folder: Path, servers: dict[str, list[float]]) -> pd.DataFrame:
    """Sessions of servers that were ready after so many seconds, their port open after half of them; and their points."""
    for name, seconds in servers.items():
        for rep, ready_s in enumerate(seconds, 1):
            path = write_session(folder / name / f"rep{rep}") / "session.json"
            session = json.loads(path.read_text())
            launched_s = session["launches"][0]["start_up"]["launched_s"]
            after = {"listening_s": launched_s + ready_s / 2, "ready_s": launched_s + ready_s}
            session["launches"][0]["start_up"] |= after
            path.write_text(json.dumps(session))
    points = sweep(engine=list(servers), threads=[1, 4])
    means = points["engine"].map(lambda name: sum(servers[name]) / len(servers[name]))
    return prepare_points(points.assign(server_id=points["engine"], startup_s=means), SETTINGS.all_axes)


def bars(plot: Plot) -> dict[str, dict[str, float]]:
    return {trace["name"]: dict(zip(trace["y"], trace["x"], strict=True)) for trace in plot["data"]}


def test_a_start_up_is_broken_into_the_timelines_phases(tmp_path: Path) -> None:
    (plot,) = start_up_plots(started(tmp_path, {"vllm": [1.0, 3.0], "llamacpp": [0.5]}), tmp_path, SETTINGS)
    seconds_by_phase = bars(plot)
    assert seconds_by_phase["launch to open port"] == {"1: vllm": pytest.approx(1), "3: llamacpp": pytest.approx(0.25)}
    assert seconds_by_phase["open port to ready"] == {"1: vllm": pytest.approx(1), "3: llamacpp": pytest.approx(0.25)}
    assert seconds_by_phase["warm-up"] == {"1: vllm": pytest.approx(0.8), "3: llamacpp": pytest.approx(0.8)}
    assert list(seconds_by_phase["launch to open port"]) == ["1: vllm", "3: llamacpp"], "the slowest first"
    assert titles(plot)[0] == "seconds since launch" and plot["data"][0]["customdata"] == [1, 3]


def test_a_start_ups_doubt_is_the_range_over_its_launches(tmp_path: Path) -> None:
    (plot,) = start_up_plots(started(tmp_path, {"vllm": [1.0, 3.0], "llamacpp": [0.5]}), tmp_path, SETTINGS)
    ready = plot["data"][-1]
    assert ready["x"] == pytest.approx([2, 0.5])
    assert ready["error_x"]["array"] == [pytest.approx(1), None]
    assert ready["error_x"]["arrayminus"] == [pytest.approx(1), None]


def test_a_server_is_named_by_what_tells_those_that_started_apart(tmp_path: Path) -> None:
    rows = started(tmp_path, {"vllm": [1.0], "llamacpp": [0.5]})
    failed = rows.iloc[:1].assign(server_id="other", quantization="awq", startup_s=math.nan, status="failed")
    (plot,) = start_up_plots(pd.concat([rows, failed], ignore_index=True), tmp_path, SETTINGS)
    assert plot["data"][0]["y"] == ["1: vllm", "3: llamacpp"]


def test_servers_of_one_name_have_bars_of_their_own(tmp_path: Path) -> None:
    """Bars of one category would be added up. `2` and `ngram:2` are one server here, so speculation tells nothing of it."""
    rows = started(tmp_path, {"a": [1.0], "b": [2.0]}).assign(engine="llamacpp")
    rows = pd.concat([rows, rows.iloc[:1].assign(speculation="2")], ignore_index=True)
    (plot,) = start_up_plots(rows, tmp_path, SETTINGS)
    assert len(set(plot["data"][0]["y"])) == 2 and max(plot["data"][-1]["x"]) == pytest.approx(2)


@pytest.mark.slow
def test_only_the_slowest_servers_are_shown(tmp_path: Path) -> None:
    rows = started(tmp_path, {f"e{n}": [1 + n / 100] for n in range(MAX_SERVERS + 2)})
    (plot,) = start_up_plots(rows, tmp_path, SETTINGS)
    assert len(plot["data"][0]["y"]) == MAX_SERVERS and not any("e0" in name.split() for name in plot["data"][0]["y"])
    assert f"Shown: the {MAX_SERVERS} slowest of {MAX_SERVERS + 2} servers." in plot["note"]


def test_servers_without_a_readable_record_are_left_out(tmp_path: Path) -> None:
    rows = started(tmp_path, {"vllm": [1.0], "llamacpp": [0.5]})
    (tmp_path / "vllm" / "rep1" / "session.json").write_text("{")
    (plot,) = start_up_plots(rows, tmp_path, SETTINGS)
    assert [name.split()[-1] for name in plot["data"][0]["y"]] == ["llamacpp"]
    assert start_up_plots(rows, tmp_path / "elsewhere", SETTINGS) == []
    assert start_up_plots(rows.assign(startup_s=math.nan), tmp_path, SETTINGS) == []


def test_the_axis_begins_at_the_launch(tmp_path: Path) -> None:
    rows = started(tmp_path, {"vllm": [1.0]})
    (plot,) = start_up_plots(rows, tmp_path, SETTINGS)
    assert max(plot["data"][-1]["x"]) < START_S, "seconds since the launch, not of the host's clock"
