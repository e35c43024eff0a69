"""Engines that cannot run here, against stand-ins that follow their source: through the load client, and through whole sessions."""

import json
import os
import shutil
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

from helpers.specs import SPEC
from isolation import TESTS
from servegrid import engines, protocols
from servegrid.client.endpoint import Endpoint
from servegrid.client.exchange import Request
from servegrid.client.run import run
from servegrid.client.shape import ClosedLoop
from servegrid.config import parse_config
from servegrid.engines.base import ServerSpec
from servegrid.measure.folders import RunFolders
from servegrid.measure.session import SessionRun
from servegrid.model import without_eos
from servegrid.plan.grid import Grid
from servegrid.plan.resolve import resolve
from servegrid.protocols.base import GenerationSettings
from servegrid.records.paths import load_folder, session_folder
from servegrid.records.request import RequestRecord
from servegrid.telemetry.exposition import parse
from servegrid.util.files import read_json
from servegrid.util.terminal import Progress
from standins.mii import Mii
from standins.powerinfer import PowerInfer
from standins.scripted import ScriptedServer
from standins.standin import StandIn
from standins.tgi import Tgi

pytestmark = pytest.mark.slow

FAKES = TESTS / "standins"
WORDS = "one two three"


def send(
    server: StandIn | ScriptedServer, engine: str, prompts: list[str], threads: int = 1, tokens: int = 8, **more: Any
) -> list[RequestRecord]:
    """Records of the load client for these prompts, sent with the engine's protocol and request fields."""
    spec = ServerSpec(**{**{name: getattr(SPEC, name) for name in SPEC.__slots__}, "engine": engine, **more})
    chosen = engines.get(engine)
    protocol = protocols.get(spec.protocol or chosen.protocols[0])
    model = server.model if isinstance(server, Mii) else "tiny"
    settings = GenerationSettings(tokens, model, extra=chosen.extra_fields(spec, tokens))
    requests = [Request(f"r{n}", f"p{n}", protocol.body(p, settings), tokens) for n, p in enumerate(prompts)]
    return run(Endpoint(server.url + protocol.path), requests, ClosedLoop(threads), protocol, tokenizer=Words()).records


class Words:
    """A tokenizer that counts as the stand-ins do."""

    def encode(self, sequence: str, *, add_special_tokens: bool) -> Any:
        return type("Encoding", (), {"ids": sequence.split()})


@pytest.mark.parametrize("version", ["3.3.7", "1.4.4"])
def test_tgi_answers(version: str) -> None:
    with Tgi(version) as server:
        [record] = send(server, "tgi" if version == "3.3.7" else "tgi-1.4", [WORDS])
    assert (record.status, record.error, record.finish_reason) == ("ok", None, "length")
    assert (record.output_tokens, record.tokens_from) == (8, "usage") and len(record.chunk_offsets_s) == 8
    assert record.prompt_tokens == (3 if version == "3.3.7" else None)
    assert record.text is not None and len(record.text.split()) == 8
    assert record.chunk_tokens == list(range(1, 9))


def test_tgi_gives_the_same_text_in_both_protocols() -> None:
    with Tgi() as server:
        [native] = send(server, "tgi", [WORDS])
        [openai] = send(server, "tgi", [WORDS], protocol="openai-completions")
    assert (openai.status, openai.output_tokens, openai.tokens_from) == ("ok", 8, "usage")
    assert (openai.text, openai.prompt_tokens, openai.finish_reason) == (native.text, 3, "length")


def test_an_end_token_makes_tgi_stop_short(tiny_model: Path) -> None:
    with Tgi(model_id=str(tiny_model)) as server:
        [record] = send(server, "tgi", [WORDS])
    assert (record.status, record.finish_reason) == ("short", "stop")
    assert record.error == "5 of 8 tokens (stop)"


@pytest.mark.parametrize("protocol", ["tgi-generate", "openai-completions"])
def test_what_tgi_refuses_while_it_answers_200(protocol: str) -> None:
    with Tgi(max_total_tokens="10") as server:
        [long] = send(server, "tgi", [WORDS], protocol=protocol)
        page = parse(urllib.request.urlopen(f"{server.url}/metrics").read().decode())
    assert (long.http_status, long.status) == (200, "error")
    assert long.error is not None and "must be <= 10. Given: 3 `inputs` tokens and 8 `max_new_tokens`" in long.error
    assert any("tgi_request_failure" in str(sample) for sample in page)


