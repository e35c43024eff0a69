"""PowerInfer's completion: llama.cpp's of November 2023, which makes one token more than it is asked for and counts one less."""

from typing import Any

from servegrid.protocols.base import GenerationSettings, Reading
from servegrid.protocols.events import Events
from servegrid.protocols.llamacpp_completion import LlamacppCompletion
from servegrid.records.request import RequestRecord

UNCOUNTED = 1
"""The first token is sampled from the prompt, and `n_decoded` counts from the second on (examples/server/server.cpp, d3ebd7c)."""
REASONS = {"stopped_limit": "length", "stopped_eos": "stop", "stopped_word": "stop"}


class PowerInferCompletion(LlamacppCompletion):
    """`POST /completion` of PowerInfer's server. It gives four tokens at least: its limit is not looked at before."""

    name = "powerinfer-completion"

    def fields(self, prompt: str, settings: GenerationSettings) -> dict[str, Any]:
        """The body's fields."""
        own = super().fields(prompt, settings) | {"n_predict": settings.max_tokens - UNCOUNTED}
        return {name: value for name, value in own.items() if name != "return_tokens"}

    def read_last(self, chunk: dict[str, Any], record: RequestRecord) -> None:
        """It says for each reason whether it was the one."""
        super().read_last(chunk, record)
        record.finish_reason = next((reason for key, reason in REASONS.items() if chunk.get(key) is True), None)

    def parse(self, events: Events, record: RequestRecord) -> Reading:
        """Fill the record."""
        reading = super().parse(events, record)
        if reading.finished and record.output_tokens is not None:
            record.output_tokens += UNCOUNTED
        return reading


PROTOCOL = PowerInferCompletion()
