"""Stand-in for SGLang, following the wheel of 0.5.23.

srt/entrypoints/http_server.py (/ready, /health, /generate, /server_info), srt/entrypoints/openai/serving_completions.py and protocol.py (chunks,
errors), srt/managers/tokenizer_manager.py (_validate_one_request, meta_info), srt/managers/scheduler.py (queue limit),
srt/observability/metrics_collector.py (names, types, texts and labels of metrics).
"""

import json
import sys
import time
from collections.abc import Iterator
from typing import Any

from standins.openai_like import CREATED, JSON, Refusal, StandIn, after, compact, gauge, http_server, spaced

POOL = 4096  # tokens of the cache
VERSION = "0.5.23"
ID = "5f2b0c1e8d6a4b7f9c3e1a2d4b6f8e0c"


class SGLang(StandIn):
    """`incremental` is --incremental-streaming-output, `queue` is --max-queued-requests."""

    def __init__(self, *settings: Any, queue: int | None = None, incremental: bool = False, **more: Any) -> None:
        super().__init__(*settings, **more)
        self.queue, self.incremental = queue, incremental

    def page(self, path: str) -> tuple[int, str, str]:
        """Health while loading is 503; /health takes a second, for it generates."""
        if path == "/ready":
            return (200 if self.ready else 503), "", "text/plain"
        if path in ("/health", "/health_generate"):
            time.sleep(1.0 if self.ready else 0.0)
            return (200 if self.ready else 503), "", "text/plain"
        if path == "/server_info":
            return 200, compact(self._info()), JSON
        if path == "/model_info":
            return 200, compact({"model_path": "/models/m", "served_model_name": self.model}), JSON
        if path == "/v1/models":
            card = {"id": self.model, "object": "model", "created": CREATED, "owned_by": "sglang"}
            return (
                200,
                compact({"object": "list", "data": [card | {"root": self.model, "max_model_len": self.context}]}),
                JSON,
            )
        return (200, self._metrics(), "text/plain; version=0.0.4") if path == "/metrics" else super().page(path)

    def _info(self) -> dict[str, Any]:
        return {
            "model_path": "/models/m",
            "context_length": self.context,
            "max_running_requests": self.limit,
            "status": "ready",
            "max_total_num_tokens": POOL,
            "version": VERSION,
            "frontend": "python",
        }

    def _metrics(self) -> str:
        rank = f'engine_type="unified",model_name="{self.model}",moe_ep_rank="0",pp_rank="0",tp_rank="0"'
        front = f'engine_type="unified",is_streaming="true",model_name="{self.model}"'
        rate = self.accepted / self.drafts if self.drafts else 0.0
        return "".join(
            [
                gauge("sglang:num_running_reqs", "The number of running requests.", rank, self.running),
                gauge("sglang:num_queue_reqs", "The number of requests in the waiting queue.", rank, self.waiting),
                gauge("sglang:token_usage", "The token usage.", rank, self.running * 64 / POOL),
                gauge(
                    "sglang:spec_accept_rate",
                    "Speculative acceptance rate (`accepted drafts / proposed drafts` in batch).",
                    rank,
                    rate,
                ),
                gauge(
                    "sglang:prompt_tokens_total",
                    "Number of prefill tokens processed.",
                    front,
                    self.prompt_tokens,
                    "counter",
                ),
                gauge(
                    "sglang:generation_tokens_total",
                    "Number of generation tokens processed.",
                    front,
                    self.output_tokens,
                    "counter",
                ),
            ]
        )

    def stream(self, path: str, body: bytes) -> Iterator[str]:
        """The OpenAI way and its own."""
        if path == "/v1/completions":
            return self._completions(json.loads(body))
        return self._generate(json.loads(body)) if path == "/generate" else super().stream(path, body)

    def _too_long(self, prompt: str, max_tokens: int) -> str | None:
        prompt_tokens = len(prompt.split())
        if prompt_tokens >= self.context:
            return (
                f"The input ({prompt_tokens} tokens) is longer than the model's context length ({self.context} tokens)."
            )
        if prompt_tokens + max_tokens <= self.context:
            return None
        return (
            f"Requested token count exceeds the model's maximum context length of {self.context} tokens. "
            f"You requested a total of {prompt_tokens + max_tokens} tokens: {prompt_tokens} tokens from the input messages and {max_tokens} tokens "
            "for the completion. Please reduce the number of tokens in the input messages or the completion to fit within the limit."
        )

    def _full(self) -> bool:
        return self.queue is not None and self.running >= self.limit and self.waiting + 1 > self.queue

    def _completions(self, asked: dict[str, Any]) -> Iterator[str]:
        prompt, max_tokens = asked["prompt"], asked.get("max_tokens", 16)
        if reason := self._too_long(prompt, max_tokens):
            raise Refusal(400, compact(_error(reason, "BadRequestError", 400)))
        if self._full():
            yield _event(spaced({"error": _error("The request queue is full.", "SERVICE_UNAVAILABLE", 503)}))
            yield "data: [DONE]\n\n"
            return
        options, prompt_tokens, output_tokens = asked.get("stream_options") or {}, len(prompt.split()), 0
        with self.slot():
            for tokens, output_tokens, finish in self.steps(prompt, max_tokens, asked.get("ignore_eos", False)):
                choice = {"index": 0, "text": "".join(tokens), "logprobs": None}
                choice |= {"finish_reason": finish, "matched_stop": 2 if finish == "stop" else None}
                usage = (
                    _usage(prompt_tokens, output_tokens)
                    if options.get("include_usage") and options["continuous_usage_stats"]
                    else None
                )
                yield _event(compact(self._chunk([choice], usage)))
        if options.get("include_usage"):
            counts = {name: value for name, value in _usage(prompt_tokens, output_tokens).items() if value is not None}
            yield _event(compact(self._chunk([], counts)))
        yield "data: [DONE]\n\n"

    def _chunk(self, choices: list[dict[str, Any]], usage: dict[str, Any] | None) -> dict[str, Any]:
        head = {"id": ID, "object": "text_completion", "created": CREATED, "model": self.model}
        return {**head, "choices": choices, "usage": usage}

    def _generate(self, asked: dict[str, Any]) -> Iterator[str]:
        """Refusals of its own protocol come in the stream, after HTTP 200."""
        sampling, prompt = asked.get("sampling_params") or {}, asked["text"]
        max_tokens = sampling.get("max_new_tokens", 128)
        if reason := self._too_long(prompt, max_tokens):
            error = {"message": reason, "type": "invalid_request_error", "code": 400, "retryable": False}
            yield _event(compact({"error": error}))
        elif self._full():
            abort = {"type": "abort", "message": "The request queue is full.", "status_code": 503, "err_type": None}
            meta = {"id": ID, "finish_reason": abort, "weight_version": "default", "e2e_latency": 0.001}
            yield _event(compact({"text": "", "output_ids": [], "meta_info": meta | {"completion_tokens": 0}}))
        else:
            yield from self._events(prompt, max_tokens, sampling.get("ignore_eos", False))
        yield "data: [DONE]\n\n"

    def _events(self, prompt: str, max_tokens: int, ignore_eos: bool) -> Iterator[str]:
        text, verified, begun_s = "", 0, time.monotonic()
        with self.slot():
            for tokens, output_tokens, finish in self.steps(prompt, max_tokens, ignore_eos):
                text, verified = text + "".join(tokens), verified + 1
                reason = (
                    {"type": "length", "length": output_tokens}
                    if finish == "length"
                    else {"type": "stop", "matched": 2}
                )
                meta = {"id": ID, "finish_reason": reason if finish else None, "prompt_tokens": len(prompt.split())}
                meta |= {"weight_version": "default", "num_retractions": 0}
                meta |= {"completion_tokens": output_tokens, "cached_tokens": 0}
                if finish:
                    meta |= {"e2e_latency": time.monotonic() - begun_s, **self._drafted(output_tokens, verified)}
                shown, ids = ("".join(tokens), len(tokens)) if self.incremental else (text, output_tokens)
                yield _event(
                    compact(
                        {
                            "text": shown,
                            "output_ids": list(range(output_tokens - ids, output_tokens)),
                            "meta_info": meta,
                        }
                    )
                )

    def _drafted(self, output_tokens: int, verified: int) -> dict[str, Any]:
        if not self.drafted:
            return {}
        right, proposed = output_tokens - verified, self.drafted * verified
        counts = {"spec_accept_rate": right / proposed, "spec_accept_length": output_tokens / verified}
        return counts | {
            "spec_num_correct_drafts": right,
            "spec_num_proposed_drafts": proposed,
            "spec_verify_ct": verified,
        }


def _error(message: str, kind: str, code: int) -> dict[str, Any]:
    return {"object": "error", "message": message, "type": kind, "param": None, "code": code}


def _usage(prompt_tokens: int, output_tokens: int) -> dict[str, Any]:
    counts = {
        "prompt_tokens": prompt_tokens,
        "total_tokens": prompt_tokens + output_tokens,
        "completion_tokens": output_tokens,
    }
    return {**counts, "prompt_tokens_details": None, "reasoning_tokens": 0, "completion_tokens_details": None}


def _event(data: str) -> str:
    return f"data: {data}\n\n"


def main(arguments: list[str]) -> None:
    """`python -m standins.sglang_server --model-path M --port P …`, with the flags of the real one."""
    drafted = int(after(arguments, "--speculative-num-draft-tokens", "1")) - 1
    limit, context = (int(after(arguments, flag)) for flag in ("--max-running-requests", "--context-length"))
    settings = (after(arguments, "--served-model-name"), context, limit)
    assert after(arguments, "--model-path") and "--enable-metrics" in arguments
    stand_in = SGLang(
        *settings, drafted=drafted, loading_s=0.5, incremental="--incremental-streaming-output" in arguments
    )
    http_server(stand_in, int(after(arguments, "--port"))).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
