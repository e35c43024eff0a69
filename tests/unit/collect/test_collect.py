"""From result folders with planted effects to rows: what is planted is found, what is not is not claimed."""

import os
import random
import shutil
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.results import GPU, Plan, made_grid, sentence, write_results
from servegrid.collect import aggregate
from servegrid.collect.row_cache import RowCache
from servegrid.collect.tables import collect
from servegrid.plan.grid import Grid, Load, Session
from servegrid.records.paths import load_folder, session_folder
from servegrid.records.schema import write_table
from servegrid.results.columns import POINT_COLUMNS
from servegrid.util.files import read_json, write_json

SWEEP = {"engine": ["llamacpp"], "threads": [4], "speculation": ["none", "ngram:2"], "quantization": ["none", "q8_0"]}


def split(number: int) -> str:
    return sentence(number)[:150] + sentence(1000 + number)


def rubbish(number: int) -> str:
    return sentence(number)[:5] + "\ufffd\ufffd" * 150


def points(grid: Grid, results: Path) -> pd.DataFrame:
    return collect(grid, results).points.set_index(["speculation", "quantization"])


def test_a_sweep_without_effects_has_no_warnings(tmp_path: Path) -> None:
    grid = made_grid(grid=SWEEP, repeats=3)
    write_results(grid, tmp_path)
    table = collect(grid, tmp_path).points
    assert list(table.columns) == [*grid.axes, *POINT_COLUMNS]
    assert table["warnings"].isna().all(), table["warnings"].tolist()
    assert (table["agreement"] == 1).all() and (table["agreement_floor"] == 1).all()
    assert table["divergence_characters_p50"].isna().all() and table["garble"].isna().all()


def test_distributions_are_those_of_all_requests_with_the_range_over_sessions(tmp_path: Path) -> None:
    grid = made_grid(repeats=2)
    write_results(grid, tmp_path, lambda session, _: Plan(requests=25, request_s=1.0 + session.rep))
    collected = collect(grid, tmp_path)
    rows = collected.distributions.set_index(["latency", "percent"])
    waits = [
        1e3 * (table["first_token_s"] - table["sent_s"]) for table in map(pd.read_parquet, requests_files(tmp_path))
    ]
    for percent in (10, 50, 95):
        by_session = [float(np.percentile(wait, percent)) for wait in waits]
        expected = [float(np.percentile(np.concatenate(waits), percent)), min(by_session), max(by_session)]
        assert rows.loc[("ttft", percent), ["ms", "ms_low", "ms_high"]].tolist() == pytest.approx(expected)
    assert rows.loc["ttft"].index.tolist() == [2, *range(5, 100, 5), 98], "50 requests say nothing of the rest"
    assert pd.isna(rows.loc[("ttft", 98), "ms_low"]), "25 say less"
    assert set(rows["server_id"]) == set(collected.points["server_id"])


def test_a_point_that_was_skipped_or_not_measured_has_no_distribution(tmp_path: Path) -> None:
    command = {"runtime": "command", "command": ["/server"], "version": "1"}
    axes = {"engine": ["llamacpp", "ctranslate2"], "threads": [4], "speculation": ["none", "ngram:2"]}
    grid = made_grid(engines={"llamacpp": command, "ctranslate2": {"runtime": "venv"}}, grid=axes)
    assert [point.skip is None for point in grid.points] == [True, True, True, False]
    collected = collect(grid, tmp_path)
    assert len(collected.points) == 4 and len(collected.distributions) == 0
    write_results(grid, tmp_path)
    after = collect(grid, tmp_path).distributions
    assert set(zip(after["engine"], after["speculation"], strict=True)) == {
        ("llamacpp", "none"),
        ("llamacpp", "ngram:2"),
        ("ctranslate2", "none"),
    }
    assert list(after.columns) == list(collected.distributions.columns)


def requests_files(results: Path) -> list[Path]:
    return sorted(results.glob("sessions/*/*/loads/*/requests.parquet"))


def test_changed_texts_are_flagged_against_the_same_point_without_the_feature(tmp_path: Path) -> None:
    def plan(session: Session, load: Load) -> Plan:
        spec = session.server.spec
        if spec.quantization == "q8_0":
            return Plan(text=rubbish)  # so is what speculation is held against there: it changes nothing
        return Plan(text=lambda n: split(n) if n % 4 == 0 else sentence(n)) if spec.speculation.length else Plan()

    grid = made_grid(grid=SWEEP, repeats=2)
    write_results(grid, tmp_path, plan)
    table = points(grid, tmp_path)
    assert pd.isna(table.loc[("none", "none"), "warnings"])
    assert table.loc[("ngram:2", "none"), "warnings"] == "speculation changes texts"
    assert table.loc[("none", "q8_0"), "warnings"] == "quantization changes texts; garbled texts"
    assert table.loc[("ngram:2", "q8_0"), "warnings"] == "quantization changes texts; garbled texts"
    speculated = table.loc[("ngram:2", "none")]
    assert speculated["agreement"] == 0.75
    assert speculated["divergence_characters_p50"] == pytest.approx(150, abs=3)
    assert speculated["garble"] == 0 and table.loc[("none", "q8_0"), "garble"] == 1


