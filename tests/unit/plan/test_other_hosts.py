"""Result folders from several hosts become one table."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helpers.grids import DEFAULT, RESOLVED
from servegrid.collect.tables import collect
from servegrid.config import ConfigError, parse_config
from servegrid.plan.grid import Grid, Session
from servegrid.records.paths import load_folder, session_folder
from servegrid.records.schema import FORMAT, RequestRecord, write_requests
from servegrid.util.files import write_json

CARDS = {"a6000": "RTX A6000", "rtx4090": "RTX 4090", "h100": "H100"}
ENGINES = {"llamacpp": {"runtime": "command", "command": ["llama-server"], "version": "b1"}}


def grid(absent: set[str], also_from: list[Path]) -> Grid:
    raw: dict[str, Any] = copy.deepcopy(DEFAULT)
    raw["devices"] = {name: {"kind": "cuda", "name": card} for name, card in CARDS.items()}
    raw["engines"] = ENGINES
    raw["grid"] = {"engine": ["llamacpp"], "gpu": list(CARDS), "threads": [4]}
    raw["report"] = {"also_from": [str(folder) for folder in also_from], "baseline": {"gpu": "a6000"}}
    return Grid(parse_config(raw), replace(RESOLVED, absent_devices={name: f"no {name} here" for name in absent}))


def measured_on(host: str, device: str, results: Path, rounds: int = 2) -> None:
    """Write the results of a host that has only this device."""
    (results / "sessions").mkdir(parents=True, exist_ok=True)
    for session in grid(set(CARDS) - {device}, []).sessions[:rounds]:
        _write(session, host, results)


def _write(session: Session, host: str, results: Path) -> None:
    folder = session_folder(results, session)
    launch = {
        "number": 1,
        "status": "ok",
        "anchor": {"monotonic_s": 0.0, "unix_s": 1e9},
        "gpus": [],
        "start_up": {"launched_s": 0.0, "ready_s": 1.0},
    }
    server = {"engine": "llamacpp", "version": "b1", "runtime": "command", "model": {"name": "m"}}
    server |= {"speculation": {"kind": "none", "length": 0}}
    for load in session.loads:
        load_dir = load_folder(folder, load)
        load_dir.mkdir(parents=True)
        write_requests(load_dir, [_record(number) for number in range(4)])
        window = {"start_s": 0.0, "end_s": 5.0, "client_cpu_s": 0.1}
        write_json(load_dir / "load.json", {"format": FORMAT, "launch": 1, "status": "ok", "reason": None, **window})
    record = {"format": FORMAT, "status": "ok", "reason": None, "server": server, "host": {"name": host}}
    record["rep"] = session.rep
    write_json(folder / "session.json", record | {"launches": [launch]})


def _record(number: int) -> RequestRecord:
    times = {"sent_s": 1.0, "first_token_s": 1.5, "last_token_s": 2.0, "end_s": 2.0}
    fields = {"prompt_tokens": 5, "output_tokens": 2, "tokens_from": "usage", "text": f"t{number}"}
    return RequestRecord(
        request_id=f"r{number}",
        prompt_id=f"p{number}",
        max_tokens=2,
        status="ok",
        chunk_offsets_s=[0.5, 1.0],
        **times,
        **fields,
    )


def test_two_boxes_and_a_desk(tmp_path: Path) -> None:
    """This host has none of the cards; one of them no host has."""
    boxes = {"a6000": tmp_path / "results-a6000", "rtx4090": tmp_path / "results-4090"}
    for device, folder in boxes.items():
        measured_on(f"box-{device}", device, folder)
    rows = collect(grid(set(CARDS), list(boxes.values())), tmp_path / "results").points.set_index("gpu")
    assert list(rows["status"]) == ["ok", "ok", "absent"]
    assert list(rows["host"][:2]) == ["box-a6000", "box-rtx4090"]
    assert list(rows["sessions"]) == [2, 2, 0]
    assert rows.loc["rtx4090", "agreement"] == 1.0, "held against the baseline of the other box"
    assert rows.loc["h100", "reason"] == "no h100 here"


def test_what_this_host_can_measure_is_its_own(tmp_path: Path) -> None:
    measured_on("here", "a6000", tmp_path / "results")
    measured_on("there", "a6000", tmp_path / "other")
    measured_on("there", "rtx4090", tmp_path / "other", rounds=1)
    rows = collect(grid({"rtx4090", "h100"}, [tmp_path / "other"]), tmp_path / "results").points.set_index("gpu")
    assert (rows.loc["a6000", "host"], rows.loc["rtx4090", "host"]) == ("here", "there")
    assert (
        rows.loc["rtx4090", "status"] == "partial" and "1 of 2 sessions not measured" in rows.loc["rtx4090", "reason"]
    )


def test_the_first_folder_that_has_it(tmp_path: Path) -> None:
    for host in ("first", "second"):
        measured_on(host, "a6000", tmp_path / host)
    (tmp_path / "empty" / "sessions").mkdir(parents=True)
    folders = [tmp_path / name for name in ("empty", "first", "second")]
    assert collect(grid(set(CARDS), folders), tmp_path / "results").points["host"][0] == "first"


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"report.also_from\[0\] = '.*nowhere': must be a folder of results"):
        grid(set(), [tmp_path / "nowhere"])
