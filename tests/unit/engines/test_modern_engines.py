"""SGLang, TensorRT-LLM and LMDeploy: their protocols, through the real load client and stand-ins that follow their sources."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from helpers.specs import base
from servegrid import engines, protocols
from servegrid.client.endpoint import Endpoint
from servegrid.client.exchange import Request
from servegrid.client.run import LoadResult, run
from servegrid.client.shape import ClosedLoop
from servegrid.launch.remote import RemoteServer
from servegrid.protocols.base import GenerationSettings
from servegrid.records.request import RequestRecord
from standins.lmdeploy_server import LMDeploy
from standins.openai_like import StandIn, serving
from standins.sglang_server import SGLang
from standins.tensorrt_llm_server import TensorRTLLM

pytestmark = pytest.mark.slow

STAND_INS: Mapping[str, type[StandIn]] = {
    "sglang": SGLang,
    "tensorrt-llm": TensorRTLLM,
    "lmdeploy": LMDeploy,
    "lmdeploy-pytorch": LMDeploy,
}
WAYS = [(name, "openai-completions") for name in STAND_INS] + [("sglang", "sglang-generate")]
KEYS = [
    ("sglang", "/v1/completions", "id object created model choices usage"),
    ("tensorrt-llm", "/v1/completions", "id object created model choices usage"),
    ("lmdeploy", "/v1/completions", "id object created model choices"),
]
PROMPT = "what the lighthouse keeper found"
TOKENS = 8


def made(engine: str, **more: Any) -> StandIn:
    return STAND_INS[engine]("tiny", 64, more.pop("limit", 4), **more)


def body(
    engine: str, way: str, tokens: int = TOKENS, exact: bool = True, extra: Mapping[str, Any] | None = None
) -> bytes:
    spec = replace(base(engines.get(engine), "command", "cuda"), protocol=way)
    fields = dict(engines.get(engine).extra_fields(spec, tokens)) | dict(extra or {})
    return protocols.get(way).body(PROMPT, GenerationSettings(tokens, "tiny", exact, extra=fields))


def load(
    stand_in: StandIn, way: str, request: bytes, number: int = 1, threads: int = 1, max_tokens: int = TOKENS
) -> LoadResult:
    protocol = protocols.get(way)
    with serving(stand_in) as url:
        todo = [Request(f"r{n}", "p", request, max_tokens) for n in range(number)]
        return run(Endpoint(url + protocol.path), todo, ClosedLoop(threads), protocol)


def one(stand_in: StandIn, way: str, request: bytes) -> RequestRecord:
    [record] = load(stand_in, way, request).records
    return record


def expected(tokens: int) -> str:
    prompt_words = PROMPT.split()
    return "".join(f" {prompt_words[n % len(prompt_words)]}{n}" for n in range(tokens))


@pytest.mark.parametrize("drafted", [0, 2])
@pytest.mark.parametrize(("engine", "way"), WAYS)
def test_exactly_as_many_tokens_as_asked(engine: str, way: str, drafted: int) -> None:
    record = one(made(engine, drafted=drafted), way, body(engine, way))
    assert (record.status, record.error, record.finish_reason) == ("ok", None, "length")
    assert (record.output_tokens, record.tokens_from, record.prompt_tokens) == (TOKENS, "usage", len(PROMPT.split()))
    assert record.text == expected(TOKENS)
    assert len(record.chunk_offsets_s) == (TOKENS // 2 if drafted else TOKENS)
    if not engine.startswith("lmdeploy"):  # which counts at the end alone
        assert record.chunk_tokens == list(range(2 if drafted else 1, TOKENS + 1, 2 if drafted else 1))


@pytest.mark.parametrize(("engine", "way"), WAYS)
def test_an_end_token_ends_it_where_the_length_is_free(engine: str, way: str) -> None:
    record = one(made(engine), way, body(engine, way, exact=False))
    assert (record.finish_reason, record.output_tokens, record.text) == ("stop", 3, expected(3))


@pytest.mark.parametrize(("engine", "way"), WAYS)
def test_many_at_once(engine: str, way: str) -> None:
    result = load(made(engine, limit=2), way, body(engine, way), 12, 6)
    assert {(record.status, record.text) for record in result.records} == {("ok", expected(TOKENS))}


@pytest.mark.parametrize(("engine", "way"), WAYS)
def test_too_long_a_request_is_refused_in_the_servers_words(engine: str, way: str) -> None:
    stand_in = made(engine)
    stand_in.context = 4  # shorter than the prompt
    if isinstance(stand_in, TensorRTLLM):
        stand_in.max_num_tokens = 4
    record = one(stand_in, way, body(engine, way))
    assert record.status == "error" and record.output_tokens is None
    assert "context length" in str(record.error) or "max_num_tokens" in str(record.error)
    assert record.http_status == (200 if way == "sglang-generate" else 400)


@pytest.mark.parametrize("way", ["openai-completions", "sglang-generate"])
def test_a_full_queue_is_a_rejection_inside_of_a_stream(way: str) -> None:
    stand_in = SGLang("tiny", 64, 1, queue=0)
    result = load(stand_in, way, body("sglang", way, 24), 3, 3, max_tokens=24)
    outcomes = sorted((record.status, record.http_status) for record in result.records)
    assert ("rejected", 200) in outcomes and ("ok", 200) in outcomes
    rejected = next(record for record in result.records if record.status == "rejected")
    assert "The request queue is full." in str(rejected.error)


def test_sglang_says_per_request_what_was_drafted() -> None:
    record = one(made("sglang", drafted=2), "sglang-generate", body("sglang", "sglang-generate"))
    assert (record.drafted_tokens, record.accepted_tokens) == (8, 4)


@pytest.mark.parametrize("prompt", [PROMPT, "a", "a a a"])
def test_both_forms_of_sglangs_stream_give_the_same_text(prompt: str) -> None:
    """Both forms give the same text, also where each piece begins like the text before it."""
    way = protocols.get("sglang-generate")
    request = way.body(prompt, GenerationSettings(TOKENS))
    records = [one(SGLang("m", 64, 1, incremental=each), "sglang-generate", request) for each in (False, True)]
    assert records[0].text == records[1].text and records[0].chunk_tokens == records[1].chunk_tokens
    assert {record.status for record in records} == {"ok"}


class Busy(SGLang):
    """SGLang's stand-in with full events, long token counts, and text in another script."""

    def _generate(self, asked: dict[str, Any]) -> Iterator[str]:
        text, ids = "", []
        for made in range(1, asked["sampling_params"]["max_new_tokens"] + 1):
            text, ids = text + " \u0446\u0435", [*ids, 150_000 + made]
            finish = {"type": "length", "length": made} if made == LONG else None
            meta = {"id": "a", "finish_reason": finish, "prompt_tokens": 5, "completion_tokens": made}
            yield "data: " + json.dumps({"text": text, "output_ids": ids, "meta_info": meta}) + "\n\n"
        yield "data: [DONE]\n\n"


