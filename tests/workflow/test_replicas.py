"""Several real servers behind a real load balancer: one load, divided; one death, told; nothing left behind."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest

from servegrid.launch.balancer import why_missing
from workflow.project import Project, jobs_of, lives, until

Make = Callable[..., Project]
KINDS = ("nginx", "haproxy")
LAYOUTS = [(1, 1, "nginx"), (2, 1, "nginx"), (2, 1, "haproxy"), (1, 2, "nginx"), (1, 2, "haproxy")]
GRID = {
    "threads": [4],
    "replicas": [1, 2],
    "sharing": [1, 2],
    "balancer": list(KINDS),
    "exclude": [{"replicas": 1, "sharing": 1, "balancer": "haproxy"}, {"replicas": 2, "sharing": 2}],
}
LONG = {"prompts": {"count": 40, "output_tokens": 128}, "grid": {"threads": [4], "replicas": [2]}}
needs = pytest.mark.skipif(any(map(why_missing, KINDS)), reason=str([why_missing(kind) for kind in KINDS]))


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("replicas") / "clone"
    folder.mkdir()
    clone = Project(folder, {"grid": GRID, "prompts": {"count": 16, "output_tokens": 16}, "server": {"cpu_threads": 1}})
    clone.measure()
    return clone


def sessions(clone: Project) -> dict[tuple[int, int, str], tuple[Path, dict[str, Any]]]:
    """Folder and record of every session, by replicas, sharing and balancer."""
    sessions_by_layout = {}
    for path in clone.folder.glob("results/sessions/*/rep1/session.json"):
        record = json.loads(path.read_text())
        spec = record["server"]
        sessions_by_layout[spec["replicas"], spec["sharing"], spec["balancer"] or "nginx"] = (path.parent, record)
    return sessions_by_layout


def texts(folder: Path) -> dict[str, str]:
    (path,) = folder.glob("loads/*/texts.parquet")
    table = pd.read_parquet(path)
    return dict(zip(table["prompt_id"], table["text"], strict=True))


@needs
def test_every_answer_is_exact_and_the_same_as_one_servers(swept: Project) -> None:
    points = swept.points()
    assert len(points) == len(LAYOUTS) and set(points["status"]) == {"ok"}, list(points["reason"])
    assert set(points["requests_ok"]) == {16} and set(points["output_tokens"]) == {16 * 16}
    assert list(points["copies"]) == [
        int(r) * int(s) for r, s in zip(points["replicas"], points["sharing"], strict=True)
    ]
    by_layout = sessions(swept)
    assert set(by_layout) == set(LAYOUTS)
    alone = texts(by_layout[1, 1, "nginx"][0])
    assert all(texts(folder) == alone for folder, _ in by_layout.values())


@needs
@pytest.mark.parametrize("layout", LAYOUTS[1:])
def test_both_copies_worked(swept: Project, layout: tuple[int, int, str]) -> None:
    folder, record = sessions(swept)[layout]
    (launch,) = record["launches"]
    series = pd.read_parquet(folder / "server_metrics.parquet")
    series = series[series["name"] == "llamacpp:tokens_predicted_total"]
    made = series.groupby("labels")["value"].max()
    assert list(made.index) == ['{"copy":"1"}', '{"copy":"2"}']
    assert (made >= 16 * 16 / 4).all(), made
    assert series.groupby("t_s")["labels"].nunique().eq(2).all(), "a sample is of all copies at one instant"
    telemetry = pd.read_parquet(folder / "telemetry.parquet")
    assert telemetry.loc[telemetry["device"] == "server", "processes"].max() == 2
    assert [copy["ports"] for copy in launch["copies"]] == [launch["ports"], launch["copies"][1]["ports"]]
    assert launch["balancer"]["kind"] == layout[2] and "127.0.0.1" in launch["balancer"]["config"]
    assert {path.name for path in folder.glob("server*.log")} == {"server.log", "server-1.log", "server-2.log"}


@needs
@pytest.mark.parametrize("layout", LAYOUTS[1:])
def test_answers_are_not_gathered_on_the_way(swept: Project, layout: tuple[int, int, str]) -> None:
    """Arrivals apart from each other, but for those that a busy machine reads together; a whole answer gathered is one of many."""

    def arrivals(which: tuple[int, int, str]) -> int:
        (path,) = sessions(swept)[which][0].glob("loads/*/requests.parquet")
        return sum(len(set(offsets)) for offsets in pd.read_parquet(path)["chunk_offsets_s"])

    assert arrivals(layout) >= 0.2 * arrivals(LAYOUTS[0])


def children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


def name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return ""


def under_load(clone: Project) -> bool:
    return "threads 4: " in (clone.folder / "run.log").read_text()


@needs
@pytest.mark.parametrize("kind", KINDS)
def test_one_copy_dies_under_load(project: Make, kind: str) -> None:
    clone = project({**LONG, "server": {"balancer": kind, "cpu_threads": 1}})
    clone.run("--until", "engine_environment", "gguf", "prompts")
    with clone.running("results/points.csv") as process:
        until(lambda: under_load(clone))
        victim = second_copy(clone)
        os.kill(victim, signal.SIGKILL)
        process.wait(timeout=200)
    points = clone.points()
    assert list(points["status"]) == ["failed"]
    assert "died under this load: copy 2 of 2: killed by signal 9" in points["reason"][0]
    (log,) = clone.folder.glob("results/sessions/*/rep1/server.log")
    assert "copy 2 of 2: " in log.read_text(), "the end of its log stands in the log of all"
    assert not clone.servers()


def second_copy(clone: Project) -> int:
    (path,) = clone.folder.glob("results/sessions/*/rep1/session.json")
    port = str(json.loads(path.read_text())["launches"][0]["copies"][1]["ports"][0])
    processes = [
        process
        for process in clone.servers()
        if port in process.cmdline() and not any("guard.py" in word for word in process.cmdline())
    ]
    assert len(processes) == 1
    return processes[0].pid


@needs
@pytest.mark.parametrize("kind", KINDS)
def test_a_job_that_is_killed_leaves_neither_copies_nor_balancer(project: Make, kind: str) -> None:
    clone = project({**LONG, "server": {"balancer": kind, "cpu_threads": 1}})
    clone.run("--until", "engine_environment", "gguf", "prompts")
    with clone.running("results/points.csv") as process:
        until(lambda: under_load(clone))
        jobs = jobs_of(process)
        started = {child for job in jobs for child in children(job) if lives(child)}
        assert {kind, "python"} <= {name(process).rstrip("0123456789.") for process in started}
        for job in jobs:
            job.kill()
        process.kill()
        until(lambda: not any(map(lives, started)), 60)


@needs
def test_a_copy_that_cannot_start(project: Make) -> None:
    clone = project(
        {"grid": {"threads": [1], "replicas": [2]}, "engines": {"llamacpp": {"options": {"no-such-flag": 1}}}}
    )
    clone.measure()
    points = clone.points()
    assert list(points["status"]) == ["failed"]
    assert "ended before all were ready: copy 1 of 2: exit status" in points["reason"][0]
