"""What a session's requests ask for, as a scripted server at a URL sees it; and which settings make another server or load."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helpers.grids import MODEL, grid, servers
from servegrid import engines, protocols
from servegrid.config import ConfigError
from servegrid.measure.folders import RunFolders
from servegrid.measure.session import SessionRun
from servegrid.plan.grid import Grid
from servegrid.plan.resolve import Resolved
from servegrid.prompts.files import Prompt, write_prompts
from servegrid.protocols.base import GenerationSettings, Protocol
from servegrid.records.paths import load_folder, session_folder
from servegrid.util.files import read_json
from servegrid.util.terminal import Progress
from standins.answers import DONE, chunked, completion, event, events, sized
from standins.scripted import ScriptedServer, Seen, Step

TOKENS = 3
DEVICE = f"far-{os.getpid()}"
SENT = {"model", "prompt", "max_tokens", "temperature", "ignore_eos", "min_tokens", "stream", "stream_options"}


def answer(seen: Seen) -> list[Step]:
    if seen.line.startswith("GET"):
        return [sized(b'{"data": [{"id": "m"}]}', kind="application/json")]
    return [chunked(events(TOKENS))]


def far(url: str, engine: str = "openai", load: dict[str, Any] | None = None, **entry: Any) -> Grid:
    resolved = Resolved(MODEL, None, "prompts-1", engine_versions={"far": "1"})
    axes = {"engine": ["far"], "gpu": [DEVICE], "threads": [2], "speculation": ["none"], "quantization": ["none"]}
    changes: dict[str, Any] = {"grid": axes, "devices": {DEVICE: {"kind": "remote"}}, "repeats": 1, "report": {}}
    changes["engines"] = {"far": {"engine": engine, "runtime": "url", "url": url, **entry}}
    changes |= {"load": {"warmup_requests": 1, **(load or {})}}
    return grid(resolved, **changes, prompts__output_tokens=TOKENS)


def bodies(folder: Path, load: dict[str, Any] | None = None, **entry: Any) -> list[dict[str, Any]]:
    """Bodies of all requests of a session, warm-up and load; all are answered well."""
    folders = RunFolders(folder / "results", folder / "resources", folder / "prompts.jsonl")
    write_prompts(folders.prompts, [Prompt(f"p{n}", f"number {n}") for n in range(4)])
    with ScriptedServer(answer) as server:
        expanded = far(server.url, load=load, **entry)
        [session] = expanded.sessions
        SessionRun(session, expanded.config, folders, Progress("s", "1/1", None, folder / "log.txt")).run()
    loads_record = load_folder(session_folder(folders.results, session), session.loads[0]) / "load.json"
    assert read_json(loads_record)["requests"] == {"ok": 4}
    return [seen.json for seen in server.seen if seen.line.startswith("POST")]


def test_a_server_that_runs_already_is_asked_for_and_not_started(tmp_path: Path) -> None:
    bodies(tmp_path)
    said = (tmp_path / "log.txt").read_text()
    assert "asking for the server" in said and "starting the server" not in said


def test_the_defaults_send_what_they_sent(tmp_path: Path) -> None:
    sent = bodies(tmp_path)
    assert len(sent) == 2 + 4 and all(set(body) == SENT and body["temperature"] == 0 for body in sent)


def test_sampling_and_further_fields_are_sent(tmp_path: Path) -> None:
    fields = {"max_tokens": None, "max_completion_tokens": "<max_tokens>", "ignore_eos": None, "min_tokens": None}
    request = {**fields, "reasoning_effort": "low", "lengths": [{"most": "<max_tokens>"}]}
    for body in bodies(tmp_path, {"temperature": 0.7, "top_p": 0.9, "top_k": 20}, request=request):
        assert (body["temperature"], body["top_p"], body["top_k"]) == (0.7, 0.9, 20)
        assert (body["max_completion_tokens"], body["reasoning_effort"]) == (TOKENS, "low")
        assert body["lengths"] == [{"most": TOKENS}] and not {"max_tokens", "ignore_eos", "min_tokens"} & set(body)


def test_a_field_that_load_sets_can_only_be_left_out(tmp_path: Path) -> None:
    assert all("temperature" not in body for body in bodies(tmp_path, request={"temperature": None}))
    with pytest.raises(ConfigError, match=r"engines.far.request.top_p: is set by load.top_p"):
        far("http://127.0.0.1:1", request={"top_p": 0.5})


@pytest.mark.parametrize(
    ("engine", "temperature", "expected"),
    [
        ("lmdeploy", 0.0, {"temperature": 0.0, "top_k": 1}),
        ("lmdeploy", 0.7, {"temperature": 0.7, "top_k": 20, "top_p": 0.9}),
        ("deepspeed-mii", 0.0, {"top_k": 1}),
        ("deepspeed-mii", 0.7, {"temperature": 0.7, "top_k": 20, "top_p": 0.9}),
        ("tgi", 0.7, {"temperature": 0.7, "top_k": 20, "top_p": 0.9}),
        ("sglang", 0.7, {"temperature": 0.7, "top_k": 20, "top_p": 0.9}),
        ("triton-vllm", 0.7, {"temperature": 0.7, "top_k": 20, "top_p": 0.9}),
        ("powerinfer", 0.7, {"temperature": 0.7, "top_k": 20, "top_p": 0.9}),
    ],
)
def test_every_protocol_is_asked_for_the_same_sampling(
    engine: str, temperature: float, expected: dict[str, Any]
) -> None:
    chosen = engines.get(engine)
    [session] = far("http://127.0.0.1:1", engine).sessions
    asked = {"top_p": 0.9, "top_k": 20} if temperature else {}
    for name in chosen.protocols:
        extra = chosen.extra_fields(session.server.spec, 4, temperature)
        settings = GenerationSettings(4, "m", temperature=temperature, extra=extra, **asked)
        sent = sent_fields(protocols.get(name), settings)
        flat = flattened(sent)
        assert {key: flat[key] for key in ("temperature", "top_p", "top_k") if flat.get(key) is not None} == expected


def flattened(sent: dict[str, Any]) -> dict[str, Any]:
    """The fields with those of objects among them."""
    nested = [value for value in sent.values() if isinstance(value, dict)]
    return {key: value for part in [sent, *nested] for key, value in part.items()}


def sent_fields(protocol: Protocol, settings: GenerationSettings) -> dict[str, Any]:
    """The fields of the body that is sent; where it is no JSON, those that it is made of."""
    if protocol.transport == "grpc":
        return {**protocol.fields("Hi", settings), **settings.extra}
    fields: dict[str, Any] = json.loads(protocol.body("Hi", settings))
    return fields


def test_settings_of_a_sampling_object_are_merged_into_it() -> None:
    extra = {"parameters": {"typical_p": 0.9, "details": None}}
    body = protocols.get("tgi-generate").body("Hi", GenerationSettings(4, extra=extra))
    assert body == b'{"inputs": "Hi", "parameters": {"max_new_tokens": 4, "do_sample": false, "typical_p": 0.9}}'


def test_ids_change_with_what_is_asked_for_alone() -> None:
    def ids(**changes: Any) -> tuple[set[str], str]:
        expanded = far("http://127.0.0.1:1", **changes)
        return servers(expanded), expanded.sessions[0].loads[0].id

    plain = ids()
    assert ids(request={}) == plain == ids(load={"top_p": None, "top_k": None, "stop": "exact"})
    assert ids(load={"stop": "natural"})[0] == plain[0] and ids(load={"stop": "natural"})[1] != plain[1]
    assert ids(request={"n": 1})[0] != plain[0] and ids(request={"n": 1})[1] == plain[1]
    assert ids(load={"top_k": 5})[0] == plain[0] and ids(load={"top_k": 5})[1] != plain[1]


FORCING = ("ignore_eos", "min_tokens", "min_new_tokens", "min_length")
"""Body fields that keep an answer from ending by itself."""


def forcing_fields(fields: Any) -> set[str]:
    """Those of FORCING that are set, at any depth, also in JSON inside of a text."""
    if isinstance(fields, str) and fields.startswith("{"):
        fields = json.loads(fields)
    if not isinstance(fields, dict):
        return set()
    own = {name for name, value in fields.items() if name in FORCING and value not in (None, False)}
    return own.union(*map(forcing_fields, fields.values()))


@pytest.mark.parametrize("engine", engines.names())
def test_answers_that_end_by_themselves_are_forced_by_no_protocol(engine: str) -> None:
    [session] = far("http://127.0.0.1:1").sessions
    chosen = engines.get(engine)
    for name in chosen.protocols:
        spec = replace(session.server.spec, protocol=name)
        for exact in (True, False):
            settings = GenerationSettings(4, "m", exact, extra=chosen.extra_fields(spec, 4, 0.0, exact))
            sent = sent_fields(protocols.get(name), settings)
            assert {"max_tokens", "max_new_tokens", "n_predict"} & set(flattened(sent)), "the bound is sent"
            is_forced = bool(forcing_fields(sent))
            assert is_forced == (exact and not chosen.ends_by_checkpoint), (name, exact, sent)


@pytest.mark.parametrize(("stop", "status"), [("exact", "short"), ("natural", "ok")])
def test_an_answer_that_ends_early_is_short_only_where_the_length_was_exact(
    tmp_path: Path, stop: str, status: str
) -> None:
    def early(seen: Seen) -> list[Step]:
        return answer(seen) if seen.line.startswith("GET") else [chunked([event(completion(" w", 1, "stop")), DONE])]

    folders = RunFolders(tmp_path / "results", tmp_path / "resources", tmp_path / "prompts.jsonl")
    write_prompts(folders.prompts, [Prompt(f"p{n}", f"number {n}") for n in range(4)])
    with ScriptedServer(early) as server:
        expanded = far(server.url, load={"stop": stop})
        [session] = expanded.sessions
        SessionRun(session, expanded.config, folders, Progress("s", "1/1", None, tmp_path / "log.txt")).run()
    record = read_json(load_folder(session_folder(folders.results, session), session.loads[0]) / "load.json")
    assert record["requests"] == {status: 4} and record["definition"].get("stop", "exact") == stop
