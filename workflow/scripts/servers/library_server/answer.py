"""What a completion looks like on the wire: OpenAI's JSON, and its server-sent events."""

import json
import time
import uuid
from typing import Any

from tokenizers import Tokenizer

from library_server.completion import Completion
from library_server.detokenizer import Detokenizer
from library_server.stop import StopSearch

DONE = b"data: [DONE]\n\n"


def event(content: Any) -> bytes:
    """A server-sent event."""
    return f"data: {_json(content)}\n\n".encode()


def _json(content: Any) -> str:
    return json.dumps(content, separators=(",", ":"))


class Answer:
    """The text of one completion as it grows, and its forms: an event per token, or one JSON object."""

    def __init__(self, wanted: Completion, tokenizer: Tokenizer, model: str):
        self._wanted = wanted
        self._text = Detokenizer(tokenizer)
        self._stop = StopSearch(wanted.stops)
        self._head = {
            "id": f"cmpl-{uuid.uuid4().hex}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": model,
        }
        # every event begins alike: the JSON of the head, left open at its end
        self._begin = b"data: " + _json(self._head).encode()[:-1]
        self._output_tokens = 0
        self.finish_reason: str | None = None

    def add(self, token_id: int, finish_reason: str | None) -> str:
        """Takes a token and gives the text it adds; the reason is given with the last token."""
        self._output_tokens += 1
        ends_text = finish_reason == "stop"  # the end token itself is no text
        text = "" if ends_text else self._stop.push(self._text.push(token_id))
        if finish_reason and not self._stop.found:
            text += self._stop.push(self._text.finish()) + self._stop.finish()
        self.finish_reason = "stop" if self._stop.found else finish_reason
        return text

    def usage(self) -> dict[str, int]:
        """Tokens so far."""
        prompt = len(self._wanted.generation.prompt)
        made = self._output_tokens
        return {"prompt_tokens": prompt, "completion_tokens": made, "total_tokens": prompt + made}

    def token_event(self, text: str) -> bytes:
        """The event of the token added last; sent also when its text is still empty."""
        reason = "null" if self.finish_reason is None else f'"{self.finish_reason}"'
        choice = f'{{"index":0,"text":{_json(text)},"logprobs":null,"finish_reason":{reason}}}'
        usage = _json(self.usage()) if self._wanted.continuous_usage else "null"
        return self._begin + f',"choices":[{choice}],"usage":{usage}}}\n\n'.encode()

    def end_events(self) -> bytes:
        """What follows the last token's event."""
        if not self._wanted.include_usage:
            return DONE
        return event({**self._head, "choices": [], "usage": self.usage()}) + DONE

    def whole(self, text: str) -> dict[str, Any]:
        """The answer to a request that did not ask for a stream."""
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": self.finish_reason}
        return {**self._head, "choices": [choice], "usage": self.usage()}
