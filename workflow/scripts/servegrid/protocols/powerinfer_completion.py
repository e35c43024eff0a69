"""PowerInfer's completion: llama.cpp's of November 2023, which makes one token more than it is asked for and counts one less."""

from typing import Any

from servegrid.protocols.base import GenerationSettings, ParseResult
from servegrid.protocols.events import Events
from servegrid.protocols.llamacpp_completion import LlamacppCompletion
from servegrid.records.request import RequestRecord

UNCOUNTED = 1
"""Tokens that the server does not count: the first token is sampled from the prompt, and `n_decoded` counts from the second on (examples/server/server.cpp, d3ebd7c)."""
REASONS = {"stopped_limit": "length", "stopped_eos": "stop", "stopped_word": "stop"}


class PowerInferCompletion(LlamacppCompletion):
    """`POST /completion` of PowerInfer's server. It makes at least four tokens: it does not check its limit before."""

    name = "powerinfer-completion"

    def fields(self, prompt: str, settings: GenerationSettings) -> dict[str, Any]:
        """Fields of the request body, without `extra`."""
        fields = super().fields(prompt, settings) | {"n_predict": settings.max_tokens - UNCOUNTED}
        return {name: value for name, value in fields.items() if name != "return_tokens"}

    def read_final_event(self, chunk: dict[str, Any], record: RequestRecord) -> None:
        """Read the last event; it has one flag per finish reason."""
        super().read_final_event(chunk, record)
        unknown = "none" if REASONS.keys() & chunk.keys() else None
        record.finish_reason = next((reason for key, reason in REASONS.items() if chunk.get(key) is True), unknown)

    def parse(self, events: Events, record: RequestRecord) -> ParseResult:
        """Fill the record; see `Protocol.parse`."""
        result = super().parse(events, record)
        if result.finished and record.output_tokens is not None:
            record.output_tokens += UNCOUNTED
        return result


PROTOCOL = PowerInferCompletion()
