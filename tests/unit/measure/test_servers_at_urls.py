"""Sessions at URLs of servers that refuse what they can, over plain and TLS sockets: measured once the config says how."""

import json
import os
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from helpers.grids import MODEL, grid
from servegrid.client.kinds import missing_programs
from servegrid.consult import doctor
from servegrid.measure.folders import RunFolders
from servegrid.measure.session import SessionRun
from servegrid.plan.grid import Grid
from servegrid.plan.resolve import Resolved
from servegrid.prompts.files import Prompt, write_prompts
from servegrid.records.paths import load_folder, session_folder
from servegrid.util.files import read_json
from servegrid.util.terminal import Progress
from standins.answers import DONE, chunked, event, sized, usage
from standins.scripted import CERTIFICATE, ScriptedServer, Seen, Step

pytestmark = pytest.mark.slow

TOKENS = 3
DEVICE = f"url-{os.getpid()}"
ENDPOINT = "/gateway/chat/completions?tenant=7"
KNOWN = {"model", "messages", "max_completion_tokens", "temperature", "stream", "stream_options"}
LEFT_OUT: dict[str, Any] = {"ignore_eos": None, "min_tokens": None, "stream_options": {"continuous_usage_stats": None}}
REQUEST = {**LEFT_OUT, "max_tokens": None, "max_completion_tokens": "<max_tokens>"}
NOT_FOUND = sized(b'{"detail": "Not Found"}', "404 Not Found", "application/json")
METRICS = sized(b"llamacpp:requests_processing 2\n", kind="text/plain")


def far(url: str, load: dict[str, Any] | None = None, **entry: Any) -> Grid:
    resolved = Resolved(MODEL, None, "prompts-1", engine_versions={"far": "1"})
    axes = {"engine": ["far"], "gpu": [DEVICE], "threads": [2], "speculation": ["none"], "quantization": ["none"]}
    changes: dict[str, Any] = {"grid": axes, "devices": {DEVICE: {"kind": "remote"}}, "repeats": 1, "report": {}}
    changes["engines"] = {"far": {"engine": "openai", "runtime": "url", "url": url, **entry}}
    changes |= {"load": {"warmup_requests": 1, **(load or {})}, "telemetry_interval_s": 0.1}
    return grid(resolved, **changes, prompts__output_tokens=TOKENS)


def measured(folder: Path, expanded: Grid) -> tuple[dict[str, Any], Path]:
    """The record of the only load of the grid's only session, and the session's folder."""
    folders = RunFolders(folder / "results", folder / "resources", folder / "prompts.jsonl")
    write_prompts(folders.prompts, [Prompt(f"p{n}", f"number {n}") for n in range(4)])
    [session] = expanded.sessions
    SessionRun(session, expanded.config, folders, Progress("s", "1/1", None, folder / "log.txt")).run()
    where = session_folder(folders.results, session)
    return dict(read_json(load_folder(where, session.loads[0]) / "load.json")), where


def refusing(seen: Seen) -> list[Step]:
    """A gateway with chat completions at one path with one query, that knows few fields; and llama.cpp's metrics."""
    method, path, _ = seen.line.split()
    if (method, path) == ("GET", "/gateway/metrics?tenant=7"):
        return [METRICS]
    if (method, path) != ("POST", ENDPOINT):
        return [NOT_FOUND]
    unknown = (seen.json.keys() - KNOWN) | (seen.json["stream_options"].keys() - {"include_usage"})
    if unknown:
        return [sized(json.dumps({"error": f"unknown fields: {sorted(unknown)}"}).encode(), "400 Bad Request")]
    words = [{"choices": [{"delta": {"content": f" w{k}"}, "finish_reason": None}]} for k in range(TOKENS)]
    words[-1]["choices"][0]["finish_reason"] = "length"
    return [chunked([*map(event, words), event(usage(seen.json["max_completion_tokens"])), DONE])]


