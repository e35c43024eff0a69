"""What must hold of every protocol: bad ends, missing or odd output, impossible counts, and text that is repeated."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2

from servegrid import protocols
from servegrid.client.exchange import Exchange, Request
from servegrid.client.request_outcome import make_record
from servegrid.client.token_counts import finish_records
from servegrid.protocols._cumulative import new_texts
from servegrid.protocols.base import GenerationSettings
from servegrid.records.request import RequestRecord
from standins.answers import chunked, event, sized

NAMES = protocols.names()
JSON_NAMES = [name for name in NAMES if name != "triton-grpc"]
PROMPT = "Count, please:"
WORDS = [" one", " two", " three", " four"]
FAILURES = ["error", "abort", "content_filter", "something new"]


class Words:
    """A tokenizer: words are tokens."""

    def encode(self, sequence: str, *, add_special_tokens: bool) -> Any:
        return type("Encoding", (), {"ids": sequence.split()})


@dataclass
class Step:
    """One event of an answer: its output, the count of output tokens up to it, and, in the last one, how it ended."""

    output: Any
    count: int | None = None
    finish: str | None = None

    def of(self, name: str, before: int) -> Any:
        """The event in this protocol; `before`: the count up to the event before, where a protocol counts by event."""
        new = None if self.count is None else self.count - before
        build = {
            "openai-completions": self._choice,
            "openai-chat": self._choice,
            "llamacpp-completion": self._llamacpp,
            "powerinfer-completion": self._llamacpp,
            "tgi-generate": self._tgi,
            "sglang-generate": self._sglang,
            "triton-generate": self._triton,
            "triton-grpc": self._message,
        }[name]
        return build(name, new)

    def _choice(self, name: str, new: int | None) -> Any:
        output = {"text": self.output} if name == "openai-completions" else {"delta": {"content": self.output}}
        usage = {"completion_tokens": self.count, "prompt_tokens": 3} if self.count is not None else None
        return {"choices": [{"index": 0, **output, "finish_reason": self.finish}], "usage": usage}

    def _llamacpp(self, name: str, new: int | None) -> Any:
        more: dict[str, Any] = {"tokens": [1], "stop": self.finish is not None}
        if self.count is not None:
            more["tokens_predicted"] = self.count - (name == "powerinfer-completion")
        if self.finish and name == "powerinfer-completion":
            more |= {"stopped_limit": self.finish == "length", "stopped_eos": self.finish == "stop"}
        elif self.finish:
            more["stop_type"] = {"length": "limit", "stop": "eos"}.get(self.finish, self.finish)
        return {"content": self.output, **more}

    def _tgi(self, name: str, new: int | None) -> Any:
        details = {"finish_reason": self.finish, "generated_tokens": self.count} if self.finish else None
        last = {"generated_text": "all of it", "details": details} if self.finish else {}
        return {"index": 1, "token": {"id": 1, "text": self.output}, "generated_text": None, **last}

    def _sglang(self, name: str, new: int | None) -> Any:
        """As with `--incremental-streaming-output`."""
        finish = {"type": self.finish} if self.finish else None
        return {"text": self.output, "meta_info": {"completion_tokens": self.count, "finish_reason": finish}}

    def _triton(self, name: str, new: int | None) -> Any:
        more = {"num_output_tokens": new} if new is not None else {}
        return {"text_output": self.output, "finish_reason": self.finish or "None", **more}

    def _message(self, name: str, new: int | None) -> bytes:
        answer = service_pb2.ModelStreamInferResponse()
        answer.infer_response.parameters["triton_final_response"].bool_param = self.finish is not None
        texts = {"text_output": self.output, "finish_reason": self.finish or "None"}
        raw = {key: len(text.encode()).to_bytes(4, "little") + text.encode() for key, text in texts.items()}
        raw |= {"num_output_tokens": new.to_bytes(4, "little")} if new is not None else {}
        for key, data in raw.items():
            answer.infer_response.outputs.add(name=key, datatype="BYTES", shape=[1])
            answer.infer_response.raw_output_contents.append(data)
        return bytes(answer.SerializeToString())


def record_of(
    name: str,
    events: Sequence[Any],
    max_tokens: int = 4,
    tokenizer: Any = None,
    exact: bool = True,
    apart_s: float = 1.0,
) -> RequestRecord:
    """Record of an answer with these events (documents, or bytes of gRPC), which come at 1 s and after each other."""
    protocol = protocols.get(name)
    body = protocol.body(PROMPT, GenerationSettings(max_tokens))
    exchange = Exchange(0, "r", Request("r", "p", body, max_tokens), sent_s=0.0, end_s=len(events) + 1.0)
    pieces = events if protocol.transport == "grpc" else [_http(number, events) for number in range(len(events))]
    log = [item for number, piece in enumerate(pieces) for item in (1.0 + apart_s * number, piece)]
    record = make_record(exchange, log, protocol)
    finish_records([(record, exact)], tokenizer)
    return record


def _http(number: int, events: Sequence[Any]) -> bytes:
    """The piece of an HTTP answer with this event; head and end are with the first and the last."""
    whole = chunked([event(document) for document in events])
    sizes = [
        len(chunked([event(document) for document in events[: at + 1]])) - len(b"0\r\n\r\n")
        for at in range(len(events))
    ]
    begin = sizes[number - 1] if number else 0
    return whole[begin : sizes[number] if number + 1 < len(events) else len(whole)]


def answer(
    name: str, texts: Sequence[Any], counts: Sequence[int | None] | None = None, finish: str = "length", **how: Any
) -> RequestRecord:
    """Record of an answer with these texts and running counts, one event each."""
    counts = range(1, len(texts) + 1) if counts is None else counts
    finishes = [None] * (len(texts) - 1) + [finish]
    steps = [Step(*each) for each in zip(texts, counts, finishes, strict=True)]
    before = [0, *(step.count or 0 for step in steps)]
    return record_of(name, [step.of(name, last) for step, last in zip(steps, before, strict=False)], **how)


SAMPLING = {"temperature": 0.5, "top_p": 0.9, "top_k": 40}
EXACT = {"ignore_eos": True, "min_tokens": 7}
SWITCHES = {
    "stream": True,
    "return_finish_reason": True,
    "return_num_input_tokens": True,
    "return_num_output_tokens": True,
}
OPENAI = {"max_tokens": 7, "stream": True, "stream_options": {"include_usage": True, "continuous_usage_stats": True}}
FIELDS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "openai-completions": ("", {"prompt": PROMPT, **OPENAI}, {**SAMPLING, "seed": 3, "model": "m", **EXACT}),
    "openai-chat": (
        "",
        {"messages": [{"role": "user", "content": PROMPT}], **OPENAI},
        {**SAMPLING, "seed": 3, "model": "m", **EXACT},
    ),
    "llamacpp-completion": (
        "",
        {"prompt": PROMPT, "n_predict": 7, "stream": True, "return_tokens": True},
        {**SAMPLING, "seed": 3, "ignore_eos": True},
    ),
    "powerinfer-completion": (
        "",
        {"prompt": PROMPT, "n_predict": 6, "stream": True},
        {**SAMPLING, "seed": 3, "ignore_eos": True},
    ),
    "tgi-generate": ("parameters", {"max_new_tokens": 7, "details": True}, {**SAMPLING, "seed": 3, "do_sample": True}),
    "sglang-generate": (
        "sampling_params",
        {"max_new_tokens": 7},
        {**SAMPLING, "sampling_seed": 3, "ignore_eos": True, "min_new_tokens": 7},
    ),
    "triton-generate": ("parameters", {"max_tokens": 7}, {**SAMPLING, "seed": 3, **EXACT}),
    "triton-grpc": ("sampling_parameters", {"max_tokens": 7}, {**SAMPLING, "seed": 3, **EXACT}),
}
"""Protocol -> the field that holds the settings (empty: the body itself), what is always there, and what the settings add."""
AROUND = {
    "tgi-generate": {"inputs": PROMPT},
    "sglang-generate": {"text": PROMPT, "stream": True},
    "triton-generate": {"text_input": PROMPT, **SWITCHES},
    "triton-grpc": {"text_input": PROMPT, **SWITCHES},
}


@pytest.mark.parametrize("name", NAMES)
def test_what_is_asked_for(name: str) -> None:
    """With every setting, and with none: then greedy, to the model's own end, and the rest as the engine likes it."""
    place, always, settings_fields = FIELDS[name]
    greedy = {"do_sample": False} if name == "tgi-generate" else {"temperature": 0.0}
    for asked, wanted in (
        (GenerationSettings(7, "m", True, 0.5, 0.9, 40, 3), always | settings_fields),
        (GenerationSettings(7, exact=False), always | greedy),
    ):
        fields = protocols.get(name).fields(PROMPT, asked)
        held = fields.pop(place) if place else fields
        assert {key: value for key, value in held.items() if value is not None} == wanted
        assert not place or fields == AROUND[name]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("apart_s", "at_once"), [(0.0, True), (0.00005, True), (0.001, False)])
