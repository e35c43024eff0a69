"""Shared parts of OpenAI's two streaming protocols: chunks with `choices`, usage counts, the end mark."""

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from servegrid.protocols import _typed
from servegrid.protocols._output import Output, UnknownShapeError, read_timings, token_count
from servegrid.protocols.base import (
    GenerationSettings,
    JsonEvents,
    ParseResult,
    Protocol,
    find_error,
    parse_json_events,
)
from servegrid.protocols.events import Events
from servegrid.records.request import RequestRecord, RequestStatus

END_MARK = b"[DONE]"
_REASONING = re.compile(
    rb'"(?:reasoning_content|reasoning|thinking)"\s*:\s*(?:"[^"]|\[\s*[^\]\s])|"type"\s*:\s*"reasoning\.(?:text|summary)"'
)
"""Reasoning that arrives; what its tokens are counted under has another name."""


def common_fields(settings: GenerationSettings) -> dict[str, Any]:
    """Request fields of both protocols; `ignore_eos` and `min_tokens` are what vLLM, SGLang, TensorRT-LLM and llama.cpp know."""
    return {
        "model": settings.model,
        "max_tokens": settings.max_tokens,
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "top_k": settings.top_k,
        "seed": settings.seed,
        "ignore_eos": True if settings.exact else None,
        "min_tokens": settings.max_tokens if settings.exact else None,
        "stream": True,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
    }


class OpenAIProtocol(Protocol):
    """Base of OpenAI's protocols: reads the chunks; a subclass says which text a choice carries."""

    decoder: ClassVar[Any]  # of well-formed chunks, see `_typed`
    typed_choice_text: ClassVar[Any]  # as `choice_text`, of a choice of such a chunk

    @staticmethod
    def choice_text(choice: Mapping[str, Any]) -> str:
        """Output text of one choice of a chunk; not empty either for output that is no text, such as tool calls.

        Raises:
            UnknownShapeError: when it has output in a shape that is not known.
        """
        raise NotImplementedError

    def parse(self, events: Events, record: RequestRecord) -> ParseResult:
        """Fill the record from the chunks; see `Protocol.parse`."""
        result = ParseResult()
        if _cut_at_end_mark(events):
            result.finished = result.end_mark = True
        output = Output()
        chunks = _typed.decode_chunks(events, self.decoder)
        if chunks is not None:
            self._read_typed_chunks(chunks, events.times_s, output, record)
        else:
            json_events = parse_json_events(events)
            result.fault = self._read_chunks(json_events, output, record) or json_events.fault
        output.write(record)
        if record.hidden_tokens and any(map(_REASONING.search, events.data)):
            record.hidden_tokens = 0
        result.finished |= record.finish_reason is not None
        return result

    def _read_typed_chunks(
        self, chunks: list[_typed.Chunk[Any]], times_s: list[float], output: Output, record: RequestRecord
    ) -> None:
        """Read well-formed chunks, as `_read_chunks`; these have no fault."""
        choice_text = self.typed_choice_text
        for t_s, chunk in zip(times_s, chunks, strict=True):
            choices, usage, text, finish = chunk.choices, chunk.usage, "", ""
            for choice in choices:
                text += choice_text(choice) or ""
                finish = choice.finish_reason or finish
            tokens = None if usage is None else token_count(usage.completion_tokens)
            if text or (choices and tokens and output.is_new_output(tokens, last=bool(finish))):
                output.add(t_s, text, tokens)
            elif choices and tokens is None:
                output.add_empty(t_s)
            if finish:
                record.finish_reason = finish
            if tokens is not None and usage is not None:
                output.count(tokens)
                record.prompt_tokens = usage.prompt_tokens
                record.hidden_tokens = _detail(usage.completion_tokens_details, "reasoning_tokens")
                record.cached_tokens = _detail(usage.prompt_tokens_details, "cached_tokens")
            if chunk.timings is not None:
                read_timings(chunk.timings, record)
        record.prompt_tokens = token_count(record.prompt_tokens)

    def _read_chunks(
        self, json_events: JsonEvents, output: Output, record: RequestRecord
    ) -> tuple[RequestStatus, str] | None:
        """Read chunk by chunk up to the first fault, which is returned; output is text, or a token count that grew."""
        for t_s, chunk, event_type in json_events.objects:
            choices, usage = chunk.get("choices"), chunk.get("usage")
            if choices is None or event_type or "error" in chunk:
                fault = _event_fault(chunk, event_type)
                if fault:
                    return fault
            try:
                text, finish = self._read_choices(choices)
            except UnknownShapeError:
                return "malformed", f"an event holds output in a shape that is not known: {str(chunk)[:200]}"
            tokens = token_count(usage.get("completion_tokens")) if type(usage) is dict else None
            if text or (choices and tokens and output.is_new_output(tokens, last=bool(finish))):
                output.add(t_s, text, tokens)
            elif choices and tokens is None:
                output.add_empty(t_s)
            if finish:
                record.finish_reason = str(finish)
            if tokens is not None and usage:
                output.count(tokens)
                record.prompt_tokens = usage.get("prompt_tokens")
                record.hidden_tokens = _detail(usage.get("completion_tokens_details"), "reasoning_tokens")
                record.cached_tokens = _detail(usage.get("prompt_tokens_details"), "cached_tokens")
            if "timings" in chunk:
                read_timings(chunk["timings"], record)
        record.prompt_tokens = token_count(record.prompt_tokens)
        return None

    def _read_choices(self, choices: Any) -> tuple[str, Any]:
        """Output text and finish reason in the choices of a chunk; both empty if there are none.

        Raises:
            UnknownShapeError: when they have output in a shape that is not known.
        """
        if not (choices is None or type(choices) is list):
            raise UnknownShapeError
        text = finish = ""
        for choice in choices or ():
            if type(choice) is not dict:
                raise UnknownShapeError
            text += self.choice_text(choice)
            finish = choice.get("finish_reason") or finish
        return text, finish


def _detail(details: Any, name: str) -> int | None:
    """Count of this name in the details of a usage count; None if it does not say."""
    return token_count(details.get(name)) if type(details) is dict else None


def _cut_at_end_mark(events: Events) -> bool:
    """Drop the end mark and what follows; return whether there was one."""
    data = events.data
    if data and data[-1].strip() == END_MARK:
        data[-1] = END_MARK
    if END_MARK not in data:
        return False
    end = data.index(END_MARK)
    del data[end:], events.times_s[end:]
    events.types = {index: event_type for index, event_type in events.types.items() if index < end}
    return True


def _event_fault(chunk: dict[str, Any], event_type: str) -> tuple[RequestStatus, str] | None:
    """Fault of an event that is no chunk; None if it may be ignored."""
    error = find_error(chunk)
    if error or event_type == "error":
        return error or ("error", f"the server sent an error event: {str(chunk)[:200]}")
    if "choices" in chunk or "usage" in chunk or event_type:
        return None
    return "malformed", f"an event has no choices: {str(chunk)[:200]}"
