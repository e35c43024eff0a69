"""TGI's own streaming API: an event per token, and no end mark but the last token's event, which has the whole text."""

from typing import Any

from servegrid.protocols._output import Output, token_count
from servegrid.protocols.base import GenerationSettings, ParseResult, Protocol, find_error, parse_json_events
from servegrid.protocols.events import Events
from servegrid.records.request import RequestRecord, RequestStatus

FINISH = {"eos_token": "stop", "stop_sequence": "stop"}


class TgiGenerate(Protocol):
    """`POST /generate_stream` of text-generation-inference (router/src/server.rs, v1.4.4 to v3.3.7)."""

    name = "tgi-generate"
    path = "/generate_stream"
    sampling_object = "parameters"

    def fields(self, prompt: str, settings: GenerationSettings) -> dict[str, Any]:
        """Fields of the request body, without `extra`.

        Temperature 0 and top_p 1 are refused there (router/src/validation.rs), so they are left out for greedy decoding. There is no
        field for an exact length: the router sets ignore_eos_token to false.
        """
        parameters: dict[str, Any] = {"max_new_tokens": settings.max_tokens, "do_sample": settings.temperature > 0}
        if settings.temperature > 0:
            top_p = settings.top_p if settings.top_p != 1 else None
            sampling = {"temperature": settings.temperature, "top_p": top_p, "top_k": settings.top_k}
            parameters |= {name: value for name, value in sampling.items() if value is not None}
        if settings.seed is not None:
            parameters["seed"] = settings.seed
        return {"inputs": prompt, "parameters": {**parameters, "details": True}}

    def parse(self, events: Events, record: RequestRecord) -> ParseResult:
        """Fill the record; every event but an error is one token, also where its text is still empty."""
        result, json_events, output = ParseResult(), parse_json_events(events), Output()
        for number, (t_s, chunk, _) in enumerate(json_events.objects, 1):
            result.fault = find_error(chunk) or _unexpected_event(chunk)
            if result.fault:
                break
            output.add(t_s, chunk["token"]["text"], number)
            if chunk.get("generated_text") is not None:
                result.finished = result.end_mark = True
                _read_final_event(chunk, output, record)
        output.write(record)
        result.fault = result.fault or json_events.fault
        return result


def _unexpected_event(chunk: dict[str, Any]) -> tuple[RequestStatus, str] | None:
    token = chunk.get("token")
    if type(token) is dict and type(token.get("text")) is str:
        return None
    return "malformed", f"an event has no token: {str(chunk)[:200]}"


def _read_final_event(chunk: dict[str, Any], output: Output, record: RequestRecord) -> None:
    """Read finish reason and counts of the last event; the prompt's length is given from version 2 on."""
    details = chunk.get("details")
    if type(details) is not dict:
        return
    reason = details.get("finish_reason")
    record.finish_reason = FINISH.get(str(reason), str(reason)) if reason else None
    record.prompt_tokens = token_count(details.get("input_length"))
    output.count(token_count(details.get("generated_tokens")))


PROTOCOL = TgiGenerate()
