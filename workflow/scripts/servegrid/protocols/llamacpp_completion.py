"""llama.cpp's own completion: no end mark, the last event has `stop`, and events say how many tokens there are so far."""

from typing import Any

from servegrid.protocols._output import Output, count, read_timings
from servegrid.protocols.base import GenerationSettings, Protocol, Reading, documents, error_words
from servegrid.protocols.events import Events
from servegrid.records.request import RequestRecord, RequestStatus

FINISH = {"limit": "length", "eos": "stop", "word": "stop"}


class LlamacppCompletion(Protocol):
    """`POST /completion` of llama-server."""

    name = "llamacpp-completion"
    path = "/completion"

    def fields(self, prompt: str, settings: GenerationSettings) -> dict[str, Any]:
        """The body's fields."""
        return {
            "prompt": prompt,
            "n_predict": settings.max_tokens,
            "temperature": settings.temperature,
            "seed": settings.seed,
            "ignore_eos": True if settings.exact else None,
            "return_tokens": True,
            "stream": True,
        }

    def parse(self, events: Events, record: RequestRecord) -> Reading:
        """Fill the record."""
        reading, read, output = Reading(), documents(events), Output()
        for t_s, chunk, _ in read.found:
            reading.fault = error_words(chunk) or _not_ours(chunk)
            if reading.fault:
                break
            text, tokens, stop = chunk["content"], count(chunk.get("tokens_predicted")), chunk.get("stop") is True
            if text or (chunk.get("tokens") and not stop):
                output.add(t_s, text, tokens)
            if tokens is not None:
                output.counted = tokens
            if stop:
                reading.finished = reading.end_mark = True
                self.read_last(chunk, record)
        output.write(record)
        reading.fault = reading.fault or read.fault
        return reading

    def read_last(self, chunk: dict[str, Any], record: RequestRecord) -> None:
        """Reason and counts of the last event."""
        kind = chunk.get("stop_type")
        record.finish_reason = FINISH.get(str(kind), str(kind)) if kind else None
        record.prompt_tokens = count(chunk.get("tokens_evaluated"))
        read_timings(chunk.get("timings"), record)


def _not_ours(chunk: dict[str, Any]) -> tuple[RequestStatus, str] | None:
    return None if type(chunk.get("content")) is str else ("malformed", f"an event has no content: {str(chunk)[:200]}")


PROTOCOL = LlamacppCompletion()
