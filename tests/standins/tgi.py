"""Stand-in for TGI, following router/src/{server,lib,validation}.rs, router/src/infer and launcher/src/main.rs of v3.3.7 and v1.4.4.

`python tgi.py 3.3.7 --model-id FOLDER --port N …`. Words are tokens. The model wants to end after five of them, and does where
its tokenizer knows an end token; a prompt with `fail` fails in the engine after two.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from standins.standin import Answering, StandIn, compact, tokens
from standins.tgi_metrics import Recorder

END_AFTER = 5
WITH_VALUE = {
    "both": "model-id hostname port master-port shard-uds-path num-shard max-concurrent-requests max-total-tokens quantize dtype "
    "speculate cuda-memory-fraction max-batch-prefill-tokens max-batch-size max-input-length max-batch-total-tokens",
    "3.3.7": "max-input-tokens prometheus-port usage-stats kv-cache-dtype cuda-graphs",
    "1.4.4": "",
}
SWITCHES = ("json-output", "trust-remote-code")
STATUS = {"generation": 424, "overloaded": 429, "validation": 422, "incomplete_generation": 500}


def arguments(version: str, command_line: Sequence[str]) -> dict[str, str]:
    """The launcher's flags; it takes each but once, and ends with 2 for one it does not know."""
    parser = argparse.ArgumentParser(prog="text-generation-launcher", allow_abbrev=False)
    for name in f"{WITH_VALUE['both']} {WITH_VALUE[version]}".split():
        parser.add_argument(f"--{name}", action="append")
    for name in SWITCHES:
        parser.add_argument(f"--{name}", action="append_const", const="")
    given = {name: values for name, values in vars(parser.parse_args(command_line)).items() if values}
    for name, values in given.items():
        if len(values) > 1:
            parser.error(f"the argument '--{name.replace('_', '-')}' cannot be used multiple times")
    if "quantize" in given and "dtype" in given:
        parser.exit(1, "Error: NotEnoughCUDADevices: `dtype` and `quantize` are mutually exclusive\n")
    return {name: values[0] for name, values in given.items()}