def test_changes_within_the_floor_are_not_flagged(tmp_path: Path) -> None:
    """Every session changes a tenth of the texts by itself."""

    def plan(session: Session, load: Load) -> Plan:
        changed_digit = session.rep + 3 * bool(session.server.spec.speculation.length)
        return Plan(text=lambda n: split(n) if n % 10 == changed_digit else sentence(n))

    grid = made_grid(grid=SWEEP | {"quantization": ["none"]}, repeats=3)
    write_results(grid, tmp_path, plan)
    table = points(grid, tmp_path)
    assert table["warnings"].isna().all(), table["warnings"].tolist()
    assert table["agreement_floor"].iloc[0] == pytest.approx(0.8)
    assert table["text_distance_floor"].iloc[0] > 0.2


def test_few_changed_texts_are_called_unclear_and_at_a_temperature_nothing_is(tmp_path: Path) -> None:
    def plan(session: Session, load: Load) -> Plan:
        changed = 2 if session.server.spec.speculation.length else 0
        return Plan(text=lambda n: split(n) if n < changed else sentence(n))

    grid = made_grid(grid=SWEEP | {"quantization": ["none"]}, repeats=2)
    write_results(grid, tmp_path / "greedy", plan)
    assert points(grid, tmp_path / "greedy")["warnings"].tolist()[1] == "speculation may change texts"
    sampled = made_grid(grid=SWEEP | {"quantization": ["none"]}, repeats=2, load={"temperature": 1.0})
    write_results(sampled, tmp_path / "sampled", plan)
    assert points(sampled, tmp_path / "sampled")["warnings"].isna().all()


@pytest.mark.parametrize(("change", "garble"), [(split, 4 / 60), (sentence, 1)], ids=["among late splits", "alone"])
def test_a_few_garbled_texts_are_found_among_good_ones(
    tmp_path: Path, change: Callable[[int], str], garble: float
) -> None:
    def plan(session: Session, load: Load) -> Plan:
        spoilt = session.server.spec.quantization == "q8_0"
        return Plan(text=lambda n: noise(n) if n % 15 == 4 else change(n)) if spoilt else Plan()

    grid = made_grid(grid=SWEEP | {"speculation": ["none"]}, repeats=2)
    write_results(grid, tmp_path, plan)
    table = points(grid, tmp_path)
    assert "garbled texts" in table.loc[("none", "q8_0"), "warnings"]
    assert table.loc[("none", "q8_0"), "garble"] == pytest.approx(garble)
    assert pd.isna(table.loc[("none", "none"), "warnings"])


def noise(number: int) -> str:
    return "".join(random.Random(number).choices(string.ascii_letters + string.digits, k=300))


def test_garble_is_unknown_beside_a_baseline_of_another_temperature(tmp_path: Path) -> None:
    grid = made_grid(grid=SWEEP | {"speculation": ["none"], "quantization": ["none"], "temperature": [0.8, 0.0]})
    write_results(
        grid, tmp_path, lambda _, load: Plan() if load.options.temperature else Plan(text=lambda _: "loop " * 60)
    )
    (_, greedy) = collect(grid, tmp_path).points.to_dict("records")
    assert greedy["agreement"] == 0 and pd.isna(greedy["garble"]) and pd.isna(greedy["warnings"])


@pytest.mark.parametrize("text", ["", "!!!!", "the"])
def test_answers_that_say_next_to_nothing_are_garbled(tmp_path: Path, text: str) -> None:
    def plan(session: Session, load: Load) -> Plan:
        return Plan(text=lambda _: text) if session.server.spec.quantization == "q8_0" else Plan()

    grid = made_grid(grid=SWEEP | {"speculation": ["none"]}, repeats=2)
    write_results(grid, tmp_path, plan)
    assert points(grid, tmp_path).loc[("none", "q8_0"), "warnings"] == "quantization changes texts; garbled texts"


def test_one_session_has_no_floor_and_leaves_changes_open(tmp_path: Path) -> None:
    grid = made_grid(grid=SWEEP, repeats=1)
    write_results(
        grid, tmp_path, lambda session, _: Plan(text=split if session.server.spec.speculation.length else sentence)
    )
    table = points(grid, tmp_path)
    assert table["agreement_floor"].isna().all()
    assert table["warnings"].dropna().to_dict() == dict.fromkeys(
        [("ngram:2", "none"), ("ngram:2", "q8_0")], "speculation may change texts"
    )
    assert pd.isna(table.loc[("none", "none"), "agreement"]), "a text is not held against itself"
    assert table.loc[("ngram:2", "none"), "agreement"] == 0


