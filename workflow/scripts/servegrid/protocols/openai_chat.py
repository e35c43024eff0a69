"""OpenAI's chat completions; the prompt is sent as one message of the user."""

from collections.abc import Mapping
from typing import Any

from servegrid.protocols import _typed
from servegrid.protocols._openai import OpenAIProtocol, common_fields
from servegrid.protocols.base import GenerationSettings


class OpenAIChat(OpenAIProtocol):
    """`POST /v1/chat/completions` with streaming."""

    name = "openai-chat"
    decoder = _typed.chunk_decoder(_typed.ChatChoice)
    typed_choice_text = staticmethod(_typed.delta_text)
    path = "/v1/chat/completions"

    def fields(self, prompt: str, settings: GenerationSettings) -> dict[str, Any]:
        """Fields of the request body, without `extra`."""
        return {"messages": [{"role": "user", "content": prompt}], **common_fields(settings)}

    @staticmethod
    def choice_text(choice: Mapping[str, Any]) -> str:
        """Text that a choice adds: reasoning, content, names and arguments of tool calls; none for the role alone."""
        delta = choice.get("delta") or choice.get("message")
        if type(delta) is not dict:
            return ""
        pieces = [
            delta.get("reasoning_content") or delta.get("reasoning"),
            delta.get("content"),
            *_tool_call_texts(delta),
        ]
        return "".join([piece for piece in pieces if type(piece) is str])


def _tool_call_texts(delta: Mapping[str, Any]) -> list[Any]:
    calls = delta.get("tool_calls")
    if type(calls) is not list:
        return []
    functions = [call.get("function") for call in calls if type(call) is dict]
    return [function.get(key) for function in functions if type(function) is dict for key in ("name", "arguments")]


PROTOCOL = OpenAIChat()