class Refused(Exception):
    """An InferError: its words and error_type."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind

    @property
    def document(self) -> dict[str, str]:
        """An ErrorResponse."""
        return {"error": str(self), "error_type": self.kind}


class Tgi(StandIn):
    """Router and engine in one."""

    def __init__(self, version: str = "3.3.7", **given: str) -> None:
        super().__init__(given.get("hostname", "127.0.0.1"), int(given.get("port", "0")))
        self.version, self.model = version, given.get("model_id", "bigscience/bloom-560m")
        self.concurrent = int(given.get("max_concurrent_requests", "128"))
        self.total = int(given.get("max_total_tokens", "2048"))
        self.input = int(given.get("max_input_tokens", given.get("max_input_length", "1024")))
        self.speculate = int(given.get("speculate", "0"))
        self.healthy, self.metrics = True, Recorder(self.input, self.total)
        config = Path(self.model) / "tokenizer_config.json"
        self.ends = config.exists() and json.loads(config.read_text()).get("eos_token") is not None

    def get(self, at: Answering) -> None:
        if at.path == "/health":
            unhealthy = compact({"error": "unhealthy", "error_type": "healthcheck"})
            at.whole(200, "", "") if self.healthy else at.whole(503, unhealthy)
        elif at.path == "/info":
            at.whole(200, compact(self._info()))
        elif at.path == "/metrics":
            at.whole(200, self.metrics.text(self.running), "text/plain; charset=utf-8")
        else:
            at.whole(404, "", "")

    def _info(self) -> dict[str, Any]:
        model_info = {"model_id": self.model, "model_sha": None, "model_pipeline_tag": None}
        limits = {"max_concurrent_requests": self.concurrent, "max_best_of": 2, "max_stop_sequences": 4}
        if self.version == "1.4.4":
            model_info |= {"model_dtype": "torch.float16", "model_device_type": "cuda"}
            limits |= {"max_input_length": self.input, "max_batch_total_tokens": 32000, "waiting_served_ratio": 1.2}
        else:
            limits |= {"max_input_tokens": self.input, "max_client_batch_size": 4, "router": "text-generation-router"}
        return {**model_info, **limits, "max_total_tokens": self.total, "version": self.version, "docker_label": None}

    def post(self, at: Answering) -> None:
        body = json.loads(at.body)
        if at.path == "/generate_stream":
            if "inputs" not in body:
                problem = (
                    "Failed to deserialize the JSON body into the target type: missing field `inputs` at line 1 column "
                )
                at.whole(422, f"{problem}{len(at.body)}", "text/plain; charset=utf-8")
                return
            parameters = body.get("parameters") or {"do_sample": True}
            at.stream(self._native(body["inputs"], parameters), "text/event-stream", self._headers(body["inputs"]))
        elif at.path == "/v1/completions" and self.version != "1.4.4":
            at.stream(self._openai(body), "text/event-stream", self._headers(body["prompt"]))
        else:
            at.whole(404, "", "")

    def _headers(self, prompt: str) -> dict[str, str]:
        kind = {"x-compute-type": "gpu+optimized", "x-compute-characters": str(len(prompt))}
        return {"cache-control": "no-cache", **kind, "x-accel-buffering": "no"}

    def _native(self, prompt: str, parameters: dict[str, Any]) -> Iterator[str]:
        """generate_stream_internal: errors are events, and the HTTP status is 200 whatever happens."""
        try:
            for event in self._generate(prompt, parameters):
                yield f"data:{compact(event)}\n\n"
        except Refused as error:
            yield f"data:{compact(error.document)}\n\n"

    def _openai(self, body: dict[str, Any]) -> Iterator[str]:
        """completions: greedy at temperature 0 alone, usage with the last token, 422 in every error."""
        greedy = body.get("temperature") == 0
        parameters = {"max_new_tokens": body.get("max_tokens"), "do_sample": not greedy, "details": True}
        if not greedy and body.get("temperature") is not None:
            parameters["temperature"] = body["temperature"]
        head = {"id": "", "created": 1, "model": self.model, "system_fingerprint": f"{self.version}-native"}
        try:
            for event in self._generate(body["prompt"], parameters):
                details = event["details"] or {"finish_reason": ""}
                choice = {"index": 0, "text": event["token"]["text"], "logprobs": None}
                chunk = {"object": "text_completion", **head}
                chunk["choices"] = [{**choice, "finish_reason": details["finish_reason"]}]
                if event["details"]:
                    output_tokens, prompt_tokens = details["generated_tokens"], details["input_length"]
                    counts = {
                        "prompt_tokens": prompt_tokens,
                        "completion_tokens": output_tokens,
                        "total_tokens": prompt_tokens + output_tokens,
                    }
                    chunk["usage"] = counts
                yield f"data:{compact(chunk)}\n\n"
        except Refused as error:
            yield f"data:{compact({'error': {'message': str(error), 'http_status_code': 422}})}\n\n"
        yield "data:[DONE]\n\n"

    def _generate(self, prompt: str, parameters: dict[str, Any]) -> Iterator[dict[str, Any]]:
        self.metrics.count("tgi_request_count")
        with self.lock:
            admitted = self.running < self.concurrent
            self.running += admitted
        if not admitted:
            self.metrics.count("tgi_request_failure", "overloaded")
            raise Refused("overloaded", "Model is overloaded")
        try:
            length, new = self._validated(prompt, parameters)
            yield from self._events(prompt, length, new, bool(parameters.get("details")))
        finally:
            with self.lock:
                self.running -= 1

    def _validated(self, prompt: str, parameters: dict[str, Any]) -> tuple[int, int]:
        length, new = len(prompt.split()), parameters.get("max_new_tokens") or 100
        wrong = ""
        if (temperature := parameters.get("temperature")) is not None and temperature <= 0:
            wrong = "`temperature` must be strictly positive"
        elif (top_p := parameters.get("top_p")) is not None and not 0 < top_p < 1:
            wrong = "`top_p` must be > 0.0 and < 1.0"
        elif not prompt:
            wrong = "`inputs` cannot be empty"
        elif length + new > self.total:
            given = f"{length} `inputs` tokens and {new} `max_new_tokens`"
            wrong = f"`inputs` tokens + `max_new_tokens` must be <= {self.total}. Given: {given}"
        elif length > self.input:
            wrong = f"`inputs` must have less than {self.input} tokens. Given: {length}"
        if wrong:
            self.metrics.count("tgi_request_failure", "validation")
            raise Refused("validation", f"Input validation error: {wrong}")
        self.metrics.record("tgi_request_input_length", length)
        return length, new

    def _events(self, prompt: str, length: int, new: int, details: bool) -> Iterator[dict[str, Any]]:
        output_tokens = END_AFTER if self.ends and new > END_AFTER else new
        output_words = tokens(prompt, output_tokens)
        for number, word in enumerate(output_words, 1):
            if (number - 1) % (self.speculate + 1) == 0:  # the tokens of one step come together
                self.step()
                self.metrics.record("tgi_request_skipped_tokens", min(self.speculate, output_tokens - number))
            if "fail" in prompt.split() and number > 2:
                self.metrics.count("tgi_request_failure", "generation")
                raise Refused("generation", "Request failed during generation: Server error: CUDA out of memory.")
            event: dict[str, Any] = {"index": number, "token": _token(word, number), "generated_text": None}
            yield event | (
                {"details": None} if number < output_tokens else self._last(output_words, length, new, details)
            )

    def _last(self, output_words: list[str], length: int, new: int, details: bool) -> dict[str, Any]:
        self.metrics.record("tgi_request_generated_tokens", len(output_words))
        self.metrics.count("tgi_request_success")
        reason = "length" if len(output_words) == new else "eos_token"
        final_details: dict[str, Any] = {"finish_reason": reason, "generated_tokens": len(output_words), "seed": None}
        if self.version != "1.4.4":
            final_details["input_length"] = length
        return {"generated_text": "".join(output_words), "details": final_details if details else None}


def _token(word: str, number: int) -> dict[str, Any]:
    return {"id": 100 + number, "text": word, "logprob": -0.5, "special": False}


if __name__ == "__main__":
    Tgi(sys.argv[1], **arguments(sys.argv[1], sys.argv[2:])).serve()
