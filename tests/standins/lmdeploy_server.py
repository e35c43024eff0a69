"""Stand-in for LMDeploy's api_server, following the wheel of 0.18.0.

serve/openai/endpoints/completions.py (chunks), errors.py, protocol.py, endpoints/management.py (/health), serve/core/exceptions.py,
metrics/loggers.py. Fields that it does not know it passes over; its gauges move once in 10 s (here: at once).
"""

import json
import sys
from collections.abc import Iterator
from typing import Any

from standins.openai_like import CREATED, JSON, Refusal, StandIn, after, compact, gauge, http_server, spaced


class LMDeploy(StandIn):
    """`fails_after`: events after which the engine gives up, which it says in the stream."""

    fails_after: int | None = None

    def page(self, path: str) -> tuple[int, str, str]:
        """Health has a status in words."""
        if path == "/health":
            state = {"status": "healthy" if self.ready else "initializing", "message": "ok"}
            return (200 if self.ready else 503), compact(state), JSON
        if path == "/v1/models":
            card = {"id": self.model, "object": "model", "created": CREATED, "owned_by": "lmdeploy", "root": self.model}
            return 200, compact({"object": "list", "data": [card | {"parent": None, "permission": []}]}), JSON
        return (
            (200, self._metrics(), "text/plain; version=1.0.0; charset=utf-8")
            if path == "/metrics"
            else super().page(path)
        )

    def _metrics(self) -> str:
        labels = f'engine="0",model_name="{self.model}"'
        gauges = {
            "num_requests_running": ("Number of requests in model execution batches.", self.running),
            "num_requests_waiting": ("Number of requests waiting to be processed.", self.waiting),
            "gpu_cache_usage_perc": ("GPU KV-cache usage. 1 means 100 percent usage.", self.running / 64),
        }
        counters = {
            "prompt_tokens_total": ("Number of prefill tokens processed.", self.prompt_tokens),
            "generation_tokens_total": ("Number of generation tokens processed.", self.output_tokens),
            "spec_decode_num_draft_tokens_total": ("Number of speculative decoding draft tokens.", self.drafts),
            "spec_decode_num_accepted_tokens_total": (
                "Number of speculative decoding accepted tokens.",
                self.accepted,
            ),
        }
        return "".join(
            [gauge(f"lmdeploy:{name}", text, labels, value) for name, (text, value) in gauges.items()]
            + [gauge(f"lmdeploy:{name}", text, labels, value, "counter") for name, (text, value) in counters.items()]
        )

    def stream(self, path: str, body: bytes) -> Iterator[str]:
        """Completions alone."""
        if path != "/v1/completions":
            return super().stream(path, body)
        asked = json.loads(body)
        if asked["model"] != self.model:
            raise _refused(404, f"The model {asked['model']!r} does not exist.", "not_found_error")
        prompt_tokens = len(asked["prompt"].split())
        if prompt_tokens >= self.context:
            message = f"Input length ({prompt_tokens}) must be smaller than the model context length ({self.context})."
            raise _refused(400, message, "invalid_request_error")
        return self._completions(asked)

    def _completions(self, asked: dict[str, Any]) -> Iterator[str]:
        with_usage = bool((asked.get("stream_options") or {}).get("include_usage"))
        prompt_tokens, output_tokens = len(asked["prompt"].split()), 0
        head = {"id": "1", "object": "text_completion", "created": CREATED, "model": asked["model"]}
        with self.slot():
            steps = self.steps(asked["prompt"], asked["max_tokens"], asked.get("ignore_eos", False))
            for number, (tokens, _, finish) in enumerate(steps):
                if number == self.fails_after:
                    yield _event({"error": _error("An internal server error occurred.", "server_error", 500)})
                    yield "data: [DONE]\n\n"
                    return
                output_tokens += len(tokens)
                choice = {"index": 0, "text": "".join(tokens)} | ({"finish_reason": finish} if finish else {})
                yield _event({**head, "choices": [choice]} | ({"usage": None} if with_usage else {}))
        if with_usage:
            usage = {
                "prompt_tokens": prompt_tokens,
                "total_tokens": prompt_tokens + output_tokens,
                "completion_tokens": output_tokens,
            }
            yield _event({**head, "choices": [], "usage": usage})
        yield "data: [DONE]\n\n"


def _event(document: dict[str, Any]) -> str:
    return f"data: {spaced(document)}\n\n"


def _error(message: str, kind: str, code: int) -> dict[str, Any]:
    return {"message": message, "type": kind, "code": code, "param": None, "object": "error"}


def _refused(status: int, message: str, kind: str) -> Refusal:
    return Refusal(status, compact(_error(message, kind, status)))


def main(arguments: list[str]) -> None:
    """`python -m standins.lmdeploy_server MODEL --server-port P …`, with the flags of the real one."""
    limit, context = (int(after(arguments, flag)) for flag in ("--max-batch-size", "--session-len"))
    assert not arguments[0].startswith("-"), "the model is the first word"
    drafted = int(after(arguments, "--speculative-num-draft-tokens", "0"))
    stand_in = LMDeploy(after(arguments, "--model-name"), context, limit, drafted=drafted, loading_s=0.5)
    http_server(stand_in, int(after(arguments, "--server-port"))).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
