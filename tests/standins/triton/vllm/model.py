"""Triton's vLLM backend without vLLM: its inputs, outputs, ways to end and errors, with tokens of the genuine llama.cpp.

Follows src/model.py, src/utils/request.py and src/utils/metrics.py of triton-inference-server/vllm_backend at commit 8de0c148 (January
2026): the config it completes, the checks of a request and their words, text and token counts as differences, the last token's
response as the final one, `vllm:` counters. The engine is llama-server of the xllamacpp wheel, on the file f32.gguf beside the
checkpoint that model.json names. With SERVEGRID_ENDINGS=empty a stream ends by an empty final response instead.
"""

import http.client
import json
import os
import queue
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import triton_python_backend_utils as pb_utils
import xllamacpp

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL
SWITCHES = ("return_finish_reason", "return_cumulative_logprob", "return_logprobs")
COUNTS = ("return_num_input_tokens", "return_num_output_tokens")
INPUTS = {"text_input": "STRING", "stream": "BOOL", "sampling_parameters": "STRING", "exclude_input_in_output": "BOOL"}
INPUTS |= dict.fromkeys((*SWITCHES, *COUNTS), "BOOL")
OUTPUTS = {"text_output": "STRING", "finish_reason": "STRING", "cumulative_logprob": "FP32", "logprobs": "STRING"}
OUTPUTS |= {"num_input_tokens": "UINT32", "num_output_tokens": "UINT32"}
KNOWN = {"n", "temperature", "top_p", "top_k", "min_p", "seed", "stop", "ignore_eos", "max_tokens", "min_tokens"}


class Step(NamedTuple):
    """What the engine made at once: text, tokens, and why it stopped (None: it goes on)."""

    text: str
    tokens: int
    prompt_tokens: int | None = None
    finish: str | None = None


class Asked(NamedTuple):
    """A request's inputs."""

    prompt: str
    stream: bool
    echo: bool
    sampling: dict[str, Any]
    wanted: set[str]


class TritonPythonModel:
    """The model, as the Python backend calls it."""

    @classmethod
    def auto_complete_config(cls, config: Any) -> Any:
        for name, kind in INPUTS.items():
            config.add_input(
                {"name": name, "data_type": f"TYPE_{kind}", "dims": [1]}
                | ({"optional": True} if name != "text_input" else {})
            )
        for name, kind in OUTPUTS.items():
            dims = [1] if name == "num_input_tokens" else [-1]
            config.add_output({"name": name, "data_type": f"TYPE_{kind}", "dims": dims})
        config.set_model_transaction_policy({"decoupled": True})
        config.set_max_batch_size(0)
        return config

    def initialize(self, args: dict[str, str]) -> None:
        settings = json.loads((Path(pb_utils.get_model_dir()) / "model.json").read_text())
        parameters = json.loads(args["model_config"])["parameters"]
        self._empty_end = os.environ.get("SERVEGRID_ENDINGS") == "empty"
        self._engine = Engine(settings)
        self._todo: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=self._talk, daemon=True).start()
        report = parameters.get("REPORT_CUSTOM_METRICS", {}).get("string_value", "").lower() == "true"
        self._counters = _counters(args) if report and not settings.get("disable_log_stats") else None

    def execute(self, requests: list[Any]) -> None:
        for request in requests:
            threading.Thread(target=self._infer, args=(request,), daemon=True).start()

    def finalize(self) -> None:
        self._todo.put(None)
        self._engine.close()

    def _infer(self, request: Any) -> None:
        sender = request.get_response_sender()
        try:
            self._answer(_asked(request), sender)
        except Exception as error:
            failed = pb_utils.TritonError(f"Error generating stream: {error}")
            output = pb_utils.Tensor("text_output", np.asarray(["N/A"], dtype=np.object_))
            response = pb_utils.InferenceResponse(output_tensors=[output], error=failed)
            self._todo.put(partial(sender.send, response, FINAL))

    def _answer(self, asked: Asked, sender: Any) -> None:
        steps = self._counted(self._engine.generate(asked.prompt, asked.sampling))
        if not asked.stream:
            steps = iter([_whole(asked.prompt if asked.echo else "", list(steps))])
        for step in steps:
            last = step.finish is not None
            flags = FINAL if last and not self._empty_end else 0
            self._todo.put(partial(sender.send, _response(step, asked.wanted), flags))
            if last and self._empty_end:
                self._todo.put(partial(sender.send, flags=FINAL))

    def _talk(self) -> None:
        """To the server, from one thread, as the backend does too: this server breaks down when several do so at once."""
        while call := self._todo.get():
            call()

    def _counted(self, steps: Iterator[Step]) -> Iterator[Step]:
        for number, step in enumerate(steps):
            if self._counters:
                if number == 0:
                    self._todo.put(partial(self._counters[0].increment, step.prompt_tokens or 0))
                self._todo.put(partial(self._counters[1].increment, step.tokens))
            yield step


