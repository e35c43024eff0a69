"""What a load leaves: its outcome in words, its window, what the client cost, and how many requests warmed it up."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helpers.grids import MODEL, grid
from servegrid.client.calibration import Calibration, calibration_file
from servegrid.client.run import LoadResult
from servegrid.launch.server import ServerError
from servegrid.measure.folders import RunFolders
from servegrid.measure.load import LoadRunner, load_outcome
from servegrid.plan.grid import Grid
from servegrid.plan.resolve import Resolved
from servegrid.prompts.files import Prompt, write_prompts
from servegrid.records.paths import load_folder
from servegrid.records.schema import RequestRecord
from servegrid.util.files import read_json
from servegrid.util.terminal import Progress
from standins.answers import chunked, events
from standins.scripted import CLOSE, HOLD, ScriptedServer, Seen, Step

TOKENS, PROMPTS = 3, 8


def record(status: Any, error: str | None = None) -> RequestRecord:
    return RequestRecord("r", "p", 3, status, error=error)


@pytest.mark.parametrize(
    ("records", "outcome"),
    [
        ([record("ok")] * 2, ("ok", None)),
        ([record("ok"), record("short", "2 tokens")], ("partial", "1 of 2 requests not ok: 1 x short: 2 tokens")),
        ([record("timeout")] * 2, ("failed", "2 of 2 requests not ok: 2 x timeout: no reason given")),
        (
            [record("error", f"{n % 4}") for n in range(10)],
            ("failed", "10 of 10 requests not ok: 3 x error: 0; 3 x error: 1; 2 x error: 2"),
        ),
    ],
)
def test_the_outcome_in_words(records: list[RequestRecord], outcome: tuple[str, str | None]) -> None:
    assert load_outcome(records, None) == outcome
    assert load_outcome(records, ServerError("crashed", "it died")) == ("failed", "it died")


class Counters:
    """In the place of the server's counters of cached tokens, which grow by 3 of 40."""

    def read(self) -> dict[str, float]:
        return {"hits": 1.0}

    def growth_since(self, before: dict[str, float]) -> dict[str, float]:
        assert before == {"hits": 1.0}
        return {"cached_tokens": 3.0, "prompt_tokens": 40.0}


def prompt_of(seen: Seen) -> str:
    """The prompt that was sent, without its salt."""
    return str(seen.json["prompt"]).rpartition("\n")[2]


class Far:
    """A server that runs elsewhere, as a load needs it; `lives_for` looks it is alive."""

    def __init__(self, url: str, lives_for: int = 10**6) -> None:
        self.url, self.headers, self._looks = url, {"Authorization": "Bearer x"}, lives_for
        self.ca_file: str | None = None
        self.ended: dict[str, Any] | None = None
        self.waited_s: list[float] = []

    @property
    def alive(self) -> bool:
        self._looks -= 1
        if self._looks < 0:
            self.ended = {"exit": 3}
        return self.ended is None

    def dies_within(self, limit_s: float) -> bool:
        self.waited_s.append(limit_s)
        return not self.alive


def run(
    folder: Path, script: Any, threads: int = 2, lives_for: int = 10**6, **load: Any
) -> tuple[dict[str, Any], ScriptedServer, Far]:
    """The record of a load of eight prompts, the server that answered, and the server as the load saw it."""
    expanded = expand(threads, load)
    [session] = expanded.sessions
    folders = RunFolders(folder / "results", folder / "resources", folder / "prompts.jsonl")
    write_prompts(folders.prompts, [Prompt(f"p{n}", f"number {n}", 2 if n == 7 else None) for n in range(PROMPTS + 2)])
    calibration = folders.resources / calibration_file("stream")
    calibration.parent.mkdir(parents=True)
    calibration.write_text(Calibration("stream", "here", 0.01, 0.001, 0.02, 0.04).as_json())
    with ScriptedServer(script) as server:
        runner = LoadRunner(
            session, expanded.config, folders, folder, Progress("s", "1/1", None, folder / "log.txt"), "m", Counters()
        )
        far = Far(server.url, lives_for)
        try:
            runner.run(session.loads[0], far, 3)  # type: ignore[arg-type]
        except ServerError as error:
            assert str(error) == read_json(load_folder(folder, session.loads[0]) / "load.json")["reason"]
    return read_json(load_folder(folder, session.loads[0]) / "load.json"), server, far


def expand(threads: int, load: dict[str, Any]) -> Grid:
    axes = {
        "engine": ["far"],
        "gpu": ["there"],
        "threads": [threads],
        "speculation": ["none"],
        "quantization": ["none"],
    }
    engine = {"engine": "openai", "runtime": "url", "url": "http://there", "served_model": "m", "version": "1"}
    resolved = Resolved(MODEL, None, "prompts-1", engine_versions={"far": "1"})
    return grid(
        resolved,
        engines={"far": engine},
        devices={"there": {"kind": "remote"}},
        grid=axes,
        repeats=1,
        report={},
        load={"warmup_requests": 1} | load,
        server__concurrency=4,
        prompts__output_tokens=TOKENS,
        prompts__count=PROMPTS,
    )


