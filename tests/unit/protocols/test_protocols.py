"""What each protocol asks for, and how it reads what servers really send."""

import json
import pkgutil
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from servegrid import protocols
from servegrid.protocols.base import GenerationSettings, ParseResult, Protocol, find_error, parse_json_events
from servegrid.protocols.events import Events
from servegrid.records.request import RequestRecord
from standins.answers import completion, usage

COMPLETIONS = protocols.get("openai-completions")
CHAT = protocols.get("openai-chat")
LLAMACPP = protocols.get("llamacpp-completion")
POWERINFER = protocols.get("powerinfer-completion")
TGI = protocols.get("tgi-generate")


def parse(
    protocol: Protocol, *documents: Any, types: dict[int, str] | None = None
) -> tuple[RequestRecord, ParseResult]:
    """Parse events that arrive at 1, 2, 3 … s after a request sent at 0."""
    record = RequestRecord("r", "p", 4, "ok", sent_s=0.0)
    events = Events()
    for number, document in enumerate(documents):
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        events.add(number + 1.0, data, (types or {}).get(number, ""))
    return record, protocol.parse(events, record)


def fields(protocol: Protocol, **settings: Any) -> Any:
    return json.loads(protocol.body("Hi", GenerationSettings(**{"max_tokens": 4, **settings})))


def delta(finish: str | None = None, **content: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": content, "finish_reason": finish}]}


def test_every_module_is_a_protocol_by_its_name() -> None:
    assert {"openai-completions", "openai-chat", "llamacpp-completion"} <= set(protocols.names())
    for name in protocols.names():
        assert protocols.get(name).name == name and protocols.get(name).path.startswith("/")
    assert "base" in {module.name for module in pkgutil.iter_modules(protocols.__path__)}


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"protocol 'telnet': expected one of .*openai-chat"):
        protocols.get("telnet")


def test_body_of_completions() -> None:
    assert fields(COMPLETIONS, model="m", seed=3) == {
        "prompt": "Hi",
        "model": "m",
        "max_tokens": 4,
        "temperature": 0.0,
        "seed": 3,
        "ignore_eos": True,
        "min_tokens": 4,
        "stream": True,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
    }


def test_body_without_exact_length_names_no_extension() -> None:
    assert not {"ignore_eos", "min_tokens", "seed", "model"} & set(fields(COMPLETIONS, exact=False))


def test_extra_fields_add_replace_and_leave_out() -> None:
    body = fields(COMPLETIONS, extra={"top_k": 1, "temperature": 0.5, "ignore_eos": None})
    assert (body["top_k"], body["temperature"]) == (1, 0.5) and "ignore_eos" not in body


def test_a_reference_is_replaced_by_what_the_request_has_under_that_name() -> None:
    references = {name: f"<{name}>" for name in ("prompt", "max_tokens", "model", "temperature", "top_p", "seed")}
    extra = {"max_tokens": None, "most": "<max_tokens>", "in": [references], "stop": ["<eos>", "<max_token>"]}
    body = fields(CHAT, model="m", seed=3, extra=extra)
    assert body["most"] == 4 and "max_tokens" not in body and body["stop"] == ["<eos>", "<max_token>"]
    assert body["in"] == [{"prompt": "Hi", "max_tokens": 4, "model": "m", "temperature": 0.0, "seed": 3}]


def test_a_prompt_that_looks_like_a_reference_is_sent_as_it_is() -> None:
    body = json.loads(CHAT.body("<max_tokens>", GenerationSettings(4, extra={"prompt": "<prompt>"})))
    assert body["prompt"] == body["messages"][0]["content"] == "<max_tokens>"


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"continuous_usage_stats": None}, {"include_usage": True}),
        ({"continuous_usage_stats": None, "more": 1}, {"include_usage": True, "more": 1}),
        ({"include_usage": False}, {"include_usage": False}),
        (None, None),
    ],
)
def test_a_part_of_an_object_is_left_out_or_the_object_replaced(given: Any, sent: Any) -> None:
    assert fields(CHAT, extra={"stream_options": given}).get("stream_options") == sent


@pytest.mark.parametrize("name", protocols.names())
def test_every_protocol_fills_in_references(name: str) -> None:
    body = protocols.get(name).body("Hi", GenerationSettings(977, extra={"another_name": "<max_tokens>"}))
    assert b"another_name" in body and b"<max_tokens>" not in body


def test_body_of_chat_and_llamacpp() -> None:
    assert fields(CHAT)["messages"] == [{"role": "user", "content": "Hi"}]
    body = fields(LLAMACPP)
    assert (body["prompt"], body["n_predict"], body["ignore_eos"], body["stream"]) == ("Hi", 4, True, True)


