"""transformers' own server, `transformers serve`, from its locked environment or an installation of the user's."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from servegrid.engines.base import LAUNCH, Engine, Launch, ServerSpec, flags


class TransformersServe(Engine):
    """`transformers serve`, version 5.23. Requests are computed one at a time, unless the option continuous-batching is given.

    There is no limit of concurrency and of context to set, nor a share of the device's memory: with continuous batching
    cb-max-memory-percent (an option) is a share of what is free, for the cache alone. The server has no metrics and does not
    tell its version. Continuous batching shares blocks of equal prompt beginnings, which cannot be turned off from outside.
    """

    name = "transformers-serve"
    title = "transformers serve"
    runtimes = ("venv", "command", "url")
    above_limit = "no limit"
    devices = ("cpu", "cuda")
    metrics_path = None
    speculation_kinds = ("ngram",)
    quantizations = {"none": "", "int8": "bnb-8bit", "nf4": "bnb-4bit", "bnb-8bit": "bnb-8bit", "bnb-4bit": "bnb-4bit"}
    reserved_flags: ClassVar[Mapping[str, Sequence[str]]] = {
        LAUNCH: ("host", "port"),
        "grid.gpu": ("device",),
        "grid.quantization": ("quantization",),
    }
    has_prefix_cache = False

    def unsupported(self, spec: ServerSpec) -> str | None:
        """Reason for refusal: bitsandbytes without a GPU, or speculation, whose tokens the server does not count.

        Speculation works without continuous batching, but
        DirectStreamer.put (cli/serving/utils.py, 5.23) counts one token per step, however many a step accepts: of 24 tokens
        asked for and sent, usage says 14 to 19, and the finish reason is `stop`.
        """
        reason = super().unsupported(spec)
        if reason or spec.runtime == "url":
            return reason
        if spec.quantization != "none" and spec.kind != "cuda":
            return f"{self.title} quantizes with bitsandbytes, which is set up here for GPUs alone"
        if spec.speculation.kind != "none":
            return f"{self.title} counts steps instead of tokens when it speculates, so that no length can be checked"
        return None

    def keeps_prompts(self, spec: ServerSpec) -> bool:
        """Whether it shares blocks of equal beginnings, as it does with continuous batching."""
        return super().keeps_prompts(spec) or "continuous-batching" in spec.options

    def lock(self, device_kind: str) -> str:
        """Lock file with torch for this kind of device."""
        return "transformers-cpu" if device_kind == "cpu" else "transformers"

    def python_arguments(self) -> list[str]:
        """The program `transformers`, started by its module."""
        return ["-m", "transformers.cli.transformers"]

    def files(self, spec: ServerSpec) -> dict[str, str]:
        """The checkpoint, with its tokenizer."""
        return {"model": spec.model.checkpoint}

    def arguments(self, spec: ServerSpec, launch: Launch) -> list[str]:
        """Arguments `serve MODEL …`; a user's command is the program `transformers` without them."""
        line = ["serve", str(launch.files["model"]), "--host", launch.host, "--port", str(launch.port)]
        line += ["--device", "cpu", "--dtype", "float32"] if spec.kind == "cpu" else ["--device", "cuda:0"]
        if spec.quantization != "none":
            line += ["--quantization", self.quantizations[spec.quantization]]
        return line + flags(spec.options)

    def environment(self, spec: ServerSpec) -> dict[str, str]:
        """Variables that keep the server offline (the model is in a folder) and set its threads on a CPU."""
        threads = {"OMP_NUM_THREADS": str(spec.cpu_threads)} if spec.kind == "cpu" and spec.cpu_threads else {}
        return {"HF_HUB_OFFLINE": "1"} | threads | super().environment(spec)

    def request_fields(self, spec: ServerSpec, max_tokens: int) -> Mapping[str, Any]:
        """Fields it knows: it refuses unknown ones (422) and any name but its model's path (400), and always counts the tokens.

        Sampling is on here, and turned off by the server where the temperature is 0.
        """
        left_out = dict.fromkeys(("model", "ignore_eos", "min_tokens", "stream_options"))
        return left_out | {"generation_config": json.dumps({"max_new_tokens": max_tokens, "do_sample": True})}

    def exact_fields(self, spec: ServerSpec, max_tokens: int) -> Mapping[str, Any]:
        """The same with a least length."""
        generation = {"max_new_tokens": max_tokens, "min_new_tokens": max_tokens, "do_sample": True}
        return {"generation_config": json.dumps(generation)}