@pytest.mark.parametrize(
    ("protocol", "message"),
    [("tgi-generate", "overloaded: Model is overloaded"), ("openai-completions", "Model is overloaded")],
)
def test_tgi_rejects_what_is_above_its_limit(protocol: str, message: str) -> None:
    with Tgi(max_concurrent_requests="2") as server:
        prompts = [f"{WORDS} {n}" for n in range(16)]
        records = send(server, "tgi", prompts, threads=8, tokens=20, protocol=protocol)
    rejected = [record for record in records if record.status == "rejected"]
    assert rejected and {(r.http_status, r.error) for r in rejected} == {(200, message)}
    assert {record.status for record in records} == {"ok", "rejected"}


def test_tgi_fails_in_the_middle() -> None:
    with Tgi() as server:
        [record] = send(server, "tgi", ["please fail now"])
    assert (record.status, len(record.chunk_offsets_s)) == ("error", 2)
    assert record.error == "generation: Request failed during generation: Server error: CUDA out of memory."


def test_a_stream_of_tgi_that_is_cut_off_is_no_answer() -> None:
    events = b'data:{"index":1,"token":{"id":1,"text":" a","logprob":-0.5,"special":false},"generated_text":null,"details":null}\n\n'
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(events), events)
    with ScriptedServer([head + body]) as server:
        [record] = send(server, "tgi", [WORDS])
    assert (record.status, record.text) == ("malformed", " a")


def test_speculated_tokens_of_tgi() -> None:
    with Tgi(speculate="3") as server:
        [record] = send(server, "tgi", [WORDS])
        page = urllib.request.urlopen(f"{server.url}/metrics").read().decode()
    assert (record.status, record.output_tokens, len(record.chunk_offsets_s)) == ("ok", 8, 8)
    assert "# TYPE tgi_request_skipped_tokens summary\n" in page and "\ntgi_request_skipped_tokens_sum 6\n" in page
    assert "\ntgi_request_input_length_sum 3\n" in page and "\ntgi_batch_current_size 0\n" in page


def test_mii_answers_to_the_exact_length() -> None:
    with Mii("/models/m") as server:
        [record] = send(server, "deepspeed-mii", [WORDS])
    assert (record.status, record.error, record.finish_reason) == ("ok", None, "length")
    assert (record.output_tokens, record.tokens_from, record.prompt_tokens) == (8, "tokenizer", None)


def test_mii_refuses_another_models_name() -> None:
    with Mii("/models/m") as server:
        body = json.dumps({"model": "tiny", "prompt": "Hi", "stream": True}).encode()
        protocol = protocols.get("openai-completions")
        endpoint = Endpoint(server.url + protocol.path)
        [record] = run(endpoint, [Request("r", "p", body, 1)], ClosedLoop(1), protocol).records
    assert (record.http_status, record.status) == (400, "error")
    assert record.error == "HTTP 400: Model tiny not found."


def test_an_engine_of_mii_that_is_gone_cuts_the_answer() -> None:
    with Mii("/models/m") as server:
        [record] = send(server, "deepspeed-mii", ["please fail now"])
    assert (record.status, len(record.chunk_offsets_s)) == ("disconnected", 2)


POWERINFER = (TESTS / "data" / "powerinfer-completion.txt").read_bytes()


def test_a_captured_answer_of_powerinfer() -> None:
    """The answer to n_predict 7 on the built-in model: eight tokens, of which the server counts seven."""
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(POWERINFER), POWERINFER)
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nServer: llama.cpp\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    with ScriptedServer([head + body]) as server:
        [record] = send(server, "powerinfer", ["Hello there"])
    assert server.seen[0].json["n_predict"] == 7 and b'"tokens_predicted":7' in POWERINFER
    assert (record.status, record.output_tokens, record.finish_reason) == ("ok", 8, "length")
    assert len(record.chunk_offsets_s) == 8 and record.prompt_tokens == 9


def test_powerinfer_refuses_without_a_word() -> None:
    with PowerInfer(parallel=1) as server:
        records = send(server, "powerinfer", [f"{WORDS} {n}" for n in range(12)], threads=4, tokens=20)
    assert {record.status for record in records} == {"ok", "malformed"}
    assert {record.error for record in records} == {None, "the answer ended without any event"}
    assert {record.output_tokens for record in records if record.status == "ok"} == {20}