LONG = 1400


@pytest.mark.parametrize("kind", ["stream", "requests"])
def test_a_long_answer_whose_events_repeat_it_is_no_flood(kind: Any) -> None:
    way = protocols.get("sglang-generate")
    todo = [Request("r", "p", way.body(PROMPT, GenerationSettings(LONG)), LONG)]
    with serving(Busy("m", 4096, 1)) as url:
        [record] = run(Endpoint(url + way.path), todo, ClosedLoop(1), way, kind=kind).records
    assert (record.status, record.error, record.output_tokens) == ("ok", None, LONG)


def test_what_may_be_repeated_has_an_end() -> None:
    assert protocols.get("sglang-generate").max_answer_bytes(10**6) < 10**6 * 8192 + 2**30


def test_tensorrt_llm_takes_no_field_that_it_does_not_know() -> None:
    record = one(
        made("tensorrt-llm"), "openai-completions", body("tensorrt-llm", "openai-completions", extra={"best": 1})
    )
    assert (record.status, record.http_status) == ("error", 400) and "extra_forbidden" in str(record.error)
    odd = {"stream_options": {"include_usage": True, "include_obfuscation": False}}
    request = body("tensorrt-llm", "openai-completions", extra=odd)
    assert one(made("tensorrt-llm"), "openai-completions", request).http_status == 400


