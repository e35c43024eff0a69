"""Aphrodite: a fork of vLLM with more quantizations and samplers (read: commit b42eeec of April 2026)."""

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from servegrid.engines._checkpoints import ready_checkpoint, without_checkpoint
from servegrid.engines.base import CACHE, Container, Engine, Launch, Metrics, Option, Reported, ServerSpec, flags
from servegrid.engines.speculation import Speculation

METHODS = {"mlp": "mlp_speculator", "draft": "draft_model"}
READY = ("awq", "gptq", "exl3", "compressed-tensors")


class Aphrodite(Engine):
    """vLLM's flags. Of the memory it takes a share of the device's total, weights and cache together: the axis as it is."""

    name = "aphrodite"
    title = "Aphrodite"
    runtimes = ("docker", "command", "url")
    images: ClassVar[Mapping[str, str]] = {"cuda": "alpindale/aphrodite-openai:latest"}
    protocols = ("openai-completions", "openai-chat")
    facts_paths = ("/version", "/v1/models")
    devices = ("cuda",)
    speculation_kinds = ("ngram", "draft", "suffix", "eagle", "eagle3", "medusa", "mlp", "mtp")
    quantizations: ClassVar[Mapping[str, str]] = {
        "none": "",
        "int8-weight": "int8_per_channel_weight_only",
        "nf4": "bitsandbytes",
        **{own: own for own in ("bitsandbytes", "fp8", "int8_per_channel_weight_only", *READY)},
    }
    has_memory_fraction = True
    has_tensor_parallel = True
    key_variable = "APHRODITE_API_KEY"
    metrics = Metrics(
        running="aphrodite:num_requests_running",
        waiting="aphrodite:num_requests_waiting",
        kv_cache="aphrodite:kv_cache_usage_perc",
        drafts="aphrodite:spec_decode_num_drafts_total",
        drafted_tokens="aphrodite:spec_decode_num_draft_tokens_total",
        accepted_tokens="aphrodite:spec_decode_num_accepted_tokens_total",
    )

    def unsupported(self, spec: ServerSpec) -> str | None:
        """Ready checkpoints must be named; what would leave a dense model as it is, is refused."""
        if spec.quantization == "int8-weight" and spec.runtime != "url":
            # model_executor/layers/quantization/online/base.py at b42eeec: "linear layers remain in full precision"
            return "Aphrodite makes 8-bit integers of experts alone (int8_per_channel_weight_only); a dense model stays as it is"
        reason = super().unsupported(spec)
        if reason or spec.runtime == "url":
            return reason
        return without_checkpoint(spec, READY)

    def files(self, spec: ServerSpec) -> dict[str, str]:
        """The checkpoint, or the quantized one; and what speculation needs beside it."""
        return ready_checkpoint(spec, READY)

    def arguments(self, spec: ServerSpec, launch: Launch) -> list[str]:
        """The image's entry point is `aphrodite run`; a command of the user's has to say that itself."""
        own = self._server(spec, launch) | self._model(spec)
        own["enable-prefix-caching" if spec.prefix_cache else "no-enable-prefix-caching"] = None
        if spec.speculation.kind != "none":
            own["speculative-config"] = json.dumps(self._speculative(spec.speculation, launch), sort_keys=True)
        return [str(launch.files["model"]), *flags(own | dict(spec.options))]

    def _server(self, spec: ServerSpec, launch: Launch) -> dict[str, Option]:
        return {"host": launch.host, "port": launch.port, "served-model-name": spec.model.name}

    def _model(self, spec: ServerSpec) -> dict[str, Option]:
        own: dict[str, Option] = {"max-model-len": spec.context_tokens, "max-num-seqs": spec.concurrency}
        own["tensor-parallel-size"] = spec.tensor_parallel
        if spec.quantization != "none":
            own["quantization"] = self.quantizations[spec.quantization]
        if spec.memory_fraction is not None:
            own["gpu-memory-utilization"] = spec.memory_fraction
        return own

    def _speculative(self, asked: Speculation, launch: Launch) -> dict[str, Any]:
        config: dict[str, Any] = {"method": METHODS.get(asked.kind, asked.kind)}
        if asked.length:
            config["num_speculative_tokens"] = asked.length
        if "draft" in launch.files:
            config["model"] = str(launch.files["draft"])
        if asked.kind == "ngram":  # the last two tokens are looked for, as by the other engines
            config |= {"prompt_lookup_max": 2, "prompt_lookup_min": 1}
        return config

    def container(self, spec: ServerSpec) -> Container:
        """Shared memory is for the processes of tensor parallelism."""
        return Container(port=2242, shm_size=None, ipc="host", cache=CACHE)

    def reported(self, answers: Mapping[str, Any]) -> Reported:
        """From /version and /v1/models."""
        models = (answers.get("/v1/models") or {}).get("data") or [{}]
        version = (answers.get("/version") or {}).get("version")
        return Reported(version=version, context_tokens=models[0].get("max_model_len"))
