"""How many sessions a server gets where a precision is asked for."""

import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from helpers.grids import DEFAULT, grid
from servegrid.config import ConfigError
from servegrid.plan.grid import Grid
from servegrid.plan.repeats import expected_sessions, is_precise, needed_of_server, needed_sessions
from servegrid.records.paths import load_folder, session_folder
from servegrid.stats import intervals
from servegrid.sweep import Sweep
from servegrid.util.files import REPOSITORY, write_json

AXES = {"engine": ["llamacpp"], "threads": [1, 2], "speculation": ["none"], "quantization": ["none"], "exclude": []}


def auto(**repeats: Any) -> Grid:
    return grid(repeats={"at_least": 2, "at_most": 5, "precision": 0.1} | repeats, grid=AXES)


def load(seconds: float, ok: int = 100, status: str = "ok") -> dict[str, Any]:
    return {"status": status, "start_s": 7.0, "end_s": 7.0 + seconds, "requests": {"ok": ok}}


def measured(expanded_grid: Grid, results: Path, *rounds: Sequence[float | None]) -> None:
    """Write records: for each round the seconds that each load took, in the order of the first round; None: it failed."""
    for session, seconds in zip(expanded_grid.sessions, rounds, strict=False):
        folder = session_folder(results, session)
        write_json(folder / "session.json", {"status": "ok", "launches": [{}]})
        for load_of_round, seconds_taken in zip(expanded_grid.sessions[0].loads, seconds, strict=False):
            record = load(1.0, 0, "failed") if seconds_taken is None else load(seconds_taken)
            write_json(load_folder(folder, load_of_round) / "load.json", record)


def count(expanded_grid: Grid, results: Path) -> int:
    return len(needed_of_server(expanded_grid.sessions, results, expanded_grid))


def test_a_number_is_that_many_whatever_they_say(tmp_path: Path) -> None:
    expanded_grid = grid(repeats=3, grid=AXES)
    measured(expanded_grid, tmp_path, [1, 1], [1, 1], [1, 1])
    assert [session.rep for session in needed_sessions(expanded_grid, tmp_path)] == [1, 2, 3]


def test_nothing_measured_leaves_all_that_there_may_be(tmp_path: Path) -> None:
    assert count(auto(), tmp_path) == 5


def test_precise_numbers_need_no_more(tmp_path: Path) -> None:
    measured(auto(), tmp_path, [1, 2], [1, 2])
    assert count(auto(), tmp_path) == 2
    assert count(auto(at_least=3), tmp_path) == 5


def test_a_damaged_record_is_no_evidence(tmp_path: Path) -> None:
    measured(auto(), tmp_path, [1, 2], [1, 2], [9, 2])
    assert count(auto(), tmp_path) == 5
    expanded_grid = auto()
    third = session_folder(tmp_path, expanded_grid.sessions[2])
    (load_folder(third, expanded_grid.sessions[2].loads[0]) / "load.json").write_text("{")
    assert count(auto(), tmp_path) == 3


def test_every_load_must_be_precise(tmp_path: Path) -> None:
    measured(auto(), tmp_path, [1, 2], [1, 3], [1, 2])
    assert count(auto(), tmp_path) == 5
    assert count(auto(precision=0.9), tmp_path) == 3


def test_what_was_measured_beyond_need_is_used(tmp_path: Path) -> None:
    measured(auto(), tmp_path, [1, 2], [1, 2], [1, 2], [1, 2])
    assert count(auto(), tmp_path) == 4


def test_a_new_load_asks_for_sessions_anew(tmp_path: Path) -> None:
    measured(auto(), tmp_path, [1], [1, 2])
    assert count(auto(), tmp_path) == 5


def test_a_session_that_could_not_be_measured_is_no_reason_for_more(tmp_path: Path) -> None:
    """A missing session, e.g. because the device was busy, asks for no more where the others are precise."""
    expanded_grid = auto()
    measured(expanded_grid, tmp_path, [1, 2], [1, 2], [1, 2])
    shutil.rmtree(session_folder(tmp_path, expanded_grid.sessions[1]))
    assert [session.rep for session in needed_sessions(expanded_grid, tmp_path)] == [1, 3]


def test_each_load_keeps_the_sessions_that_it_was_measured_in(tmp_path: Path) -> None:
    expanded_grid = auto()
    first, second = expanded_grid.sessions[0].loads
    measured(expanded_grid, tmp_path, [1, 2], [1, 2], [1], [1])
    rounds_by_load = [
        [
            session.rep
            for session in expected_sessions(load, expanded_grid.sessions, tmp_path, expanded_grid.config.repeats)
        ]
        for load in (first, second)
    ]
    assert rounds_by_load == [[1, 2, 3, 4], [1, 2]]
    assert count(expanded_grid, tmp_path) == 4