def session_of(tmp_path: Path, engine: str, program: list[str], checkpoint: Path) -> tuple[dict[str, Any], Any]:
    """Run one whole session of the engine with a stand-in as its program; return its record and its requests."""
    resources = tmp_path / "resources"
    device = f"standin-{os.getpid()}"  # of its own, so that no sweep on this host holds it
    raw: dict[str, Any] = {
        "prompts": {"count": 4, "output_tokens": 8},
        "engines": {engine: {"runtime": "command", "command": [sys.executable, *program], "version": "stand-in"}},
        "devices": {device: {"kind": "cpu"}},
        "grid": {"engine": [engine], "gpu": [device], "threads": [2]},
        "repeats": 1,
        "load": {"warmup_requests": 1},
        "pathvars": {"results": str(tmp_path / "results"), "resources": str(resources)},
        "telemetry_interval_s": 0.1,
    }
    config = parse_config(raw)
    resolved = resolve(config)
    (resources / resolved.model.folder).mkdir(parents=True)
    (resources / resolved.model.checkpoint).symlink_to(checkpoint)
    without_eos.copy_without_eos(checkpoint, resources / resolved.model.folder / "checkpoint-no-eos")
    (resources / resolved.model.folder / "f32.gguf").touch()
    [session] = Grid(config, resolved).sessions
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"id": f"p{n}", "prompt": f"{WORDS} {n}"}) + "\n" for n in range(4)))
    folders = RunFolders(tmp_path / "results", resources, prompts)
    SessionRun(session, config, folders, Progress("test", "[1/1]", 0.0, tmp_path / "log")).run()
    folder = session_folder(folders.results, session)
    return read_json(folder / "session.json"), pq.read_table(load_folder(folder, session.loads[0]) / "requests.parquet")


@pytest.mark.parametrize(("engine", "version"), [("tgi", "3.3.7"), ("tgi-1.4", "1.4.4")])
def test_a_session_of_tgi(
    engine: str, version: str, tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers have their exact length, because the copy of the checkpoint knows no end token."""
    monkeypatch.setattr(type(engines.get(engine)), "devices", ("cuda", "cpu"))  # the stand-in needs no GPU
    record, requests = session_of(tmp_path, engine, [str(FAKES / "tgi.py"), version], tiny_model)
    [launch] = record["launches"]
    assert (record["status"], launch["status"], launch["reason"]) == ("ok", "ok", None)
    assert launch["reported"]["version"] == version
    assert (launch["reported"]["context_tokens"], launch["reported"]["concurrency"]) == (512, 4)
    assert requests["status"].to_pylist() == ["ok"] * 4 and requests["output_tokens"].to_pylist() == [8] * 4


def test_a_session_of_mii(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(engines.get("deepspeed-mii")), "devices", ("cuda", "cpu"))  # the stand-in needs no GPU
    checkpoint = Path(shutil.copytree(tiny_model, tmp_path / "model-of-words"))
    tokenizer = Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.save(str(checkpoint / "tokenizer.json"))
    record, requests = session_of(tmp_path, "deepspeed-mii", [str(FAKES / "mii.py")], checkpoint)
    assert record["status"] == "ok" and record["launches"][0]["model"].endswith("/checkpoint")
    assert requests["status"].to_pylist() == ["ok"] * 4
    assert set(requests["tokens_from"].to_pylist()) == {"tokenizer"} and set(requests["output_tokens"].to_pylist()) == {
        8
    }


def test_a_session_of_powerinfer(tmp_path: Path, tiny_model: Path) -> None:
    """A session works without the paths /health and /metrics."""
    record, requests = session_of(tmp_path, "powerinfer", [str(FAKES / "powerinfer.py")], tiny_model)
    assert record["status"] == "ok"
    assert requests["status"].to_pylist() == ["ok"] * 4 and requests["output_tokens"].to_pylist() == [8] * 4


def test_a_flag_that_tgi_does_not_know_fails_its_start(tmp_path: Path, tiny_model: Path) -> None:
    """Flags of the newer version make the older one fail at start."""
    with pytest.raises(FileNotFoundError, match=r"requests\.parquet"):
        session_of(tmp_path, "tgi", [str(FAKES / "tgi.py"), "1.4.4"], tiny_model)
    [path] = (tmp_path / "results").glob("sessions/*/rep1/session.json")
    record = read_json(path)
    assert record["status"] == "failed" and "unrecognized arguments" in record["reason"]