def entry(server: ScriptedServer, **changes: Any) -> dict[str, Any]:
    fixed = {"url": server.url + ENDPOINT, "protocol": "openai-chat", "served_model": "m", "request": REQUEST}
    return {**fixed, "engine": "llamacpp", **changes}


@pytest.mark.parametrize("client", ["stream", "requests", "parallel"])
def test_over_tls_everything_trusts_the_same_file(client: str, tmp_path: Path) -> None:
    if client == "parallel" and (reason := missing_programs()):
        pytest.skip(reason)
    with ScriptedServer(refusing, tls=True) as server:
        url = server.url.replace("127.0.0.1", "localhost") + ENDPOINT
        expanded = far(load={"client": client}, **entry(server, url=url, ca_file=str(CERTIFICATE)))
        record, folder = measured(tmp_path, expanded)
        assert record["requests"] == {"ok": 4}
        assert {seen.line.split()[1] for seen in server.seen if seen.line.startswith("POST")} == {ENDPOINT}
    scraped = pq.read_table(folder / "server_metrics.parquet").to_pylist()
    assert {(row["name"], row["value"]) for row in scraped} == {("llamacpp:requests_processing", 2.0)}


def test_the_environment_names_who_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    with ScriptedServer(refusing, tls=True) as server:
        record, folder = measured(tmp_path, far(**entry(server)))
    assert record["requests"] == {"ok": 4} and pq.read_metadata(folder / "server_metrics.parquet").num_rows


def test_who_is_not_trusted_is_not_waited_for(tmp_path: Path) -> None:
    with ScriptedServer(refusing, tls=True) as server:
        expanded = far(**entry(server))
        with pytest.raises(FileNotFoundError):
            measured(tmp_path, expanded)
        [finding] = doctor._check_engines(expanded)
    [path] = (tmp_path / "results").rglob("session.json")
    assert (read_json(path)["status"], read_json(path)["launches"][0]["kind"]) == ("failed", "refused")
    assert "TLS: self-signed certificate" in read_json(path)["reason"] and finding.state == "miss"


@pytest.mark.parametrize(
    ("health_path", "asked"),
    [(None, {"/gateway/health?tenant=7"}), ("/ping", {"/gateway/ping?tenant=7"}), ("none", set())],
)
def test_what_is_asked_before_the_load(health_path: str | None, asked: set[str], tmp_path: Path) -> None:
    with ScriptedServer(refusing) as server:
        expanded = far(**entry(server, health_path=health_path))
        [finding] = doctor._check_engines(expanded)
        assert {seen.line.split()[1] for seen in server.seen} == asked
        record, _ = measured(tmp_path, expanded)
    assert record["requests"] == {"ok": 4}
    assert (finding.state, finding.detail) == (
        ("good", f"answers at {server.url}{ENDPOINT}") if asked else ("note", f"not asked at {server.url}{ENDPOINT}")
    )


def test_a_server_without_a_list_of_models_is_told_apart() -> None:
    with ScriptedServer(refusing) as server:
        [named] = doctor._check_engines(far(**entry(server)))
        [unnamed] = doctor._check_engines(far(**entry(server, served_model=None)))
    assert (named.state, unnamed.state) == ("good", "note")
    assert unnamed.detail.endswith("lists no models") and "engines.far.served_model" in unnamed.remedy


def test_an_answer_that_there_is_nothing_names_the_url(tmp_path: Path) -> None:
    with ScriptedServer(refusing) as server:
        record, _ = measured(tmp_path, far(f"{server.url}/else?tenant=7", served_model="m"))
    assert f"HTTP 404 at {server.url}/else/v1/completions?tenant=7: Not Found" in record["reason"]


def test_the_id_does_not_tell_whom_one_trusts() -> None:
    def server_id(**changes: Any) -> str:
        return far("https://host", **changes).sessions[0].server.id

    assert server_id() == server_id(ca_file=str(CERTIFICATE)) == server_id(health_path="none")
