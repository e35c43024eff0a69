"""Reading plain chunks at once gives what reading them one by one gives, and anything else is left to that."""

import json
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servegrid import protocols
from servegrid.protocols import _typed
from servegrid.protocols._openai import OpenAIProtocol
from servegrid.protocols.base import ParseResult
from servegrid.protocols.events import Events
from servegrid.records.request import RequestRecord

NAMES = ["openai-completions", "openai-chat"]
odd = st.one_of(st.none(), st.booleans(), st.floats(allow_nan=False), st.integers(-3, 2**33), st.text(max_size=3))
text = st.one_of(st.text(max_size=4), st.just("\ud83d"), odd)
delta = st.one_of(
    st.fixed_dictionaries(
        {}, optional={"content": text, "reasoning": text, "reasoning_content": text, "tool_calls": st.just([{}])}
    ),
    odd,
)
choice = st.fixed_dictionaries({}, optional={"text": text, "finish_reason": text, "delta": delta, "message": delta})
usage = st.fixed_dictionaries({}, optional={"completion_tokens": odd, "prompt_tokens": odd})
chunk = st.fixed_dictionaries(
    {"choices": st.one_of(st.lists(st.one_of(choice, choice, odd), max_size=2), odd)},
    optional={"usage": st.one_of(usage, odd), "error": odd, "timings": st.just({"draft_n": 3}), "x": odd},
)
plain = st.fixed_dictionaries(
    {"choices": st.lists(st.fixed_dictionaries({"text": st.text(max_size=4), "delta": st.just({})}), max_size=2)},
    optional={"usage": st.fixed_dictionaries({"completion_tokens": st.integers(0, 9)})},
)
line = st.one_of(
    st.one_of(plain, chunk).map(lambda each: json.dumps(each, ensure_ascii=False).encode("utf-8", "surrogatepass")),
    st.one_of(plain, chunk).map(lambda each: json.dumps(each).encode()),
    st.sampled_from(
        [b'{"choices":[{"text":"a"}', b"]}", b"{} {}", b"{}{}", b"{\xff}", b'{"choices":[],"x":"\xff"}', b"[]"]
    ),
)


def parsed(name: str, lines: list[bytes]) -> tuple[dict[str, Any], ParseResult]:
    record = RequestRecord("r", "p", 8, "ok", sent_s=0.0)
    events = Events([float(number) for number in range(len(lines))], list(lines))
    result = protocols.get(name).parse(events, record)
    return asdict(record), result


@pytest.mark.parametrize("name", NAMES)
@given(lines=st.lists(line, max_size=5))
def test_the_same_either_way(name: str, lines: list[bytes]) -> None:
    at_once = parsed(name, lines)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_typed, "decode_chunks", lambda events, decoder: None)
        assert parsed(name, lines) == at_once


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("lines", "plain"),
    [
        ([b'{"choices": [], "usage": {"completion_tokens": 3}}', b'{"choices": []}'], True),
        ([b'{"choices": [], "error": "x"}'], False),
        ([b'{"choices": [], "error": null}'], True),
        ([b'{"choices": null}'], False),
        ([b'{"choices": []} {"choices": []}'], False),
        ([b'{"choices": []', b"}"], False),
        ([b'{"choices": [], "x": "\xff"}'], False),
        ([], False),
    ],
)
def test_what_is_read_at_once(name: str, lines: list[bytes], plain: bool) -> None:
    protocol = protocols.get(name)
    assert isinstance(protocol, OpenAIProtocol)
    chunks = _typed.decode_chunks(Events([0.0] * len(lines), lines), protocol.decoder)
    assert (chunks is not None) == plain
