"""Whole sessions of engines that cannot run here: the stand-in is the program of runtime command, on a CPU that stands in for the GPU.

The engines are for CUDA devices alone; for this test `devices` of each is widened to the CPU. All else is the way of a real run.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from helpers.grids import RESOLVED, grid
from isolation import TESTS
from servegrid import engines
from servegrid.collect.tables import collect
from servegrid.engines.base import ModelRef
from servegrid.measure.folders import RunFolders
from servegrid.measure.session import SessionRun
from servegrid.plan.grid import Grid
from servegrid.plan.resolve import Resolved
from servegrid.prompts.files import Prompt, write_prompts
from servegrid.records.paths import load_folder, session_folder
from servegrid.util.files import read_json
from servegrid.util.terminal import Progress

pytestmark = pytest.mark.slow

PROGRAMS = {
    "sglang": ("sglang_server", "ngram:2", 0.5),
    "tensorrt-llm": ("tensorrt_llm_server", "ngram:2", 0.5),
    "lmdeploy": ("lmdeploy_server", "none", None),
    "lmdeploy-pytorch": ("lmdeploy_server", "eagle3:2", 0.5),
}
TOKENS = 160  # so that the load lasts several scrapes
DEVICE = f"none-{os.getpid()}"  # nothing is computed: no need to wait for others' measurements
MODEL = ModelRef("tiny", "r1", "models/t/checkpoint", "models/t", speculators={"eagle3": "models/t/eagle3"})


@pytest.fixture(params=PROGRAMS)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(type(engines.get(request.param)), "devices", ("cuda", "cpu"))
    yield request.param


def of(engine: str) -> Grid:
    module, speculation, _ = PROGRAMS[engine]
    command = [sys.executable, "-m", f"standins.{module}"]
    entry = {"runtime": "command", "command": command, "version": "1", "env": {"PYTHONPATH": str(TESTS)}}
    resolved = Resolved(MODEL, RESOLVED.draft, "prompts-1", engine_versions={engine: "1"})
    axes = {"engine": [engine], "gpu": [DEVICE], "threads": [6], "speculation": [speculation], "quantization": ["none"]}
    changes: dict[str, Any] = {"grid": axes, "engines": {engine: entry}, "repeats": 1, "telemetry_interval_s": 0.05}
    changes["devices"] = {DEVICE: {"kind": "cpu"}}
    return grid(
        resolved, **changes, prompts__count=24, prompts__output_tokens=TOKENS, report={"baseline": {"engine": engine}}
    )


def test_a_whole_session(engine: str, tmp_path: Path) -> None:
    expanded_grid, folders = (
        of(engine),
        RunFolders(tmp_path / "results", tmp_path / "resources", tmp_path / "prompts.jsonl"),
    )
    write_prompts(folders.prompts, [Prompt(f"p{n}", f"tell me of lighthouse number {n}") for n in range(24)])
    [session] = expanded_grid.sessions
    SessionRun(session, expanded_grid.config, folders, Progress("s", "1/1", None, tmp_path / "log.txt")).run()
    folder = session_folder(folders.results, session)
    record = read_json(folder / "session.json")
    assert record["status"] == "ok", record["reason"]
    assert read_json(load_folder(folder, session.loads[0]) / "load.json")["requests"] == {"ok": 24}
    version = {"sglang": "0.5.23", "tensorrt-llm": "1.2.1"}.get(engine)
    assert record["launches"][0]["reported"]["version"] == version
    [row] = collect(expanded_grid, folders.results).points.to_dict("records")
    assert (row["status"], row["output_tokens"], row["tokens_from"]) == ("ok", 24 * TOKENS, "usage")
    assert 0 < row["running_mean"] <= 4 and 0 < row["waiting_max"] <= 6 and 0 < row["kv_cache_max"] <= 1
    expected_rate = PROGRAMS[engine][2]
    if expected_rate is None:
        assert pd.isna(row["acceptance_rate"])
    else:
        assert row["acceptance_rate"] == pytest.approx(expected_rate, abs=0.02)
