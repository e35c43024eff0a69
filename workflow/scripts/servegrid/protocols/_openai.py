"""What OpenAI's two streaming protocols share: chunks with `choices`, usage counts, the end mark."""

from collections.abc import Mapping
from typing import Any, ClassVar

from servegrid.protocols import _typed
from servegrid.protocols._output import Output, count, read_timings
from servegrid.protocols.base import Documents, GenerationSettings, Protocol, Reading, documents, error_words
from servegrid.protocols.events import Events
from servegrid.records.request import RequestRecord, RequestStatus

END_MARK = b"[DONE]"


def common_fields(settings: GenerationSettings) -> dict[str, Any]:
    """Fields of both protocols. `ignore_eos` and `min_tokens` are what vLLM, SGLang, TensorRT-LLM and llama.cpp know."""
    return {
        "model": settings.model,
        "max_tokens": settings.max_tokens,
        "temperature": settings.temperature,
        "seed": settings.seed,
        "ignore_eos": True if settings.exact else None,
        "min_tokens": settings.max_tokens if settings.exact else None,
        "stream": True,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
    }


class OpenAIProtocol(Protocol):
    """Reads the chunks; a subclass says which text a choice carries."""

    decoder: ClassVar[Any]  # of chunks that are as they should be
    typed_piece: ClassVar[Any]  # function: `piece`, of a choice of those

    @staticmethod
    def piece(choice: Mapping[str, Any]) -> str:
        """Output text of one choice of a chunk; not empty for output that is no text."""
        raise NotImplementedError

    def parse(self, events: Events, record: RequestRecord) -> Reading:
        """Fill the record. See the base class."""
        reading = Reading()
        if _cut_at_end_mark(events):
            reading.finished = reading.end_mark = True
        output = Output()
        chunks = _typed.read(events, self.decoder)
        if chunks is not None:
            self._read_typed(chunks, events.times_s, output, record)
        else:
            found = documents(events)
            reading.fault = self._chunks(found, output, record) or found.fault
        output.write(record)
        reading.finished |= record.finish_reason is not None
        return reading

    def _read_typed(
        self, chunks: list[_typed.Chunk[Any]], times_s: list[float], output: Output, record: RequestRecord
    ) -> None:
        """As `_chunks`, of chunks that can have no fault."""
        piece = self.typed_piece
        for t_s, chunk in zip(times_s, chunks, strict=True):
            choices, usage, text, finish = chunk.choices, chunk.usage, "", ""
            for choice in choices:
                text += piece(choice) or ""
                finish = choice.finish_reason or finish
            tokens = None if usage is None else count(usage.completion_tokens)
            if text or (choices and tokens and output.grew(tokens, last=bool(finish))):
                output.add(t_s, text, tokens)
            if finish:
                record.finish_reason = finish
            if tokens is not None and usage is not None:
                output.counted = tokens
                record.prompt_tokens = usage.prompt_tokens
            if chunk.timings is not None:
                read_timings(chunk.timings, record)
        record.prompt_tokens = count(record.prompt_tokens)

    def _chunks(self, read: Documents, output: Output, record: RequestRecord) -> tuple[RequestStatus, str] | None:
        """Read chunk by chunk; output is text, or a token count that grew. Ends with the first fault, if there is one."""
        piece = self.piece
        for t_s, chunk, kind in read.found:
            choices, usage = chunk.get("choices"), chunk.get("usage")
            if choices is None or kind or "error" in chunk:
                fault = _not_a_chunk(chunk, kind)
                if fault:
                    return fault
            text = finish = ""
            for choice in choices if type(choices) is list else ():
                if type(choice) is dict:
                    text += piece(choice)
                    finish = choice.get("finish_reason") or finish
            tokens = count(usage.get("completion_tokens")) if type(usage) is dict else None
            if text or (choices and tokens and output.grew(tokens, last=bool(finish))):
                output.add(t_s, text, tokens)
            if finish:
                record.finish_reason = str(finish)
            if tokens is not None and usage:
                output.counted = tokens
                record.prompt_tokens = usage.get("prompt_tokens")
            if "timings" in chunk:
                read_timings(chunk["timings"], record)
        record.prompt_tokens = count(record.prompt_tokens)
        return None


def _cut_at_end_mark(events: Events) -> bool:
    """Drop the end mark and what follows. True if there was one."""
    data = events.data
    if data and data[-1].strip() == END_MARK:
        data[-1] = END_MARK
    if END_MARK not in data:
        return False
    at = data.index(END_MARK)
    del data[at:], events.times_s[at:]
    events.types = {number: kind for number, kind in events.types.items() if number < at}
    return True


def _not_a_chunk(chunk: dict[str, Any], kind: str) -> tuple[RequestStatus, str] | None:
    """The fault of an event that is no chunk, None when it may be passed over."""
    error = error_words(chunk)
    if error or kind == "error":
        return error or ("error", f"the server sent an error event: {str(chunk)[:200]}")
    if "choices" in chunk or "usage" in chunk or kind:
        return None
    return "malformed", f"an event has no choices: {str(chunk)[:200]}"