def test_an_answer_held_back_is_known_as_such(name: str, apart_s: float, at_once: bool) -> None:
    record = answer(name, WORDS, apart_s=apart_s)
    assert (record.status, record.output_tokens, len(record.chunk_offsets_s)) == ("ok", 4, 4)
    assert record.came_at_once == at_once and record.late_chunks == (3 if at_once else 0)


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_in_one_event_came_at_once(name: str) -> None:
    assert answer(name, ["".join(WORDS)], [4], tokenizer=Words()).came_at_once
    assert not answer(name, WORDS[:1], [1], max_tokens=1).came_at_once


@pytest.mark.parametrize("name", NAMES)
def test_how_large_an_answer_may_be(name: str) -> None:
    """8 KiB a token, 1 MiB at least; eight times as much where all of the text may come in every event, or 32 bytes for each of those tokens."""
    limit = protocols.get(name).max_answer_bytes
    factor = 8 if name.startswith("triton") else 1
    repeated = {100: 32 * 5050, 1000: 32 * 500_500, 10**5: 2**29} if name == "sglang-generate" else {}
    for tokens, usual in ((100, 2**20), (1000, 8_192_000), (10**5, 819_200_000)):
        assert limit(tokens) == factor * usual + repeated.get(tokens, 0)


@pytest.mark.parametrize("name", NAMES)
def test_a_good_answer(name: str) -> None:
    record = answer(name, WORDS)
    assert (record.status, record.error, record.text) == ("ok", None, "".join(WORDS))
    assert (record.output_tokens, record.finish_reason) == (4, "length")
    assert record.chunk_offsets_s == [1.0, 2.0, 3.0, 4.0]
    assert (record.first_token_s, record.last_token_s) == (1.0, 4.0)