def test_body_of_tgi() -> None:
    """Greedy is to say nothing of sampling: temperature 0 and top_p 1 are refused."""
    assert fields(TGI, model="m") == {
        "inputs": "Hi",
        "parameters": {"max_new_tokens": 4, "do_sample": False, "details": True},
    }
    sampled = fields(TGI, temperature=0.7, seed=3)["parameters"]
    assert sampled == {"max_new_tokens": 4, "do_sample": True, "temperature": 0.7, "seed": 3, "details": True}


def test_body_of_powerinfer() -> None:
    """One less, because it makes one more."""
    body = fields(POWERINFER)
    assert (body["n_predict"], body["ignore_eos"], body["stream"]) == (
        3,
        True,
        True,
    ) and "return_tokens" not in body


def test_a_prompt_with_a_lone_surrogate_can_be_sent() -> None:
    assert json.loads(COMPLETIONS.body("a\ud800b", GenerationSettings(max_tokens=1)))["prompt"] == "a?b"


def test_continuous_usage() -> None:
    record, result = parse(
        COMPLETIONS, completion("a", 1), completion("bc", 3), completion("d", 4, "length"), b"[DONE]"
    )
    assert (record.text, record.output_tokens, record.prompt_tokens, record.tokens_from) == ("abcd", 4, 7, "usage")
    assert record.chunk_tokens == [1, 3, 4] and record.chunk_offsets_s == [1.0, 2.0, 3.0]
    assert (record.first_token_s, record.last_token_s, record.finish_reason) == (1.0, 3.0, "length")
    assert result == ParseResult(finished=True, end_mark=True)


def test_usage_at_the_end_only() -> None:
    record, _ = parse(COMPLETIONS, completion("a"), completion("b"), completion("", finish="stop"), usage(2), b"[DONE]")
    assert (record.output_tokens, record.chunk_tokens, record.chunk_offsets_s) == (2, None, [1.0, 2.0])


def test_usage_in_the_last_chunk_is_no_output_of_its_own() -> None:
    """As llama.cpp ends: empty text, finish reason, usage and timings in one chunk."""
    last = completion("", 2, "length", timings={"draft_n": 5, "draft_n_accepted": 3})
    record, _ = parse(COMPLETIONS, completion("a"), completion("b"), last, b"[DONE]")
    assert record.chunk_offsets_s == [1.0, 2.0] and record.output_tokens == 2
    assert (record.drafted_tokens, record.accepted_tokens) == (5, 3)


def test_a_stream_may_end_without_an_end_mark() -> None:
    """As transformers serve 5.23 ends (cli/serving/completion.py): fields that are null are left out, usage comes last."""
    texts = [{"choices": [{"index": 0, "text": text}], "object": "text_completion"} for text in ("a", "b")]
    counts = {"completion_tokens": 3, "prompt_tokens": 7, "total_tokens": 10}
    last = {"choices": [{"finish_reason": "length", "index": 0, "text": ""}], "usage": counts}
    record, result = parse(COMPLETIONS, *texts, last)
    assert (record.text, record.output_tokens, record.prompt_tokens, record.finish_reason) == ("ab", 3, 7, "length")
    assert record.chunk_offsets_s == [1.0, 2.0] and record.chunk_tokens is None
    assert result == ParseResult(finished=True, end_mark=False)


def test_empty_text_with_a_token_is_output() -> None:
    """A token that is part of a character, or special, gives no text."""
    record, _ = parse(COMPLETIONS, completion("", 1), completion("é", 2), completion("", 3, "length"), b"[DONE]")
    assert record.first_token_s == 1.0 and record.chunk_tokens == [1, 2, 3]


def test_one_token_in_one_chunk_without_text() -> None:
    record, _ = parse(COMPLETIONS, completion("", 1, "length"), b"[DONE]")
    assert record.first_token_s == 1.0 and record.output_tokens == 1


def test_empty_first_chunks_make_no_first_token() -> None:
    record, _ = parse(COMPLETIONS, completion(""), completion("", 0), completion("a", 1), b"[DONE]")
    assert record.first_token_s == 3.0
    record, _ = parse(
        CHAT, delta(role="assistant", content=""), delta(role="assistant", content=None), delta(content="a")
    )
    assert record.first_token_s == 3.0


def test_no_usage_is_unknown_not_zero() -> None:
    record, _ = parse(COMPLETIONS, completion("a"), completion("b", finish="stop"), b"[DONE]")
    assert record.output_tokens is None and record.tokens_from is None and record.prompt_tokens is None


