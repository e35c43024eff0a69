"""OpenAI's chat completions; the prompt is sent as one message of the user."""

from collections.abc import Mapping
from typing import Any

from servegrid.protocols import _typed
from servegrid.protocols._openai import OpenAIProtocol, common_fields
from servegrid.protocols._output import UnknownShapeError, output_text
from servegrid.protocols.base import GenerationSettings


class OpenAIChat(OpenAIProtocol):
    """`POST /v1/chat/completions` with streaming."""

    name = "openai-chat"
    has_template = True
    decoder = _typed.chunk_decoder(_typed.ChatChoice)
    typed_choice_text = staticmethod(_typed.delta_text)
    path = "/v1/chat/completions"

    def fields(self, prompt: str, settings: GenerationSettings) -> dict[str, Any]:
        """Fields of the request body, without `extra`."""
        return {"messages": [{"role": "user", "content": prompt}], **common_fields(settings)}

    @staticmethod
    def choice_text(choice: Mapping[str, Any]) -> str:
        """Text that a choice adds: reasoning, content, refusal, names and arguments of tool calls; none for the role alone."""
        delta = choice.get("delta") or choice.get("message")
        if delta is None or delta == "":
            return ""
        if type(delta) is not dict:
            raise UnknownShapeError
        reasoning = delta.get("reasoning_content") or delta.get("reasoning") or delta.get("thinking") or _details(delta)
        return "".join(map(output_text, [reasoning, delta.get("content"), delta.get("refusal"), *_call_texts(delta)]))


def _details(delta: Mapping[str, Any]) -> list[Any]:
    """Reasoning in parts, as OpenRouter sends it; what is encrypted is none that can be read."""
    parts = delta.get("reasoning_details") or []
    if type(parts) is not list or not all(type(part) is dict for part in parts):
        raise UnknownShapeError
    return [part.get("text") or part.get("summary") or "" for part in parts]


def _call_texts(delta: Mapping[str, Any]) -> list[Any]:
    """Names and arguments of the functions that a model calls."""
    calls = delta.get("tool_calls") or []
    if type(calls) is not list or not all(type(call) is dict for call in calls):
        raise UnknownShapeError
    functions = [call.get("function") or {} for call in calls] + [delta.get("function_call") or {}]
    if not all(type(function) is dict for function in functions):
        raise UnknownShapeError
    return [function.get(key) for function in functions for key in ("name", "arguments")]


PROTOCOL = OpenAIChat()
