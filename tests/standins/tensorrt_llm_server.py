"""Stand-in for trtllm-serve, following TensorRT-LLM's repository, each file at one commit.

serve/openai_server.py at 00057725 (routes, refusals), serve/openai_protocol.py at 0076e939 (fields, none else allowed),
serve/postprocess_handlers.py at 01bf1923 (chunks), metrics/collector.py at 050f80de (metrics); the words on a prompt that is too long
are those of llmapi/llm.py (_check_arguments: the PyTorch backend looks at the prompt alone). Until the model is loaded,
connections are refused.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from standins.openai_like import CREATED, JSON, Broken, Refusal, StandIn, after, compact, gauge, http_server

VERSION = "1.2.1"
ID = "cmpl-0d8f2f6ec6c14b0fb1c8a4f7f0a3b9d1"
FIELDS = """
    model prompt best_of echo frequency_penalty logit_bias logprobs max_tokens n presence_penalty seed stop stream
    stream_options suffix temperature top_p user lora_request prompt_ignore_length use_beam_search top_k top_p_min
    min_p repetition_penalty length_penalty early_stopping stop_token_ids include_stop_str_in_output ignore_eos
    min_tokens skip_special_tokens spaces_between_special_tokens truncate_prompt_tokens return_context_logits
    detokenize thinking_token_budget add_special_tokens response_format disaggregated_params priority
    conversation_params
