"""Render a completion as OpenAI's JSON or as server-sent events."""

import json
import time
import uuid
from typing import Any

from tokenizers import Tokenizer

from library_server.completion import CompletionRequest
from library_server.detokenizer import Detokenizer
from library_server.stop import StopSearch

DONE_EVENT = b"data: [DONE]\n\n"


def event(content: Any) -> bytes:
    """Server-sent event with this content as JSON."""
    return f"data: {_json(content)}\n\n".encode()


def _json(content: Any) -> str:
    return json.dumps(content, separators=(",", ":"))


class CompletionResponse:
    """Response to one completion as its text grows: an event per token, or one JSON object."""

    def __init__(self, completion: CompletionRequest, tokenizer: Tokenizer, model: str):
        self._completion = completion
        self._detokenizer = Detokenizer(tokenizer)
        self._stop_search = StopSearch(completion.stops)
        self._head = {
            "id": f"cmpl-{uuid.uuid4().hex}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": model,
        }
        # every event begins alike: the JSON of the head, left open at its end
        self._event_head = b"data: " + _json(self._head).encode()[:-1]
        self._output_tokens = 0
        self.finish_reason: str | None = None

    def add(self, token_id: int, finish_reason: str | None) -> str:
        """Add a token and return the text it adds; the finish reason comes with the last token."""
        self._output_tokens += 1
        ends_text = finish_reason == "stop"  # the end token itself is no text
        text = "" if ends_text else self._stop_search.push(self._detokenizer.push(token_id))
        if finish_reason and not self._stop_search.is_found:
            text += self._stop_search.push(self._detokenizer.finish()) + self._stop_search.finish()
        self.finish_reason = "stop" if self._stop_search.is_found else finish_reason
        return text

    def usage(self) -> dict[str, int]:
        """Token counts so far, as OpenAI's `usage`."""
        prompt_tokens = len(self._completion.generation.prompt)
        output_tokens = self._output_tokens
        return {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": output_tokens,
            "total_tokens": prompt_tokens + output_tokens,
        }

    def token_event(self, text: str) -> bytes:
        """Event of the token added last; sent also when its text is still empty."""
        reason = "null" if self.finish_reason is None else f'"{self.finish_reason}"'
        choice = f'{{"index":0,"text":{_json(text)},"logprobs":null,"finish_reason":{reason}}}'
        usage = _json(self.usage()) if self._completion.continuous_usage else "null"
        return self._event_head + f',"choices":[{choice}],"usage":{usage}}}\n\n'.encode()

    def end_events(self) -> bytes:
        """Events that follow the last token's: usage, if asked for, and the end mark."""
        if not self._completion.include_usage:
            return DONE_EVENT
        return event({**self._head, "choices": [], "usage": self.usage()}) + DONE_EVENT

    def as_json(self, text: str) -> dict[str, Any]:
        """JSON of the response to a request that did not ask for a stream."""
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": self.finish_reason}
        return {**self._head, "choices": [choice], "usage": self.usage()}