def _counters(args: dict[str, str]) -> list[Any]:
    labels = {"model": args["model_name"], "version": args["model_version"]}
    names = {"vllm:prompt_tokens_total": "Number of prefill tokens processed."}
    names |= {"vllm:generation_tokens_total": "Number of generation tokens processed."}
    kind = pb_utils.MetricFamily.COUNTER
    _counters.families = [pb_utils.MetricFamily(name, text, kind) for name, text in names.items()]  # kept alive
    return [family.Metric(labels=labels) for family in _counters.families]


def _asked(request: Any) -> Asked:
    def value(name: str) -> Any:
        tensor = pb_utils.get_input_tensor_by_name(request, name)
        return None if tensor is None else tensor.as_numpy()[0]

    stream, exclude = bool(value("stream")), value("exclude_input_in_output")
    if exclude is not None and not exclude and stream:
        raise ValueError("When streaming, `exclude_input_in_output` = False is not allowed.")
    sampling = json.loads(value("sampling_parameters") or request.parameters())
    if set(sampling) - KNOWN:
        raise AttributeError("'NoneType' object has no attribute 'lora_name'")  # the backend's own slip
    wanted_outputs = {name for name in (*SWITCHES, *COUNTS) if value(name)}
    return Asked(value("text_input").decode(), stream, not exclude, sampling, wanted_outputs)


def _response(step: Step, wanted_outputs: set[str]) -> Any:
    outputs = [pb_utils.Tensor("text_output", np.asarray([step.text.encode()], dtype=np.object_))]
    if "return_finish_reason" in wanted_outputs:
        outputs.append(pb_utils.Tensor("finish_reason", np.asarray([str(step.finish)], dtype=np.object_)))
    if "return_num_input_tokens" in wanted_outputs:
        outputs.append(pb_utils.Tensor("num_input_tokens", np.asarray(step.prompt_tokens, dtype=np.uint32)))
    if "return_num_output_tokens" in wanted_outputs:
        outputs.append(pb_utils.Tensor("num_output_tokens", np.asarray([step.tokens], dtype=np.uint32)))
    return pb_utils.InferenceResponse(output_tensors=outputs)


def _whole(prompt: str, steps: list[Step]) -> Step:
    text = prompt + "".join(step.text for step in steps)
    return Step(text, sum(step.tokens for step in steps), steps[-1].prompt_tokens, steps[-1].finish)


class Engine:
    """llama-server in this process, asked over its own loopback port."""

    def __init__(self, settings: dict[str, Any]) -> None:
        params = xllamacpp.CommonParams()
        params.model.path = str(Path(settings["model"]).parent / "f32.gguf")
        params.n_parallel, self._longest = settings["max_num_seqs"], settings["max_model_len"]
        params.n_ctx = params.n_parallel * self._longest
        params.warmup, params.cpuparams.n_threads, params.hostnames, params.port = False, 1, ["127.0.0.1"], 0
        self._server = xllamacpp.Server(params)
        self._address = self._server.listening_address.removeprefix("http://")

    def close(self) -> None:
        self._server = None

    def generate(self, prompt: str, sampling: dict[str, Any]) -> Iterator[Step]:
        """Tokens as they come; vLLM cuts an answer at its longest context, and refuses a prompt that fills it."""
        body = {"prompt": prompt, "n_predict": sampling.get("max_tokens", 16), "stream": True, "return_tokens": True}
        body |= {"temperature": sampling.get("temperature", 1.0), "ignore_eos": sampling.get("ignore_eos", False)}
        body |= {"cache_prompt": False, "timings_per_token": True}
        connection = http.client.HTTPConnection(self._address)
        connection.request("POST", "/completion", json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        if answer.status != 200:
            raise ValueError(json.loads(answer.read())["error"]["message"])
        output_tokens = 0
        for line in answer:
            if not line.startswith(b"data: "):
                continue
            event = json.loads(line[6:])
            new = len(event["tokens"])
            output_tokens += new
            prompt_tokens = event.get("tokens_evaluated")
            if not event["stop"]:
                if output_tokens == body["n_predict"]:
                    yield Step(event["content"], new, prompt_tokens, "length")
                    break
                yield Step(event["content"], new, prompt_tokens)
            else:
                yield Step("", 0, prompt_tokens, "stop" if event["stop_type"] != "limit" else "length")
        connection.close()