@pytest.mark.parametrize("reason", FAILURES)
@pytest.mark.parametrize("name", NAMES)
def test_an_end_that_says_failure_or_nothing_known_is_not_ok(name: str, reason: str) -> None:
    record = answer(name, WORDS, finish=reason)
    assert record.status == "error" and str(record.text).startswith(" one two three")
    if name not in (
        "powerinfer-completion",
        "sglang-generate",
    ):  # one has no words for it, the other its own for `abort`
        assert record.error == f"the answer ended with finish reason {reason!r}"


@pytest.mark.parametrize("finish", ["length", "stop"])
@pytest.mark.parametrize("name", NAMES)
def test_an_answer_without_any_output_is_not_ok(name: str, finish: str) -> None:
    record = answer(name, [""], [0 if name != "powerinfer-completion" else 1], finish, exact=False)
    if name == "tgi-generate":  # where an event is a token, its text empty or not
        assert record.status == "ok" and record.output_tokens is None
        return
    assert (record.status, record.error) == ("error", f"the answer ended without any output ({finish})")


@pytest.mark.parametrize("odd", [7, True, {"a": 1}, [7], [[7]], [None], [{"type": "image_url"}], [{"text": 7}]])
@pytest.mark.parametrize("name", JSON_NAMES)
def test_output_in_an_odd_shape_is_malformed(name: str, odd: Any) -> None:
    record = answer(name, [" one", odd, " three", " four"])
    assert record.status == "malformed" and record.text == " one" and record.error