"""
STREAM_FIELDS = {"include_usage", "continuous_usage_stats"}


class TensorRTLLM(StandIn):
    """`breaks_after`: events after which the engine raises, which ends the connection without a word."""

    breaks_after: int | None = None
    max_num_tokens: int = 8192

    def page(self, path: str) -> tuple[int, str, str]:
        """Prometheus has a path of its own; /metrics is JSON."""
        if path == "/health":
            reason = "LLM is unavailable. Please check the server logs for more details."
            return (200, "", "text/plain") if self.ready else (503, reason, "text/plain")
        if path == "/version":
            return 200, compact({"version": VERSION}), JSON
        if path == "/v1/models":
            card = {"id": self.model, "object": "model", "created": CREATED, "owned_by": "tensorrt_llm"}
            return 200, compact({"object": "list", "data": [card]}), JSON
        if path == "/metrics":
            return 200, "[]", JSON
        return (
            (200, self._metrics(), "text/plain; version=1.0.0; charset=utf-8")
            if path == "/prometheus/metrics"
            else super().page(path)
        )

    def _metrics(self) -> str:
        """In several processes prometheus_client labels gauges with theirs."""
        labels = 'engine_type="undefined",model_name="undefined"'
        process_labels = f'{labels},pid="{os.getpid()}"'
        counters = {
            "prompt_tokens": ("Cumulative number of prompt (input) tokens processed.", self.prompt_tokens),
            "generation_tokens": ("Cumulative number of generation (output) tokens produced.", self.output_tokens),
        }
        if self.drafts:
            counters |= {
                "spec_decode_num_draft_tokens": (
                    "Total number of draft tokens in speculative decoding",
                    self.drafts,
                ),
                "spec_decode_num_accepted_tokens": (
                    "Total number of accepted tokens in speculative decoding",
                    self.accepted,
                ),
            }
        gauges = [
            gauge("trtllm_num_requests_running", "Number of active requests", process_labels, self.running),
            gauge("trtllm_num_requests_waiting", "Number of queued requests", process_labels, self.waiting),
            gauge("trtllm_kv_cache_utilization", "KV cache utilization", process_labels, self.running / 64),
        ]
        return "".join(
            [
                *gauges,
                *(
                    gauge(f"trtllm_{name}_total", text, labels, value, "counter")
                    for name, (text, value) in counters.items()
                ),
            ]
        )

    def stream(self, path: str, body: bytes) -> Iterator[str]:
        """Completions alone."""
        if path != "/v1/completions":
            return super().stream(path, body)
        asked = json.loads(body)
        _validate(asked)
        if (prompt_tokens := len(asked["prompt"].split())) > self.max_num_tokens:
            limit = f"should not exceed max_num_tokens ({self.max_num_tokens})"
            raise _refused(f"The sum of prompt length ({prompt_tokens:.1f}), query length (0) {limit}")
        return self._completions(asked)

    def _completions(self, asked: dict[str, Any]) -> Iterator[str]:
        options = asked.get("stream_options") or {}
        with_usage = "stream_options" in asked and options.get("include_usage", True)
        prompt_tokens, output_tokens = len(asked["prompt"].split()), 0
        with self.slot():
            steps = self.steps(asked["prompt"], asked["max_tokens"], asked.get("ignore_eos", False))
            for number, (tokens, output_tokens, finish) in enumerate(steps):
                if number == self.breaks_after:
                    raise Broken
                choice = {"index": 0, "text": "".join(tokens), "token_ids": None, "logprobs": None}
                choice |= {"finish_reason": finish, "stop_reason": None, "avg_decoded_tokens_per_iter": None}
                usage = (
                    _usage(prompt_tokens, output_tokens)
                    if with_usage and options.get("continuous_usage_stats")
                    else None
                )
                yield f"data: {compact(_chunk(asked['model'], [choice], usage))}\n\n"
        if with_usage:
            yield f"data: {compact(_chunk(asked['model'], [], _usage(prompt_tokens, output_tokens)))}\n\n"
        yield "data: [DONE]\n\n"


def _validate(asked: dict[str, Any]) -> None:
    """As pydantic with extra="forbid"; the words of RequestValidationError as text."""
    unknown = [("body", name) for name in asked if name not in FIELDS.split()]
    unknown += [
        ("body", "stream_options", name) for name in asked.get("stream_options") or {} if name not in STREAM_FIELDS
    ]
    errors = [{"type": "extra_forbidden", "loc": where, "msg": "Extra inputs are not permitted"} for where in unknown]
    if asked.get("stream_options") and not asked.get("stream"):
        message = "Value error, Stream options can only be defined when stream is true."
        errors = [{"type": "value_error", "loc": ("body",), "msg": message}]
    if errors:
        raise Refusal(400, compact({"error": str(errors)}))


def _refused(message: str) -> Refusal:
    error = {"object": "error", "message": message, "type": "BadRequestError", "param": None, "code": 400}
    return Refusal(400, compact(error))


def _chunk(model: str, choices: list[dict[str, Any]], usage: dict[str, Any] | None) -> dict[str, Any]:
    head = {"id": ID, "object": "text_completion", "created": CREATED, "model": model}
    return {**head, "choices": choices, "usage": usage}


def _usage(prompt_tokens: int, output_tokens: int) -> dict[str, Any]:
    counts = {
        "prompt_tokens": prompt_tokens,
        "total_tokens": prompt_tokens + output_tokens,
        "completion_tokens": output_tokens,
    }
    return {**counts, "prompt_tokens_details": {"cached_tokens": 0}}


def main(arguments: list[str]) -> None:
    """`python -m standins.tensorrt_llm_server MODEL --port P … --extra_llm_api_options FILE`."""
    settings = yaml.safe_load(Path(after(arguments, "--extra_llm_api_options")).read_text())
    assert settings["enable_iter_perf_stats"] and settings["return_perf_metrics"], "no metrics without them"
    drafted = (settings.get("speculative_config") or {}).get("max_draft_len", 0)
    limit, context = (int(after(arguments, flag)) for flag in ("--max_batch_size", "--max_seq_len"))
    assert int(after(arguments, "--max_num_tokens")) >= context
    stand_in = TensorRTLLM(Path(arguments[0]).name, context, limit, drafted=drafted)
    time.sleep(0.5)  # the model is loaded before it listens
    http_server(stand_in, int(after(arguments, "--port"))).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
