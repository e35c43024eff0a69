"""A server that keeps prompts, as vLLM does: the beginning of a prompt that an earlier one had costs nothing.

Chunks and usage are those of vllm/entrypoints/openai (0.32) with `--enable-prompt-tokens-details`, counters those of
vllm/v1/metrics/loggers.py. Tokens are words; a template's words stand before each prompt.
"""

import json
from collections.abc import Iterator
from typing import Any

from standins.openai_like import StandIn, compact, gauge


class CachingServer(StandIn):
    """Remembers all prompts it was sent; `planted`: it looks past their first words, as no prefix cache does."""

    token_s = 0.0

    def __init__(self, says: str = "usage", template: int = 0, planted: int = 0) -> None:
        super().__init__("tiny", 4096, limit=64)
        self.says, self._template, self._planted = says, [f"<{n}>" for n in range(template)], planted
        self._kept: list[list[str]] = []
        self.sent: list[tuple[str, int, int]] = []  # prompt, its tokens, and those that were cached
        self._queries = self._hits = 0

    def page(self, path: str) -> tuple[int, str, str]:
        if path == "/v1/models":
            return 200, '{"data": [{"id": "tiny"}]}', "application/json"
        counters = {"vllm:prefix_cache_queries_total": self._queries, "vllm:prefix_cache_hits_total": self._hits}
        text = "".join(gauge(name, "", 'engine="0"', value, "counter") for name, value in counters.items())
        return 200, text if self.says == "counters" else "", "text/plain"

    def stream(self, path: str, body: bytes) -> Iterator[str]:
        asked = json.loads(body)
        is_chat = "messages" in asked
        prompt = asked["messages"][0]["content"] if is_chat else asked["prompt"]
        tokens, cached = self._look_up(prompt)
        usage: dict[str, Any] = {"prompt_tokens": tokens, "completion_tokens": asked["max_tokens"]}
        usage |= {"prompt_tokens_details": {"cached_tokens": cached}} if self.says == "usage" else {}
        for number in range(asked["max_tokens"]):
            text = f" {prompt.split()[-1]}{number}"
            finish = "length" if number == asked["max_tokens"] - 1 else None
            choice = {"delta": {"content": text}} if is_chat else {"text": text}
            yield f"data: {compact({'choices': [{'index': 0, **choice, 'finish_reason': finish}], 'usage': None})}\n\n"
        yield f"data: {compact({'choices': [], 'usage': usage})}\n\n"
        yield "data: [DONE]\n\n"

    def _look_up(self, prompt: str) -> tuple[int, int]:
        """Tokens of a prompt, and how many of them were cached: all but the last at most."""
        words = self._template + prompt.split()
        key = self._template + prompt.split()[self._planted :]
        with self._lock:
            cached = max((_common(key, other) for other in self._kept), default=0)
            cached = min(cached + (self._planted if cached > len(self._template) else 0), len(words) - 1)
            self._kept.append(key)
            self.sent.append((prompt, len(words), cached))
            self._queries, self._hits = self._queries + len(words), self._hits + cached
        return len(words), cached


def _common(first: list[str], second: list[str]) -> int:
    pairs = zip(first, second, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))