@pytest.mark.parametrize("name", ["openai-completions", "openai-chat"])
def test_parts_that_hold_text_are_counted(name: str) -> None:
    parts = [
        [{"type": "text", "text": " one"}],
        [{"type": "thinking", "thinking": [{"type": "text", "text": " two"}]}],
        [" three", {"type": "output_text", "text": " four"}],
        [],
    ]
    record = answer(name, parts)
    assert (record.status, record.text, record.output_tokens) == ("ok", " one two three four", 4)


@pytest.mark.parametrize(
    "delta", [7, [{"content": "a"}], {"tool_calls": [7]}, {"tool_calls": {}, "function_call": "f"}]
)
def test_odd_deltas_are_malformed(delta: Any) -> None:
    record = record_of("openai-chat", [{"choices": [{"delta": delta, "finish_reason": "stop"}]}])
    assert record.status == "malformed"


@pytest.mark.parametrize("delta", [{"refusal": "no"}, {"function_call": {"name": "n", "arguments": "o"}}])
def test_refusals_and_calls_of_functions_are_output(delta: Any) -> None:
    record = record_of("openai-chat", [{"choices": [{"delta": delta, "finish_reason": "stop"}]}], exact=False)
    assert (record.status, record.text) == ("ok", "no")


@pytest.mark.parametrize(
    "bad", [b"{", b"nonsense", b"[1]", b"null", b'"\xff"', b"{}", b'{"error": "no room"}', b'{"x": 1}']
)
@pytest.mark.parametrize("name", JSON_NAMES)
def test_a_bad_event_is_never_passed_over(name: str, bad: bytes) -> None:
    body = event(Step(" one", 1).of(name, 0)) + b"data: " + bad + b"\n\n" + event(Step(" two", 2, "length").of(name, 1))
    exchange = Exchange(0, "r", Request("r", "p", b"", 4), sent_s=0.0, end_s=2.0)
    record = make_record(exchange, [1.0, sized(body)], protocols.get(name))
    assert record.status == ("error" if b"error" in bad else "malformed") and record.text == " one"


def odd_message(**outputs: bytes) -> bytes:
    message = service_pb2.ModelStreamInferResponse()
    for key, data in outputs.items():
        message.infer_response.outputs.add(name=key, datatype="BYTES", shape=[1])
        message.infer_response.raw_output_contents.append(data)
    return bytes(message.SerializeToString())


@pytest.mark.parametrize(
    "bad",
    [
        b"\xff\xff",
        odd_message(output=b"\x01\x00\x00\x00a"),
        odd_message(text_output=b"\x02\x00\x00\x00a"),
        odd_message(text_output=b"\x01\x00\x00\x00a\x01\x00\x00\x00b"),
    ],
)
def test_a_bad_message_is_never_passed_over(bad: bytes) -> None:
    good = [Step(" one", 1).of("triton-grpc", 0), Step(" two", 2, "length").of("triton-grpc", 1)]
    record = record_of("triton-grpc", [good[0], bad, good[1]])
    assert record.status == "malformed" and record.text == " one"


@pytest.mark.parametrize("name", NAMES)
def test_more_tokens_than_were_asked_for_are_not_ok(name: str) -> None:
    record = answer(name, WORDS, [2, 4, 6, 8])
    assert (record.status, record.output_tokens) == ("malformed", 8)
    assert record.error == "the server counts 8 output tokens, of 4 that were asked for"


