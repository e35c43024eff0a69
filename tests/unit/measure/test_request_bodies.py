"""What a session's requests ask for, as a scripted server at a URL sees it; and which settings make another server or load."""

import json
import os
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
from standins.answers import chunked, events, sized
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
        nested = [value for value in sent.values() if isinstance(value, dict)]
        flat = {key: value for part in [sent, *nested] for key, value in part.items()}
        assert {key: flat[key] for key in ("temperature", "top_p", "top_k") if flat.get(key) is not None} == expected


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
    assert ids(request={}) == plain == ids(load={"top_p": None, "top_k": None})
    assert ids(request={"n": 1})[0] != plain[0] and ids(request={"n": 1})[1] == plain[1]
    assert ids(load={"top_k": 5})[0] == plain[0] and ids(load={"top_k": 5})[1] != plain[1]