def test_no_output_at_all() -> None:
    record, result = parse(COMPLETIONS, usage(0), b"[DONE]")
    assert (record.first_token_s, record.text, record.output_tokens) == (None, None, 0) and result.finished


def test_chat_deltas_thoughts_and_tool_calls_are_output() -> None:
    call = {"index": 0, "function": {"name": "f", "arguments": "{}"}}
    record, _ = parse(
        CHAT, delta(reasoning_content="hm "), delta(reasoning="so "), delta(content="a"), delta(tool_calls=[call])
    )
    assert record.text == "hm so af{}" and len(record.chunk_offsets_s) == 4


def test_an_answer_that_is_not_streamed() -> None:
    record, result = parse(
        CHAT, {"choices": [{"message": {"content": "ab"}, "finish_reason": "stop"}], "usage": {"completion_tokens": 2}}
    )
    assert (record.text, record.output_tokens, result.finished) == ("ab", 2, True)


@pytest.mark.parametrize(
    ("document", "types", "expected"),
    [
        (
            {"error": {"message": "no room", "type": "server_error", "code": 500}},
            {},
            ("error", "server_error: no room"),
        ),
        ({"error": {"message": "busy", "code": 503}}, {}, ("rejected", "busy")),
        ({"error": {"message": "busy", "http_status_code": 429}}, {}, ("rejected", "busy")),
        (
            {"error": "Model is overloaded", "error_type": "overloaded"},
            {},
            ("rejected", "overloaded: Model is overloaded"),
        ),
        (
            {"error": {"message": "Model is overloaded", "http_status_code": 422}},
            {},
            ("rejected", "Model is overloaded"),
        ),
        (
            {"object": "error", "message": "bad", "type": "BadRequestError", "code": 400},
            {},
            ("error", "BadRequestError: bad"),
        ),
        ({"detail": "Unexpected fields"}, {}, ("error", "Unexpected fields")),
        ({"choices": [], "error": {"message": "late"}}, {}, ("error", "late")),
        ({"reason": "x"}, {1: "error"}, ("error", "the server sent an error event: {'reason': 'x'}")),
        (b"out of memory", {1: "error"}, ("error", "out of memory")),
    ],
)
def test_errors_inside_a_stream(document: Any, types: dict[int, str], expected: tuple[str, str]) -> None:
    record, result = parse(COMPLETIONS, completion("a", 1), document, completion("b", 2), b"[DONE]", types=types)
    assert result.fault == expected
    assert record.text == "a" and record.output_tokens == 1


@pytest.mark.parametrize(
    "garbage",
    [
        b"{",
        b"nonsense",
        b"[1]",
        b"null",
        b'"\xff"',
        b'{"choices": "\xed\xa0\x80"}',
        b"{}",
        b'{"a":1},{"b":2}',
        b"[" * 100_000,
        b"\x00{}",
    ],
)
def test_garbage_is_malformed_and_keeps_what_came_before(garbage: bytes) -> None:
    record, result = parse(COMPLETIONS, completion("a", 1), garbage, completion("b", 2, "length"))
    assert result.fault is not None and result.fault[0] == "malformed"
    assert record.text == "a" and record.output_tokens == 1
    _, result = parse(LLAMACPP, {"content": "a", "stop": False}, garbage)
    assert result.fault is not None and result.fault[0] == "malformed"


def test_objects_torn_over_events_are_not_put_together() -> None:
    _, result = parse(COMPLETIONS, b'{"choices": []', b'"usage": 1}', b'{"choices": []}, {"choices": []}')
    assert result.fault is not None and result.fault[0] == "malformed"


@pytest.mark.parametrize("choices", [None, 7, "x", [7], [None], [{}], [{"text": 7}], [{"delta": 7}], {"text": "x"}])
def test_choices_of_any_kind_are_survived(choices: Any) -> None:
    for protocol in (COMPLETIONS, CHAT):
        record, _ = parse(
            protocol, {"choices": choices, "usage": {"completion_tokens": "7", "prompt_tokens": -1}}, b"[DONE]"
        )
        assert record.output_tokens is None and record.prompt_tokens is None


def test_other_event_types_are_passed_over() -> None:
    record, result = parse(COMPLETIONS, b"tick", completion("a", 1, "stop"), types={0: "ping"})
    assert record.text == "a" and result.fault is None and result.finished


def test_what_follows_the_end_mark_is_ignored() -> None:
    record, result = parse(COMPLETIONS, completion("a", 1, "stop"), b"[DONE]", b"nonsense")
    assert record.text == "a" and result.end_mark and result.fault is None


