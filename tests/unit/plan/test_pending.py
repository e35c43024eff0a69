"""Which loads count as measured, and which inputs and targets Snakemake gets."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from helpers.grids import DEFAULT, grid
from servegrid.launch.docker.image_record import ImageRecord, record_path
from servegrid.plan.grid import Session
from servegrid.plan.pending import pending_loads
from servegrid.records.paths import load_folder, session_folder
from servegrid.sweep import Sweep
from servegrid.util.files import REPOSITORY, write_json


def settle(results: Path, session: Session, outcomes: list[str], status: str = "ok") -> None:
    """Write the files of a session: its record, and a load.json for the first loads."""
    folder = session_folder(results, session)
    write_json(folder / "session.json", {"status": status, "launches": [{}]})
    for load, outcome in zip(session.loads, outcomes, strict=False):
        write_json(load_folder(folder, load) / "load.json", {"status": outcome})


@pytest.fixture
def session() -> Session:
    return grid().sessions[0]


def names(session: Session, results: Path, *retry: str) -> list[Any]:
    return [load.threads for load in pending_loads(session, results, retry)]


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
    assert inputs[-1] == str(session_folder(tmp_path, done) / "session.json")
    assert all("/measured/" in path and not Path(path).exists() for path in inputs[:-1])
    assert inputs[:-1] == Sweep(raw, REPOSITORY).pending_marks(None)


def test_the_last_mark_of_a_settled_session_says_what_made_it(tmp_path: Path) -> None:
    raw = DEFAULT | {"pathvars": {"results": str(tmp_path)}}
    done = Sweep(raw, REPOSITORY).grid.sessions[3]
    settle(tmp_path, done, ["ok"] * 4)
    marks = session_folder(tmp_path, done) / "measured"
    marks.mkdir()
    for age_s, name in ((20, "0000000a"), (10, "0000000b"), (0, "0000000b.log")):
        (marks / name).touch()
        os.utime(marks / name, (1e9 - age_s, 1e9 - age_s))
    sweep = Sweep(raw, REPOSITORY)
    assert str(marks / "0000000b") in sweep.session_inputs(None)
    server, rep = done.id.split("/rep")
    assert sweep.session_needs(SimpleNamespace(server=server, rep=rep, missing="0000000b")) == []
    assert sweep.session_needs(SimpleNamespace(server=server, rep=rep, missing="0000000c"))


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
    assert sweep.collect_token(None) != "abc"
    assert sweep.collect_token(None) == Sweep(raw, REPOSITORY).collect_token(None), "no time in it"
    for session in sweep.grid.sessions:
        settle(tmp_path, session, ["ok", "failed", "ok", "ok"])
    token = Sweep(raw, REPOSITORY).collect_token(None)
    assert token != "abc", "tables of another version, or put back from an older copy, are made anew"
    (tmp_path / "collected.txt").write_text(f"{token}\n")
    assert Sweep(raw, REPOSITORY).collect_token(None) == token
    assert Sweep(raw | {"retry": ["failed"]}, REPOSITORY).collect_token(None) != token


def test_an_image_that_could_not_be_had_is_looked_up_anew_by_the_session_that_needs_it(tmp_path: Path) -> None:
    engine = {"engine": "llamacpp", "runtime": "docker", "image": "an/image:1"}
    raw = DEFAULT | {"engines": {"llamacpp": engine}, "pathvars": {"resources": str(tmp_path)}}
    raw["grid"] = DEFAULT["grid"] | {"engine": ["llamacpp"]}
    sweep = Sweep(raw, REPOSITORY)
    record = tmp_path / record_path("an/image:1")
    server, rep = sweep.grid.sessions[0].id.split("/rep")
    wildcards = SimpleNamespace(server=server, rep=rep, missing="00000000")
    first = [path for path in sweep.session_needs(wildcards) if "/images/" in path]
    ImageRecord("an/image:1", id="sha256:0").write(record)
    assert str(record) in sweep.session_needs(wildcards)
    ImageRecord("an/image:1", error="no such host").write(record)
    again = [path for path in sweep.session_needs(wildcards) if "/images/" in path]
    assert len({*first, *again, str(record)}) == 3 and record.exists(), "reading the Snakefile removes nothing"
    assert sweep.image_reference(SimpleNamespace(image=record.stem)) == "an/image:1"