@pytest.mark.parametrize("name", NAMES)
def test_more_tokens_than_the_text_holds_are_not_ok(name: str) -> None:
    """A server that stops early and counts on: here without a tokenizer, by the bytes, or with one, by the tokens."""
    events, counts = WORDS[:2], [8, 16]
    assert answer(name, events, counts, max_tokens=16).status == "malformed"
    events, counts = [" one two three four", " five six seven eight"], [8, 16]
    if name != "tgi-generate":  # where an event is a token
        assert answer(name, events, counts, max_tokens=16).status == "ok"
    record = answer(name, events, counts, max_tokens=16, tokenizer=Words())
    assert record.status == "malformed" and "16 output tokens" in str(record.error)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "tgi-generate"])
def test_several_tokens_in_an_event_are_ok(name: str) -> None:
    """As with speculation, and behind proxies that batch."""
    record = answer(name, [" one two", " three four"], [2, 4], tokenizer=Words())
    assert (record.status, record.output_tokens, record.tokens_from) == ("ok", 4, "usage")


@pytest.mark.parametrize("name", NAMES)
def test_a_count_of_none_beside_output_is_no_count(name: str) -> None:
    zero = 1 if name == "powerinfer-completion" else 0
    record = answer(name, WORDS, [zero] * 4)
    assert record.status == "ok" and record.output_tokens is None and record.tokens_from is None
    record = answer(name, WORDS, [zero] * 4, tokenizer=Words())
    assert (record.output_tokens, record.tokens_from) == (4, "tokenizer")


@pytest.mark.parametrize("name", NAMES)
def test_a_tokenizer_tells_an_answer_that_is_much_too_long(name: str) -> None:
    texts = [f" w{number}" for number in range(9)]
    record = answer(name, texts, [None] * 9, tokenizer=Words())
    assert record.status == "malformed" and "9 tokens by the tokenizer, of 4" in str(record.error)
    assert answer(name, texts[:8], [None] * 8, tokenizer=Words()).status == "ok", (
        "as a model may split a text otherwise"
    )
    at_once = answer(name, ["".join(texts)], [None], tokenizer=Words())
    assert (at_once.status, at_once.output_tokens, at_once.tokens_from) == ("ok", None, None), (
        "another model's tokenizer"
    )


@pytest.mark.parametrize("name", [name for name in NAMES if name != "powerinfer-completion"])
def test_tokens_without_text_are_output_and_told_apart(name: str) -> None:
    """As special ones are, also the first; they are no tokens of the text, which a tokenizer would count."""
    record = answer(name, ["", " two", "", " four"])
    assert (record.status, record.output_tokens, record.textless_tokens) == ("ok", 4, 2)
    assert (record.chunk_tokens, record.chunk_offsets_s) == ([1, 2, 3, 4], [1.0, 2.0, 3.0, 4.0])


@pytest.mark.parametrize("extra", [{}, {"error": False}])
@pytest.mark.parametrize(
    ("empty", "status", "arrived"), [(4, "ok", 8), (5, "ok", 8), (3, "malformed", 4), (6, "malformed", 4)]
)
def test_events_without_text_are_tokens_where_they_are_as_many_as_are_missing(
    extra: dict[str, Any], empty: int, status: str, arrived: int
) -> None:
    """As special tokens are, with a count at the end alone; the role before the first text is none, nor need the end be one."""
    deltas = [
        {"role": "assistant", "content": ""},
        *({"content": letter} for letter in "abcd"),
        *[{"content": ""}] * empty,
    ]
    events: list[Any] = [{"choices": [{"delta": delta}], **extra} for delta in deltas]
    events[-1]["choices"][0]["finish_reason"] = "length"
    usage = {"choices": [], "usage": {"completion_tokens": 8}}
    record = record_of("openai-chat", [*events, usage], max_tokens=8)
    assert (record.status, record.text, record.output_tokens, record.chunk_tokens) == (status, "abcd", 8, None)
    assert record.chunk_offsets_s == [2.0 + number for number in range(arrived)]