def test_a_stream_that_just_stops_is_not_finished() -> None:
    _, result = parse(COMPLETIONS, completion("a", 1))
    assert not result.finished and result.fault is None


def test_surrogates() -> None:
    record, _ = parse(COMPLETIONS, completion("\ud83d", 1), completion("\ude00 \udc00", 2, "stop"), b"[DONE]")
    assert record.text == "\U0001f600 \ufffd" and record.text_sha256


def test_llamacpp_stream() -> None:
    step = {"index": 0, "stop": False, "tokens_evaluated": 8}
    last = {
        "content": "",
        "tokens": [],
        "stop": True,
        "stop_type": "limit",
        "tokens_predicted": 3,
        "tokens_evaluated": 8,
    }
    record, result = parse(
        LLAMACPP,
        {**step, "content": "a", "tokens": [5], "tokens_predicted": 1},
        {**step, "content": "", "tokens": [6], "tokens_predicted": 2},
        {**step, "content": "b", "tokens": [7], "tokens_predicted": 3},
        {**last, "timings": {"draft_n": 2, "draft_n_accepted": 1}},
    )
    assert (record.text, record.chunk_tokens, record.output_tokens, record.prompt_tokens) == ("ab", [1, 2, 3], 3, 8)
    assert (record.finish_reason, record.drafted_tokens, record.accepted_tokens) == ("length", 2, 1)
    assert result == ParseResult(finished=True, end_mark=True)


def token(text: str, **last: Any) -> dict[str, Any]:
    """An event of TGI."""
    piece = {"id": 5, "text": text, "logprob": -0.1, "special": False}
    return {"index": 1, "token": piece, "generated_text": None, "details": None, **last}


def test_tgi_stream() -> None:
    details = {"finish_reason": "eos_token", "generated_tokens": 3, "seed": None, "input_length": 9}
    last = token("</s>", generated_text="aé", details=details)
    record, result = parse(TGI, token("a"), token(""), last)
    assert (record.text, record.output_tokens, record.prompt_tokens, record.tokens_from) == ("a</s>", 3, 9, "usage")
    assert record.chunk_tokens == [1, 2, 3] and record.finish_reason == "stop"
    assert result == ParseResult(finished=True, end_mark=True)


def test_tgi_stream_without_details() -> None:
    record, result = parse(TGI, token("a"), token("b", generated_text="ab"))
    assert (record.output_tokens, record.finish_reason, result.finished) == (None, None, True)


@pytest.mark.parametrize("document", [{"choices": []}, {"token": "a"}, {"token": {"text": None}}])
def test_what_is_no_event_of_tgi(document: Any) -> None:
    _, result = parse(TGI, token("a"), document)
    assert result.fault is not None and result.fault[0] == "malformed" and not result.finished


def test_llamacpp_error_in_the_stream() -> None:
    _, result = parse(LLAMACPP, {"error": {"code": 500, "message": "failed", "type": "server_error"}})
    assert result.fault == ("error", "server_error: failed")


scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats()
flat = st.lists(scalars, max_size=3) | st.dictionaries(st.text(max_size=5), scalars, max_size=3)
values = scalars | flat | st.lists(flat, max_size=2)
keys = st.sampled_from(["choices", "usage", "error", "content", "tokens", "stop", "timings", "detail"])


@given(st.lists(st.dictionaries(keys, values), max_size=5))
@settings(deadline=None)
def test_any_json_is_read_or_refused(chunks: list[dict[str, Any]]) -> None:
    for name in protocols.names():
        record, _ = parse(protocols.get(name), *chunks)
        assert (record.first_token_s is None) == (not record.chunk_offsets_s)


@given(
    st.lists(
        st.binary(min_size=1, max_size=20) | st.sampled_from([b'{"a":1}', b"{}", b'{"a":', b"1}", b"[", b"],["]),
        max_size=6,
    )
)
@settings(deadline=None)
def test_events_are_read_as_json_reads_them(payloads: list[bytes]) -> None:
    def alone(data: bytes) -> Any:
        try:
            document = json.loads(data.decode())
        except (ValueError, RecursionError):
            return None
        return document if isinstance(document, dict) else None

    good = [alone(data) for data in payloads]
    expected = good[: good.index(None)] if None in good else good
    json_events = parse_json_events(Events([float(n) for n in range(len(payloads))], list(payloads)))
    assert [document for _, document, _ in json_events.objects] == expected
    assert (json_events.fault is None) == (None not in good)


@given(values)
@settings(deadline=None)
def test_error_words_of_anything(document: Any) -> None:
    error = find_error(document)
    assert error is None or (error[0] in ("error", "rejected") and isinstance(error[1], str))
