"""Prompt tokens that a server says it had cached: usage of OpenAI's protocols, llama.cpp's timings, SGLang's meta_info."""

from typing import Any

import pytest
from protocols.test_every_protocol import record_of

ENDS: dict[str, dict[str, Any]] = {
    "openai-completions": {"choices": [{"text": "a", "finish_reason": "length"}]},
    "openai-chat": {"choices": [{"delta": {"content": "a"}, "finish_reason": "length"}]},
}
DETAILS = {"usage": {"prompt_tokens": 9, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 7}}}
TIMINGS = {"timings": {"cache_n": 7, "prompt_n": 2}}


def cached(name: str, *events: dict[str, Any]) -> int | None:
    record = record_of(name, events, max_tokens=1)
    assert record.status == "ok"
    return record.cached_tokens


@pytest.mark.parametrize("odd", [False, True])
@pytest.mark.parametrize("name", ENDS)
def test_of_openai_s_protocols(name: str, odd: bool) -> None:
    end = ENDS[name] | ({"error": False} if odd else {})  # read in general, not by types
    assert cached(name, end, {"choices": [], **DETAILS}) == 7
    assert cached(name, end | TIMINGS) == 7
    assert cached(name, end) is None
    for details in (None, {}, {"cached_tokens": None}, {"cached_tokens": -1}, {"cached_tokens": "7"}, [7]):
        usage = DETAILS["usage"] | {"prompt_tokens_details": details}
        assert cached(name, end, {"choices": [], "usage": usage}) is None
    assert (
        cached(name, end, {"choices": [], "usage": DETAILS["usage"] | {"prompt_tokens_details": {"cached_tokens": 0}}})
        == 0
    )


def test_of_llamacpp_and_sglang() -> None:
    stop = {"content": "a", "tokens": [1], "tokens_predicted": 1, "stop": True, "stop_type": "limit"}
    assert cached("llamacpp-completion", stop | TIMINGS) == 7 and cached("llamacpp-completion", stop) is None
    meta = {"prompt_tokens": 9, "completion_tokens": 1, "finish_reason": {"type": "length"}}
    assert cached("sglang-generate", {"text": "a", "meta_info": meta | {"cached_tokens": 7}}) == 7
    assert cached("sglang-generate", {"text": "a", "meta_info": meta}) is None
