"""Triton's generate extension, streaming: events with the outputs by name, and no end mark."""

import json
from typing import Any

from servegrid.protocols._triton import MODEL, Piece, sampling, switches, write
from servegrid.protocols.base import GenerationSettings, Protocol, Reading, documents, error_words
from servegrid.protocols.events import Events
from servegrid.records.request import RequestRecord


class TritonGenerate(Protocol):
    """`POST /v2/models/vllm_model/generate_stream`."""

    name = "triton-generate"
    path = f"/v2/models/{MODEL}/generate_stream"

    def fields(self, prompt: str, settings: GenerationSettings) -> dict[str, Any]:
        """The body's fields: inputs by name; what is none of them goes to the backend as request parameters."""
        return {"text_input": prompt, "stream": True, **switches(settings), "parameters": sampling(settings)}

    def body(self, prompt: str, settings: GenerationSettings) -> bytes:
        """The request's body; `extra` has its place among the parameters."""
        return json.dumps(self.fields(prompt, settings), ensure_ascii=False).encode("utf-8", "replace")

    def parse(self, events: Events, record: RequestRecord) -> Reading:
        """Fill the record. The end of the HTTP message is the end of the answer: whether it was cut off shows there."""
        reading, read, pieces = Reading(), documents(events), []
        for t_s, event, _ in read.found:
            reading.fault = error_words(event) or _not_ours(event)
            if reading.fault:
                break
            new, prompt = _only(event.get("num_output_tokens")), event.get("num_input_tokens")
            pieces.append(Piece(t_s, _only(event["text_output"]), new, prompt, _only(event.get("finish_reason"))))
        write(pieces, record)
        reading.fault = reading.fault or read.fault
        reading.finished = bool(pieces)
        return reading


def _only(value: Any) -> Any:
    """Triton writes an output of one element without its brackets; of several sequences the first is read."""
    return value[0] if isinstance(value, list) and value else value


def _not_ours(event: dict[str, Any]) -> Any:
    if type(_only(event.get("text_output"))) is str:
        return None
    return "malformed", f"an event has no text_output: {str(event)[:200]}"


PROTOCOL = TritonGenerate()
