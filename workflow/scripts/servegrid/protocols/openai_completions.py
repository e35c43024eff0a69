"""OpenAI's completions: vLLM, Aphrodite, SGLang, TensorRT-LLM, llama.cpp, TGI and others serve it."""

from collections.abc import Mapping
from operator import attrgetter
from typing import Any

from servegrid.protocols import _typed
from servegrid.protocols._openai import OpenAIProtocol, common_fields
from servegrid.protocols._output import output_text
from servegrid.protocols.base import GenerationSettings


class OpenAICompletions(OpenAIProtocol):
    """`POST /v1/completions` with streaming."""

    name = "openai-completions"
    decoder = _typed.chunk_decoder(_typed.TextChoice)
    typed_choice_text = attrgetter("text")
    path = "/v1/completions"

    def fields(self, prompt: str, settings: GenerationSettings) -> dict[str, Any]:
        """Fields of the request body, without `extra`."""
        return {"prompt": prompt, **common_fields(settings)}

    @staticmethod
    def choice_text(choice: Mapping[str, Any]) -> str:
        """Text of a choice; empty if it has none."""
        return output_text(choice.get("text"))


PROTOCOL = OpenAICompletions()