@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_text_that_is_repeated_is_counted_once(name: str, counted: bool) -> None:
    texts = list(accumulate(WORDS))
    record = answer(name, texts, None if counted else [None] * 4, tokenizer=Words())
    assert (record.status, record.text, record.output_tokens) == ("ok", "".join(WORDS), 4)
    assert record.chunk_offsets_s == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "tgi-generate"])
def test_an_event_that_only_repeats_is_no_output(name: str) -> None:
    texts = [" one", " one two", " one two three", " one two three four", " one two three four"]
    record = answer(name, texts, [None] * 5)
    assert (record.text, record.chunk_offsets_s, record.last_token_s) == ("".join(WORDS), [1.0, 2.0, 3.0, 4.0], 4.0)
    record = answer(name, [*WORDS, "".join(WORDS)], [None] * 5)  # the whole once more at the end
    assert (record.text, record.chunk_offsets_s) == ("".join(WORDS), [1.0, 2.0, 3.0, 4.0])


@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("name", ["triton-generate", "triton-grpc"])
def test_a_prompt_in_front_of_each_text_is_no_output(name: str, size: int) -> None:
    """As vllm_backend r24.01 sends it, without any count."""
    texts = [PROMPT + text for text in accumulate(WORDS[:size])]
    record = answer(name, texts, [None] * size, max_tokens=size, tokenizer=Words())
    assert (record.status, record.text, record.output_tokens) == ("ok", "".join(WORDS[:size]), size)
    assert len(record.chunk_offsets_s) == size


@pytest.mark.parametrize(
    "texts", [[" ha"] * 5, ["1", "10"], ["a", "ab", "b"], ["", "a", "", "a", "ab"], [" ha", " ha", " hat"]]
)
@pytest.mark.parametrize("name", NAMES)
def test_loops_and_chance_are_no_repetition(name: str, texts: list[str]) -> None:
    record = answer(name, texts, max_tokens=len(texts), exact=False)
    if name == "sglang-generate":  # whose texts are cumulative unless its ids say otherwise
        return
    assert record.text == "".join(texts)


@given(st.lists(st.text(alphabet="ab \n{}é", max_size=3), max_size=8))
@settings(deadline=None)
def test_any_text_comes_out_of_its_repetition(pieces: list[str]) -> None:
    cumulative = list(accumulate(pieces))
    added = new_texts(["> " + text for text in cumulative], "> ")
    assert "".join(added) == "".join(pieces) and added == pieces[: len(added)]


@pytest.mark.parametrize("at", [0, 1, 5, 18])
def test_a_cumulative_stream_may_revise_a_text(at: int) -> None:
    pieces = [f" w{number}" for number in range(20)]
    texts = list(accumulate(pieces))
    texts[at] += "~,"
    assert new_texts(texts) == pieces
    texts[at] = texts[at][:-4] + "…"
    assert "".join(new_texts(texts)) == "".join(pieces)
    assert new_texts([*texts[:8], *pieces[:3]]) == [*texts[:8], *pieces[:3]], "too many"


def test_a_character_in_two_events_of_a_cumulative_stream() -> None:
    assert new_texts(["the caf", "the caf\ufffd", "the café", "the café \ufffd"]) == ["the caf", "", "é", " \ufffd"]


END = {"choices": [{"delta": {}, "finish_reason": "length"}]}
HIDDEN = {"completion_tokens": 8, "completion_tokens_details": {"reasoning_tokens": 4}}


@pytest.mark.parametrize("odd", [False, True])
def test_reasoning_that_never_arrives_is_told_apart(odd: bool) -> None:
    events: list[Any] = [{"choices": [{"delta": {"content": word}}]} for word in WORDS]
    events += [{"choices": [{"delta": {}, "finish_reason": "length"}], **({"error": False} if odd else {})}]
    hidden = record_of("openai-chat", [*events, {"choices": [], "usage": HIDDEN}], max_tokens=8, tokenizer=Words())
    assert (hidden.status, hidden.output_tokens, hidden.hidden_tokens) == ("ok", 8, 4)
    thought = [{"choices": [{"delta": {"reasoning_content": word}}]} for word in WORDS]
    shown = record_of("openai-chat", [*thought, *events, {"choices": [], "usage": HIDDEN}], max_tokens=8)
    assert (shown.status, shown.output_tokens, shown.hidden_tokens) == ("ok", 8, 0)