def test_warnings_of_the_machine(tmp_path: Path) -> None:
    cases: dict[str, tuple[str | None, Any]] = {
        "calm": (None, Plan()),
        "drift": ("latency drifts", Plan(growth=0.4)),
        "noise": (None, Plan(noise=0.3)),
        "shared": ("shared host", Plan(telemetry={"host": {"cpu_percent": 200.0}, "server": {"cpu_percent": 150.0}})),
        "own": (None, Plan(telemetry={"host": {"cpu_percent": 200.0}, "server": {"cpu_percent": 190.0}})),
        "hot": ("throttled by heat", gpu(throttle_reasons=0x40)),
        "capped": ("power-capped", gpu(throttle_reasons=0x4 | 0x1)),
        "idle": (None, gpu(throttle_reasons=0x1 | 0x2)),
    }
    for name, (phrase, plan) in cases.items():
        grid = made_grid(repeats=2)
        write_results(grid, tmp_path / name, lambda *_, plan=plan: plan)
        (warning,) = collect(grid, tmp_path / name).points["warnings"]
        assert (None if pd.isna(warning) else warning) == phrase, name


def gpu(**columns: Any) -> Plan:
    """A load of 15 s on a GPU that draws 50 W without a server and 150 W with it."""
    measured = {"power_w": 150.0, "energy_j": lambda t: 150.0 * t} | columns
    return Plan(telemetry={GPU: measured})


def test_only_the_first_launch_may_be_cold(tmp_path: Path) -> None:
    grid = made_grid(repeats=3)
    for slow, phrase in ((1, "cold start"), (2, None)):
        folder = tmp_path / str(slow)
        write_results(grid, folder, lambda session, _, slow=slow: Plan(request_s=1.5 if session.rep == slow else 1.0))
        (warning,) = collect(grid, folder).points["warnings"]
        assert (None if pd.isna(warning) else warning) == phrase


def test_energy_and_cost(tmp_path: Path) -> None:
    def power(t: float) -> float:
        return 50.0 if t < 1040 or 1070 <= t < 2040 else 150.0

    telemetry = {GPU: {"power_w": power, "energy_j": lambda t: 150.0 * t, "throttle_reasons": 0}}
    grid = made_grid(repeats=2, devices={"cpu": {"kind": "cpu", "usd_per_hour": 3.6}})
    write_results(grid, tmp_path, lambda *_: Plan(noise=0, telemetry=telemetry))
    (row,) = collect(grid, tmp_path).points.to_dict("records")
    tokens, seconds = 60 * 8, 15.0
    assert row["energy_j"] == pytest.approx(150 * seconds) and row["idle_power_w"] == 50
    assert row["j_per_output_token"] == pytest.approx(150 * seconds / tokens)
    assert row["j_per_output_token_above_idle"] == pytest.approx(100 * seconds / tokens)
    assert row["usd_per_million_output_tokens"] == pytest.approx(0.001 * seconds / tokens * 1e6)
    assert row["output_tokens_per_s_per_gpu"] == pytest.approx(tokens / seconds)
    assert pd.isna(row["warnings"])


@pytest.mark.parametrize("tensor_parallel", [1, 2])
def test_numbers_count_the_gpus_that_the_point_uses(tmp_path: Path, tensor_parallel: int) -> None:
    """A device of two GPUs at 7.2 USD/h: a server on one of them costs and draws half of what one on both does."""
    telemetry = {f"{GPU}{place}": gpu().telemetry[GPU] for place in range(tensor_parallel)}
    both = {"kind": "cuda", "name": "A GPU", "count": 2, "usd_per_hour": 7.2}
    axes = {"engine": ["llamacpp"], "gpu": ["both"], "threads": [4], "tensor_parallel": [tensor_parallel]}
    grid = made_grid(repeats=2, devices={"both": both}, grid=axes)
    write_results(grid, tmp_path, lambda *_: Plan(noise=0, telemetry=telemetry))
    (row,) = collect(grid, tmp_path).points.to_dict("records")
    tokens, seconds = 60 * 8, 15.0
    assert row["energy_j"] == pytest.approx(tensor_parallel * 150 * seconds)
    assert row["output_tokens_per_s_per_gpu"] == pytest.approx(tokens / seconds / tensor_parallel)
    assert row["usd_per_million_output_tokens"] == pytest.approx(tensor_parallel * 0.001 * seconds / tokens * 1e6)