def test_what_is_to_be_tried_again_may_need_more(tmp_path: Path) -> None:
    expanded_grid = auto()
    measured(expanded_grid, tmp_path, [1, None], [1, None])
    assert len(needed_sessions(expanded_grid, tmp_path)) == 2
    assert len(needed_sessions(expanded_grid, tmp_path, ["failed"])) == 5


def test_marks_change_with_what_was_measured_of_the_server(tmp_path: Path) -> None:
    """Marks change, or a session that was not needed once would never be measured."""
    raw = DEFAULT | {"pathvars": {"results": str(tmp_path)}, "grid": DEFAULT["grid"] | {"engine": ["llamacpp"]}}
    raw |= {"repeats": {"at_least": 2, "at_most": 3}}
    before = Sweep(raw, REPOSITORY).session_inputs(None)
    session = Sweep(raw, REPOSITORY).grid.sessions[0]
    write_json(session_folder(tmp_path, session) / "session.json", {"status": "failed", "launches": [{}]})
    after = Sweep(raw, REPOSITORY).session_inputs(None)
    session_prefix = f"{session.server.id}/rep3/"
    assert [mark for mark in before if session_prefix in mark] != [mark for mark in after if session_prefix in mark]


def test_a_load_that_always_fails_asks_for_no_more(tmp_path: Path) -> None:
    measured(auto(), tmp_path, [1, None], [1, None])
    assert count(auto(), tmp_path) == 2
    measured(auto(), tmp_path, [1, 2], [1, None])
    assert count(auto(), tmp_path) == 5, "one number has no interval"


def test_a_server_that_never_starts_asks_for_no_more(tmp_path: Path) -> None:
    for session in auto().sessions[:2]:
        write_json(session_folder(tmp_path, session) / "session.json", {"status": "failed", "launches": [{}]})
    assert count(auto(), tmp_path) == 2


def test_servers_are_looked_at_one_by_one(tmp_path: Path) -> None:
    two = auto()
    one_more = grid(repeats=two.config.repeats.model_dump(), grid=AXES | {"quantization": ["none", "q8_0"]})
    steady = [session for session in one_more.sessions if session.server.spec.quantization == "none"]
    for session in steady[:2]:
        for load_of_round in session.loads:
            write_json(load_folder(session_folder(tmp_path, session), load_of_round) / "load.json", load(1.0))
    left = needed_sessions(one_more, tmp_path)
    assert [session.server.spec.quantization for session in left].count("none") == 2
    assert [session.server.spec.quantization for session in left].count("q8_0") == 5
    assert [session.rep for session in left] == sorted(session.rep for session in left), "round by round"


@pytest.mark.parametrize(
    ("repeats", "message"),
    [
        ({"precision": 0}, "repeats.precision = 0: must be greater than 0"),
        ({"precision": 5}, "repeats.precision = 5: must be less than 1"),
        ({"at_least": 4, "at_most": 3}, "at_most (3) must be no less than at_least (4)"),
        ({"until": 0.1}, "repeats.until: there is no such key"),
        ("often", "repeats = 'often': must be an integer greater than or equal to 1, auto, or a section"),
        (0, "repeats = 0: must be an integer greater than or equal to 1"),
    ],
)
def test_what_is_no_number_of_sessions_is_refused(repeats: Any, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        grid(repeats=repeats)
    assert message in str(refused.value)


def test_auto_is_the_defaults() -> None:
    repeats = grid(repeats="auto").config.repeats
    assert (repeats.at_least, repeats.at_most, repeats.precision) == (3, 10, 0.05)


def test_intervals_still_hold_when_the_sessions_end_by_them() -> None:
    """Stopping at a narrow interval selects lucky ones, yet the intervals still cover in more than 90 % of cases.

    2,000 servers whose true rate is 1, with noise of 1 to 8 % between sessions, drawn by a fixed seed.
    """
    draw, held = random.Random(1), 0
    for _ in range(2000):
        noise = draw.uniform(0.01, 0.08)
        loads = [load(100 * draw.lognormvariate(0, noise)) for _ in range(10)]
        number = next((n for n in range(3, 10) if is_precise(loads[:n], 0.05)), 10)
        mean = intervals.mean([load["requests"]["ok"] / (load["end_s"] - 7.0) for load in loads[:number]])
        assert mean.low is not None and mean.high is not None
        held += mean.low <= 1 <= mean.high
    assert held / 2000 > 0.9


def test_precision_is_of_the_rate_whatever_the_lengths() -> None:
    """One load sent twice as much in twice the time: the same rate."""
    assert is_precise([load(1.0, 100), load(2.0, 200), load(4.0, 400)], 0.01)
    assert not is_precise([load(1.0, 400), load(2.0, 200), load(4.0, 100)], 0.5)


def test_a_session_without_an_answer_or_a_time_is_no_rate() -> None:
    assert is_precise([load(1.0), load(1.0), load(1.0, ok=0), load(0.0)], 0.01)
    assert is_precise([load(1.0, ok=0), load(0.0)], 0.01), "more sessions would add nothing"