def answer(seen: Seen) -> list[Step]:
    return [chunked(events(seen.json["max_tokens"]))]


def test_what_a_good_load_leaves(tmp_path: Path) -> None:
    left, server, _ = run(tmp_path, answer)
    warm_up, measured = server.seen[:2], server.seen[2:]
    assert len(measured) == PROMPTS, "as many as the config counts, after one warm-up for each request in flight"
    assert sorted(prompt_of(seen) for seen in measured) == sorted(f"number {n}" for n in range(PROMPTS))
    assert {prompt_of(seen)[:6] for seen in warm_up}.isdisjoint({"number"})
    assert {prompt_of(seen): seen.json["max_tokens"] for seen in measured}["number 7"] == 2
    assert {seen.headers["authorization"] for seen in server.seen} == {"Bearer x"}
    assert (
        left["status"] == "ok"
        and left["reason"] is None
        and left["requests"] == {"ok": PROMPTS}
        and left["launch"] == 3
    )
    assert left["begun_s"] <= left["start_s"] <= left["last_sent_s"] <= left["end_s"] and left["unsent"] == 0
    seconds = left["end_s"] - left["start_s"]
    calibrated = (PROMPTS * 0.01 + (PROMPTS * TOKENS - 1) * 0.001) / seconds
    assert left["client_share"] == pytest.approx(max(calibrated, left["client_cpu_s"] / seconds))
    assert left["stamp_late_ms_p99"] == 0.04 and left["counted"] == {"cached_tokens": 3.0, "prompt_tokens": 40.0}


@pytest.mark.parametrize(("threads", "asked", "sent"), [(2, 1, 2), (2, 6, 6), (8, 1, 4), (2, 0, 0)])
def test_a_warm_up_uses_every_slot_that_the_load_will(tmp_path: Path, threads: int, asked: int, sent: int) -> None:
    """As many as the load has in flight, of the server's four slots, or more where the config asks for them."""
    _, server, _ = run(tmp_path, answer, threads, warmup_requests=asked)
    assert len(server.seen) == sent + PROMPTS


def test_lost_connections_make_it_wait_for_the_server_s_end(tmp_path: Path) -> None:
    (tmp_path / "server.log").write_text("a word\nits last words\n")

    def dies(seen: Seen) -> list[Step]:
        return [CLOSE]

    left, _, far = run(tmp_path, dies, warmup_requests=0)
    assert left["status"] == "failed" and left["reason"].startswith("8 of 8 requests not ok: 8 x disconnected")
    assert far.waited_s == [2.0], "its process may go a moment later"


def test_a_load_ends_with_its_server(tmp_path: Path) -> None:
    """Nobody waits for the time limit of a request that a dead server never answers."""
    (tmp_path / "server.log").write_text("a word\nits last words\n")
    left, _, _ = run(tmp_path, [HOLD], warmup_requests=0, lives_for=1)
    assert left["status"] == "failed" and left["requests"] == {"cancelled": 2}
    assert (
        left["reason"].startswith("the server died under this load: exit status 3")
        and "its last words" in left["reason"]
    )


def test_what_is_not_calibrated_is_unknown(tmp_path: Path) -> None:
    expanded = expand(2, {})
    [session] = expanded.sessions
    folders = RunFolders(tmp_path / "results", tmp_path / "resources", tmp_path / "prompts.jsonl")
    write_prompts(folders.prompts, [Prompt("p", "number")])
    runner = LoadRunner(
        session, expanded.config, folders, tmp_path, Progress("s", "1/1", None, tmp_path / "log.txt"), "m", Counters()
    )
    nothing = {"client_share": None, "stamp_late_ms_p99": None}
    result = LoadResult([replace(record("ok"), chunk_offsets_s=[0.1])], start_s=1.0, end_s=3.0, client_cpu_s=1.0)
    [load] = session.loads
    assert runner._client_limits(load, result) == nothing
    runner._calibrations["stream"] = Calibration("stream", "here", 0.1, 0.3, 0.02, 0.04)
    assert runner._client_limits(load, result) == {"client_share": 0.5, "stamp_late_ms_p99": 0.04}, (
        "its own time is more"
    )
    assert runner._client_limits(load, replace(result, client_cpu_s=0.1))["client_share"] == pytest.approx(0.2)
    assert runner._client_limits(load, replace(result, workers=2))["client_share"] == 0.25
    assert runner._client_limits(load, replace(result, end_s=1.0)) == nothing
