"""What counts as measured, and what Snakemake is asked for."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from test_grid import DEFAULT, grid

from servegrid.docker_runtime.record import ImageRecord, record_path
from servegrid.files import REPOSITORY, write_json
from servegrid.grid import Session
from servegrid.state import load_folder, missing, session_folder
from servegrid.sweep import Sweep


def settle(results: Path, session: Session, outcomes: list[str], status: str = "ok") -> None:
    """Write what a session leaves: its record, and a load.json for the first loads."""
    folder = session_folder(results, session)
    write_json(folder / "session.json", {"status": status, "launches": [{}]})
    for load, outcome in zip(session.loads, outcomes, strict=False):
        write_json(load_folder(folder, load) / "load.json", {"status": outcome})


@pytest.fixture
def session() -> Session:
    return grid().sessions[0]


def names(session: Session, results: Path, *retry: str) -> list[Any]:
    return [load.threads for load in missing(session, results, retry)]


def test_nothing_is_measured_yet(session: Session, tmp_path: Path) -> None:
    assert names(session, tmp_path) == [1, 2, 4, 8]


def test_finished_loads_are_settled_whatever_came_of_them(session: Session, tmp_path: Path) -> None:
    settle(tmp_path, session, ["ok", "failed", "partial"], status="interrupted")
    assert names(session, tmp_path) == [8]
    assert names(session, tmp_path, "failed") == [2, 8]
    assert names(session, tmp_path, "failed", "partial") == [2, 4, 8]


def test_a_failed_start_settles_all_loads_until_asked(session: Session, tmp_path: Path) -> None:
    settle(tmp_path, session, ["ok"], status="failed")
    assert names(session, tmp_path) == []
    assert names(session, tmp_path, "failed") == [2, 4, 8]


def test_a_half_written_folder_is_not_settled(session: Session, tmp_path: Path) -> None:
    (load_folder(session_folder(tmp_path, session), session.loads[0])).mkdir(parents=True)
    assert names(session, tmp_path) == [1, 2, 4, 8]


def test_collect_waits_for_marks_of_what_is_missing_alone(tmp_path: Path) -> None:
    raw = DEFAULT | {"pathvars": {"results": str(tmp_path)}}
    first = Sweep(raw, REPOSITORY)
    done = first.grid.sessions[3]
    settle(tmp_path, done, ["ok"] * 4)
    inputs = Sweep(raw, REPOSITORY).session_inputs(None)
    assert inputs[3] == str(session_folder(tmp_path, done) / "session.json")
    assert all("/measured/" in path and not Path(path).exists() for path in inputs[:3] + inputs[4:])


def test_a_mark_is_never_there_already(tmp_path: Path) -> None:
    raw = DEFAULT | {"pathvars": {"results": str(tmp_path)}}
    sweep = Sweep(raw, REPOSITORY)
    before = sweep.session_inputs(None)[0]
    settle(tmp_path, sweep.grid.sessions[0], ["ok", "failed"])
    assert Sweep(raw, REPOSITORY).session_inputs(None)[0] != before
    settle(tmp_path, sweep.grid.sessions[0], ["ok", "failed", "ok", "ok"])
    again = Sweep(raw | {"retry": ["failed"]}, REPOSITORY).session_inputs(None)[0]
    assert "/measured/" in again and again != before


def test_collect_is_asked_for_while_something_is_missing(tmp_path: Path) -> None:
    raw = DEFAULT | {"pathvars": {"results": str(tmp_path)}}
    (tmp_path / "collected.txt").write_text("abc\n")
    sweep = Sweep(raw, REPOSITORY)
    assert sweep.collect_token != "abc"
    for session in sweep.grid.sessions:
        settle(tmp_path, session, ["ok", "failed", "ok", "ok"])
    assert Sweep(raw, REPOSITORY).collect_token == "abc"
    assert Sweep(raw | {"retry": ["failed"]}, REPOSITORY).collect_token != "abc"


def test_an_image_that_could_not_be_had_is_looked_up_anew_by_the_session_that_needs_it(tmp_path: Path) -> None:
    engine = {"engine": "llamacpp", "runtime": "docker", "image": "an/image:1"}
    raw = DEFAULT | {"engines": {"llamacpp": engine}, "pathvars": {"resources": str(tmp_path)}}
    raw["grid"] = DEFAULT["grid"] | {"engine": ["llamacpp"]}
    sweep = Sweep(raw, REPOSITORY)
    record = tmp_path / record_path("an/image:1")
    server, rep = sweep.grid.sessions[0].id.split("/rep")
    wildcards = SimpleNamespace(server=server, rep=rep)
    ImageRecord("an/image:1", id="sha256:0").write(record)
    assert str(record) in sweep.session_parts(wildcards) and record.exists()
    ImageRecord("an/image:1", error="no such host").write(record)
    assert str(record) in sweep.session_parts(wildcards) and not record.exists()
    assert sweep.image_reference(SimpleNamespace(image=record.stem)) == "an/image:1"