def test_one_new_session_leaves_the_others_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two, three = (made_grid(grid=SWEEP | {"speculation": ["none"]}, repeats=repeats) for repeats in (2, 3))
    write_results(three, tmp_path)
    new = next(session for session in three.sessions if session.rep == 3 and session.server.spec.quantization == "q8_0")
    read: list[int] = []
    aggregate_loads = aggregate.aggregate_loads
    monkeypatch.setattr(
        "servegrid.collect.tables.aggregate_loads",
        lambda loads, *terms: read.append(len(loads)) or aggregate_loads(loads, *terms),
    )
    collect(two, tmp_path)
    assert sorted(read) == [1, 1, 1, 1, 2, 2]
    read.clear()
    first = collect(two, tmp_path)
    assert read == []
    for session in three.sessions:
        if session.rep == 3 and session is not new:
            shutil.rmtree(session_folder(tmp_path, session))
    collect(three, tmp_path)
    assert sorted(read) == [1, 3], "the new session, and the point that it is a repeat of"
    shutil.rmtree(tmp_path / "cache")
    pd.testing.assert_frame_equal(collect(two, tmp_path).points, first.points)


def test_a_record_written_anew_is_read_anew_though_size_and_date_are_the_same(tmp_path: Path) -> None:
    grid = made_grid(repeats=1)
    write_results(grid, tmp_path)
    (before,) = collect(grid, tmp_path).points["prompt_tokens"]
    (session,) = grid.sessions
    path = load_folder(session_folder(tmp_path, session), session.loads[0]) / "requests.parquet"
    stat, table = path.stat(), pq.read_table(path)
    place = table.schema.get_field_index("prompt_tokens")
    write_table(path, table.set_column(place, table.schema.field(place), pa.array([30] * 60, pa.int32())))
    assert path.stat().st_size == stat.st_size
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    (after,) = collect(grid, tmp_path).points["prompt_tokens"]
    assert (before, after) == (20 * 60, 30 * 60)


def test_a_session_record_written_anew_is_read_anew(tmp_path: Path) -> None:
    grid = made_grid(repeats=1)
    write_results(grid, tmp_path)
    (before,) = collect(grid, tmp_path).points["startup_s"]
    path = session_folder(tmp_path, grid.sessions[0]) / "session.json"
    record = read_json(path)
    record["launches"][0]["start_up"]["ready_s"] += 7
    write_json(path, record)
    (after,) = collect(grid, tmp_path).points["startup_s"]
    assert after == before + 7


@pytest.mark.slow
def test_several_processes_give_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grid = made_grid(grid=SWEEP, repeats=2)
    write_results(grid, tmp_path)
    alone = collect(grid, tmp_path)
    shutil.rmtree(tmp_path / "cache")
    monkeypatch.setattr("servegrid.collect.tables.POINTS_PER_WORKER", 1)
    monkeypatch.setattr("servegrid.collect.tables.POINTS_PER_TASK", 2)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    computed: list[dict[str, Any]] = []
    add = RowCache.add
    monkeypatch.setattr(RowCache, "add", lambda cache, values: computed.append(values) or add(cache, values))
    together = collect(grid, tmp_path)
    assert len(computed) == 2 and all(computed)
    pd.testing.assert_frame_equal(alone.points, together.points)
    pd.testing.assert_frame_equal(alone.sessions, together.sessions)


def test_the_levels_of_an_axis_are_spelled_as_the_config_does(tmp_path: Path) -> None:
    share = "options.slot-prompt-similarity"
    axes = {"engine": ["llamacpp"], "threads": [1], share: [1, 0.5, None], "prefix_cache": [True, False]}
    grid = made_grid(grid=axes)
    write_results(grid, tmp_path, lambda *_: Plan(requests=25))
    collected = collect(grid, tmp_path)
    for frame in (collected.points, collected.sessions, collected.distributions):
        assert set(frame[share]) == {"1", "0.5", "unset"}
        assert set(frame["prefix_cache"]) == {"true", "false"}


def test_the_types_that_a_server_took_are_columns(tmp_path: Path) -> None:
    grid = made_grid(repeats=1)
    write_results(grid, tmp_path)
    [session] = tmp_path.glob("sessions/*/rep1")
    record = read_json(session / "session.json")
    assert collect(grid, tmp_path).points[["served_dtype", "kv_cache_dtype"]].isna().all(axis=None), "nothing said"
    record["launches"][0] |= {"answers": {"/props": {"model_ftype": "all F32"}}, "command": ["/llama-server"]}
    write_json(session / "session.json", record)
    [row] = collect(grid, tmp_path).points.to_dict("records")
    assert (row["served_dtype"], row["kv_cache_dtype"], row["answers_end"]) == ("float32", "float16", "exact")
    (session / "server.log").write_text("llama_kv_cache: size = 1 MiB (1 cells), K (q8_0): 1 MiB, V (q8_0): 1 MiB\n")
    assert collect(grid, tmp_path).points["kv_cache_dtype"].tolist() == ["q8_0"]
