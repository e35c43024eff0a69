"""Stand-in for DeepSpeed-MII's OpenAI server, following mii/entrypoints/{openai_api_server,data_models}.py of v0.3.3.

`python mii.py --model FOLDER --port N …`. Words are tokens. The model wants to end after five, and may as soon as prompt and answer
reach `min_tokens` (Request.is_done in mii/batching/data_classes.py); a prompt with `fail` loses the engine after two.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from standins.standin import Answering, Broken, StandIn, compact, tokens

END_AFTER = 5
INVALID_MODEL, VALIDATION_TYPE_ERROR = 40301, 40001  # fastchat/constants.py of fschat 0.2.36
KINDS: dict[str, tuple[type, ...]] = {
    "max_tokens": (int,),
    "min_tokens": (int,),
    "top_k": (int,),
    "temperature": (int, float),
}


class Mii(StandIn):
    """Front end and engine in one. Fields that MII does not know are passed over, as pydantic does."""

    def __init__(self, model: str, host: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__(host, port)
        self.model = model

    def get(self, at: Answering) -> None:
        if at.path == "/health":
            at.whole(200, compact({"status": "ok"}))  # whatever has become of the engine
        elif at.path == "/v1/models":
            card = {"id": self.model, "object": "model", "created": 1, "owned_by": "deepspeed-mii", "root": self.model}
            at.whole(200, compact({"object": "list", "data": [card]}))
        else:
            at.whole(404, compact({"detail": "Not Found"}))

    def post(self, at: Answering) -> None:
        body = json.loads(at.body)
        wrong = [name for name, kinds in KINDS.items() if not isinstance(body.get(name, 1), kinds)]
        if wrong or "prompt" not in body:
            self._refuse(
                at, VALIDATION_TYPE_ERROR, f"1 validation error:\n  {{'loc': ('body', '{(wrong or ['prompt'])[0]}')}}\n"
            )
        elif body.get("model") != self.model:
            self._refuse(at, INVALID_MODEL, f"Model {body.get('model')} not found.")
        else:
            at.stream(self._events(body), "text/event-stream; charset=utf-8")

    def _refuse(self, at: Answering, code: int, message: str) -> None:
        at.whole(400, compact({"object": "error", "message": message, "code": code}))

    def _events(self, body: dict[str, Any]) -> Iterator[str]:
        """StreamResults: an event per token, one without text for the end, no usage."""
        if body.get("temperature", 0.7) <= 0:  # GenerateParamsConfig refuses it, in the engine
            raise Broken
        prompt, new = body["prompt"], body.get("max_tokens", 128)
        output_words, reason = self._answer(prompt, new, body.get("min_tokens") or 0)
        for number, word in enumerate(output_words, 1):
            self.step()
            if "fail" in prompt.split() and number > 2:
                raise Broken
            yield self._event(word, None)
        yield self._event("", reason)
        yield "data: [DONE]\n\n"

    def _answer(self, prompt: str, new: int, least: int) -> tuple[list[str], str]:
        read = len(prompt.split())
        length = max(END_AFTER, least - read + 1)
        return tokens(prompt, min(length, new)), "stop" if length < new else "length"

    def _event(self, text: str, reason: str | None) -> str:
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": reason}
        chunk = {"id": "cmpl-x", "object": "text_completion", "model": self.model, "choices": [choice]}
        return f"data: {compact(chunk)}\n\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="OpenAI-Compatible RESTful API server.")
    for name in ("--model", "--host"):
        parser.add_argument(name)
    for name in ("--port", "--tensor-parallel", "--replica-num", "--max_length"):
        parser.add_argument(name, type=int)
    given = parser.parse_args()
    Mii(given.model, given.host, given.port).serve()