def test_a_stream_that_tensorrt_llm_breaks_off() -> None:
    stand_in = TensorRTLLM("tiny", 64, 4)
    stand_in.breaks_after = 3
    record = one(stand_in, "openai-completions", body("tensorrt-llm", "openai-completions"))
    assert record.status == "disconnected" and record.text == expected(3)


def test_an_error_in_lmdeploys_stream() -> None:
    stand_in = LMDeploy("tiny", 64, 4)
    stand_in.fails_after = 2
    record = one(stand_in, "openai-completions", body("lmdeploy", "openai-completions"))
    assert (record.status, record.http_status) == ("error", 200)
    assert record.error == "server_error: An internal server error occurred."


def test_lmdeploy_knows_its_model_by_one_name() -> None:
    record = one(LMDeploy("other", 64, 4), "openai-completions", body("lmdeploy", "openai-completions"))
    assert record.http_status == 404 and "The model 'tiny' does not exist." in str(record.error)


@pytest.mark.parametrize(("engine", "path", "keys"), KEYS)
def test_the_shape_of_chunks(engine: str, path: str, keys: str) -> None:
    """Chunks have the key order and spacing of each server's JSON writer."""
    events = list(made(engine).stream(path, body(engine, "openai-completions")))
    first = events[0].removeprefix("data: ").rstrip()
    assert list(json.loads(first))[: len(keys.split())] == keys.split()
    assert ('": ' in first) == (engine == "lmdeploy")
    assert events[-1] == "data: [DONE]\n\n" and json.loads(events[-2].removeprefix("data: "))["choices"] == []


@pytest.mark.parametrize("engine", STAND_INS)
def test_ready_only_when_loaded_and_what_it_says_of_itself(engine: str) -> None:
    kind = engines.get(engine)
    with serving(made(engine, loading_s=0.3)) as url, RemoteServer(url, {}) as remote:
        assert remote.answers([kind.health_path]) == {kind.health_path: None}
        remote.wait_ready(url + kind.health_path, 20)
        reported = kind.reported(remote.answers(kind.info_paths))
        assert remote.first_model() == "tiny"
    expected_info = {"sglang": ("0.5.23", 64, 4, 4096), "tensorrt-llm": ("1.2.1", None, None, None)}
    info = (reported.version, reported.context_tokens, reported.concurrency, reported.kv_cache_tokens)
    assert info == expected_info.get(engine, (None, None, None, None))


MEMORY = [
    ("sglang", 0.45, 1, 0, "0.45"),
    ("sglang", 0.45, 2, 0, "0.45"),
    ("sglang", 0.45, 2, 1, "0.8182"),  # 0.45 of the whole, of which 0.55 is free
]


@pytest.mark.parametrize(("engine", "fraction", "sharing", "copy", "share"), MEMORY)
def test_the_share_of_each_server_on_a_device(
    engine: str, fraction: float, sharing: int, copy: int, share: str
) -> None:
    from test_engines import RESOURCES

    from servegrid.launch.command_line import nominal_launch

    kind = engines.get(engine)
    spec = replace(base(kind, "command", "cuda"), memory_fraction=fraction, sharing=sharing)
    assert kind.unsupported(spec) is None
    arguments = kind.arguments(spec, nominal_launch(spec, RESOURCES, copy=copy))
    assert arguments[arguments.index("--mem-fraction-static") + 1] == share


REFUSED = [
    ("sglang", 0.5, "2 x 0.5 of the memory leaves SGLang none for activations"),
    ("tensorrt-llm", 0.4, "free after its weights"),
    ("lmdeploy", 0.4, "free after its weights"),
]


@pytest.mark.parametrize(("engine", "fraction", "reason"), REFUSED)
def test_shares_that_cannot_be_given(engine: str, fraction: float, reason: str) -> None:
    spec = replace(base(engines.get(engine), "command", "cuda"), memory_fraction=fraction, sharing=2)
    assert reason in str(engines.get(engine).unsupported(spec))


def test_turbomind_has_no_speculation() -> None:
    from servegrid.engines.speculation import Speculation

    spec = replace(base(engines.get("lmdeploy"), "command", "cuda"), speculation=Speculation("eagle3", 3))
    assert engines.get("lmdeploy").unsupported(spec) == "LMDeploy (TurboMind) has no speculative decoding"