def test_a_last_count_of_zero_takes_nothing_back() -> None:
    events = [Step(word, None, "length" if word == WORDS[-1] else None).of("openai-completions", 0) for word in WORDS]
    more = [{"choices": [], "usage": {"completion_tokens": tokens}} for tokens in (4, 0)]
    record = record_of("openai-completions", [*events, *more])
    assert (record.status, record.output_tokens, record.chunk_tokens) == ("ok", 4, None)


def test_a_last_count_that_contradicts_those_of_the_events_is_not_ok() -> None:
    events = [Step(word, number).of("openai-completions", 0) for number, word in enumerate(WORDS[:3], 1)]
    last = {"choices": [{"text": " four", "finish_reason": "length"}], "usage": {"completion_tokens": 4}}
    total = {"choices": [], "usage": {"completion_tokens": 8}}
    record = record_of("openai-completions", [*events, last, total], max_tokens=8)
    assert record.error == "the server counts 8 output tokens, and 4 at the last event with output"


def test_counts_that_stand_still_or_fall_say_nothing_of_the_events() -> None:
    for counts in ([1, 1, 1, 1], [1, 3, 2, 3]):
        events = [Step(word, count).of("openai-completions", 0) for word, count in zip(WORDS, counts, strict=True)]
        last = [{"choices": [{"finish_reason": "length"}]}, {"choices": [], "usage": {"completion_tokens": 4}}]
        record = record_of("openai-completions", [*events, *last])
        assert (record.status, record.output_tokens, record.chunk_tokens) == ("ok", 4, None)


def test_special_tokens_without_text_are_not_held_against_it() -> None:
    """An answer forced past its end, with several such tokens an event."""
    record = answer("openai-completions", [" one", " two", "", ""], [1, 2, 9, 16], max_tokens=16, tokenizer=Words())
    assert (record.status, record.output_tokens) == ("ok", 16)


@pytest.mark.parametrize(
    "reasoning",
    [
        lambda word: {"reasoning_content": word},
        lambda word: {"reasoning": word},
        lambda word: {"thinking": word},
        lambda word: {"thinking": [{"type": "thinking", "thinking": word}]},
        lambda word: {"reasoning_details": [{"type": "reasoning.text", "text": word, "index": 0}]},
        lambda word: {"reasoning_details": [{"type": "reasoning.summary", "summary": word}]},
        lambda word: {"reasoning": word, "reasoning_details": [{"type": "reasoning.text", "text": word}]},
    ],
)
def test_reasoning_is_output_under_every_name(reasoning: Callable[[str], dict[str, Any]]) -> None:
    """The parts as in OpenRouter's documentation of reasoning tokens."""
    deltas = [reasoning(word) for word in WORDS] + [{"content": word} for word in WORDS]
    events: list[Any] = [{"choices": [{"delta": delta}]} for delta in deltas]
    record = record_of("openai-chat", [*events, END, {"choices": [], "usage": HIDDEN}], max_tokens=8)
    assert (record.status, record.text, record.hidden_tokens) == ("ok", "".join(WORDS * 2), 0)
    assert record.chunk_offsets_s == [float(number) for number in range(1, 9)]


def test_encrypted_reasoning_never_arrives() -> None:
    encrypted = {"reasoning_details": [{"type": "reasoning.encrypted", "data": "eyJ"}]}
    events: list[Any] = [
        {"choices": [{"delta": delta}]} for delta in [encrypted, *({"content": word} for word in WORDS)]
    ]
    record = record_of("openai-chat", [*events, END, {"choices": [], "usage": HIDDEN}], max_tokens=8)
    assert (record.status, record.hidden_tokens, record.chunk_offsets_s) == ("ok", 4, [2.0, 3.0, 4.0, 5.0])
