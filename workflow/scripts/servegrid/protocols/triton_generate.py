"""Triton's generate extension, streaming: events with the outputs by name, and no end mark."""

import json
from typing import Any

from servegrid.protocols._triton import MODEL, ROOM_FACTOR, Piece, enabled_switches, sampling_parameters, write_pieces
from servegrid.protocols.base import GenerationSettings, ParseResult, Protocol, find_error, parse_json_events
from servegrid.protocols.events import Events
from servegrid.records.request import RequestRecord


class TritonGenerate(Protocol):
    """`POST /v2/models/vllm_model/generate_stream`."""

    name = "triton-generate"
    path = f"/v2/models/{MODEL}/generate_stream"

    def fields(self, prompt: str, settings: GenerationSettings) -> dict[str, Any]:
        """Fields of the request body: inputs by name; anything else goes to the backend as request parameters."""
        return {
            "text_input": prompt,
            "stream": True,
            **enabled_switches(settings),
            "parameters": sampling_parameters(settings),
        }

    def encode(self, prompt: str, settings: GenerationSettings) -> bytes:
        """Request body, UTF-8 JSON; `extra` is among the parameters."""
        return json.dumps(self.fields(prompt, settings), ensure_ascii=False).encode("utf-8", "replace")

    def max_answer_bytes(self, max_tokens: int) -> int:
        """Default limit of an answer's size, with room for backends that repeat prompt and text."""
        return ROOM_FACTOR * super().max_answer_bytes(max_tokens)

    def parse(self, events: Events, record: RequestRecord) -> ParseResult:
        """Fill the record; the answer ends with the HTTP message, which shows whether it was cut off."""
        result, json_events, pieces = ParseResult(), parse_json_events(events), []
        for t_s, event, _ in json_events.objects:
            result.fault = find_error(event) or _unexpected_event(event)
            if result.fault:
                break
            new_tokens, prompt_tokens = _unwrapped(event.get("num_output_tokens")), event.get("num_input_tokens")
            pieces.append(
                Piece(
                    t_s,
                    _unwrapped(event["text_output"]),
                    new_tokens,
                    prompt_tokens,
                    _unwrapped(event.get("finish_reason")),
                )
            )
        write_pieces(pieces, record, _prompt(events.request))
        result.fault = result.fault or json_events.fault
        result.finished = bool(pieces)
        return result


def _prompt(body: bytes) -> str:
    """Prompt in the body of a request; empty if it has none."""
    try:
        return str(json.loads(body)["text_input"])
    except (ValueError, LookupError, TypeError):
        return ""


def _unwrapped(value: Any) -> Any:
    """Element of an output that has one; Triton writes it without brackets."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _unexpected_event(event: dict[str, Any]) -> Any:
    if type(_unwrapped(event.get("text_output"))) is str:
        return None
    return "malformed", f"an event has no text_output: {str(event)[:200]}"


PROTOCOL = TritonGenerate()
