"""llama.cpp's own completion: no end mark, the last event has `stop`, and events say how many tokens there are so far."""

from typing import Any

from servegrid.protocols._output import Output, read_timings, token_count
from servegrid.protocols.base import GenerationSettings, ParseResult, Protocol, find_error, parse_json_events
from servegrid.protocols.events import Events
from servegrid.records.request import RequestRecord, RequestStatus

FINISH = {"limit": "length", "eos": "stop", "word": "stop"}


class LlamacppCompletion(Protocol):
    """`POST /completion` of llama-server."""

    name = "llamacpp-completion"
    path = "/completion"

    def fields(self, prompt: str, settings: GenerationSettings) -> dict[str, Any]:
        """Fields of the request body, without `extra`."""
        return {
            "prompt": prompt,
            "n_predict": settings.max_tokens,
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "top_k": settings.top_k,
            "seed": settings.seed,
            "ignore_eos": True if settings.exact else None,
            "return_tokens": True,
            "stream": True,
        }

    def parse(self, events: Events, record: RequestRecord) -> ParseResult:
        """Fill the record; see `Protocol.parse`."""
        result, json_events, output = ParseResult(), parse_json_events(events), Output()
        for t_s, chunk, _ in json_events.objects:
            result.fault = find_error(chunk) or _unexpected_event(chunk)
            if result.fault:
                break
            text, tokens, stop = chunk["content"], token_count(chunk.get("tokens_predicted")), chunk.get("stop") is True
            if text or (chunk.get("tokens") and not stop):
                output.add(t_s, text, tokens)
            output.count(tokens)
            if stop:
                result.finished = result.end_mark = True
                self.read_final_event(chunk, record)
        output.write(record)
        result.fault = result.fault or json_events.fault
        return result

    def read_final_event(self, chunk: dict[str, Any], record: RequestRecord) -> None:
        """Read finish reason and counts of the last event into the record."""
        kind = chunk.get("stop_type")
        record.finish_reason = FINISH.get(str(kind), str(kind)) if kind else None
        record.prompt_tokens = token_count(chunk.get("tokens_evaluated"))
        read_timings(chunk.get("timings"), record)


def _unexpected_event(chunk: dict[str, Any]) -> tuple[RequestStatus, str] | None:
    return None if type(chunk.get("content")) is str else ("malformed", f"an event has no content: {str(chunk)[:200]}")


PROTOCOL = LlamacppCompletion()
