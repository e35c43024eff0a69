"""TGI's own streaming API: an event per token, and no end mark but the last token's event, which has the whole text."""

from typing import Any

from servegrid.protocols._output import Output, count
from servegrid.protocols.base import GenerationSettings, Protocol, Reading, documents, error_words
from servegrid.protocols.events import Events
from servegrid.records.request import RequestRecord, RequestStatus

FINISH = {"eos_token": "stop", "stop_sequence": "stop"}


class TgiGenerate(Protocol):
    """`POST /generate_stream` of text-generation-inference (router/src/server.rs, v1.4.4 to v3.3.7)."""

    name = "tgi-generate"
    path = "/generate_stream"

    def fields(self, prompt: str, settings: GenerationSettings) -> dict[str, Any]:
        """The body's fields.

        Temperature 0 and top_p 1 are refused there (router/src/validation.rs), so that greedy is to leave them out. There is no
        field for an exact length: the router sets ignore_eos_token to false.
        """
        parameters: dict[str, Any] = {"max_new_tokens": settings.max_tokens, "do_sample": settings.temperature > 0}
        if settings.temperature > 0:
            parameters["temperature"] = settings.temperature
        if settings.seed is not None:
            parameters["seed"] = settings.seed
        return {"inputs": prompt, "parameters": {**parameters, "details": True}}

    def parse(self, events: Events, record: RequestRecord) -> Reading:
        """Fill the record. Every event but an error is one token, also where its text is still empty."""
        reading, read, output = Reading(), documents(events), Output()
        for number, (t_s, chunk, _) in enumerate(read.found, 1):
            reading.fault = error_words(chunk) or _not_ours(chunk)
            if reading.fault:
                break
            output.add(t_s, chunk["token"]["text"], number)
            if chunk.get("generated_text") is not None:
                reading.finished = reading.end_mark = True
                _read_last(chunk, output, record)
        output.write(record)
        reading.fault = reading.fault or read.fault
        return reading


def _not_ours(chunk: dict[str, Any]) -> tuple[RequestStatus, str] | None:
    token = chunk.get("token")
    if type(token) is dict and type(token.get("text")) is str:
        return None
    return "malformed", f"an event has no token: {str(chunk)[:200]}"


def _read_last(chunk: dict[str, Any], output: Output, record: RequestRecord) -> None:
    """Reason and counts; the prompt's length is told from version 2 on."""
    details = chunk.get("details")
    if type(details) is not dict:
        return
    reason = details.get("finish_reason")
    record.finish_reason = FINISH.get(str(reason), str(reason)) if reason else None
    record.prompt_tokens = count(details.get("input_length"))
    output.counted = count(details.get("generated_tokens"))


PROTOCOL = TgiGenerate()
