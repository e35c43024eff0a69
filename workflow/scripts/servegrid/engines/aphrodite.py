"""Aphrodite: a fork of vLLM with more quantizations and samplers (read: commit b42eeec of April 2026)."""

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from servegrid.engines._checkpoints import checkpoint_files, missing_checkpoint
from servegrid.engines.base import CACHE_FOLDER, Container, Engine, Launch, Metrics, Option, Reported, ServerSpec, flags
from servegrid.engines.speculation import Speculation
from servegrid.engines.vllm import Vllm

SPECULATION_METHODS = {"mlp": "mlp_speculator", "draft": "draft_model"}
READY_CHECKPOINTS = ("awq", "gptq", "exl3", "compressed-tensors")


class Aphrodite(Engine):
    """Aphrodite with vLLM's flags. `memory_fraction` is passed on as it is: a share of the device's total, weights and cache together."""

    name = "aphrodite"
    title = "Aphrodite"
    runtimes = ("docker", "command", "url")
    images: ClassVar[Mapping[str, str]] = {"cuda": "alpindale/aphrodite-openai:latest"}
    protocols = ("openai-completions", "openai-chat")
    info_paths = ("/version", "/v1/models")
    devices = ("cuda",)
    speculation_kinds = ("ngram", "draft", "suffix", "eagle", "eagle3", "medusa", "mlp", "mtp")
    quantizations: ClassVar[Mapping[str, str]] = {
        "none": "",
        "int8-weight": "int8_per_channel_weight_only",
        "nf4": "bitsandbytes",
        **{native: native for native in ("bitsandbytes", "fp8", "int8_per_channel_weight_only", *READY_CHECKPOINTS)},
    }
    reserved_flags = Vllm.reserved_flags
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
        cached_tokens=(("aphrodite:prefix_cache_hits_total", "aphrodite:prefix_cache_queries_total"),),
    )

    def unsupported(self, spec: ServerSpec) -> str | None:
        """Reason for refusal: a ready checkpoint that is not named, or a quantization that leaves a dense model as it is."""
        if spec.quantization == "int8-weight" and spec.runtime != "url":
            # model_executor/layers/quantization/online/base.py at b42eeec: "linear layers remain in full precision"
            return "Aphrodite makes 8-bit integers of experts alone (int8_per_channel_weight_only); a dense model stays as it is"
        reason = super().unsupported(spec)
        if reason or spec.runtime == "url":
            return reason
        return missing_checkpoint(spec, READY_CHECKPOINTS)

    def files(self, spec: ServerSpec) -> dict[str, str]:
        """The checkpoint, or the quantized one; and weights that speculation needs."""
        return checkpoint_files(spec, READY_CHECKPOINTS)

    def arguments(self, spec: ServerSpec, launch: Launch) -> list[str]:
        """Model and flags. The image's entry point is `aphrodite run`; a user's command has to include that itself."""
        options: dict[str, Option] = {"host": launch.host, "port": launch.port, "served-model-name": spec.model.name}
        options |= self._model_options(spec)
        options["enable-prefix-caching" if spec.prefix_cache else "no-enable-prefix-caching"] = None
        if spec.speculation.kind != "none":
            options["speculative-config"] = json.dumps(
                self._speculative_config(spec.speculation, launch), sort_keys=True
            )
        return [str(launch.files["model"]), *flags(options | dict(spec.options))]

    def _model_options(self, spec: ServerSpec) -> dict[str, Option]:
        options: dict[str, Option] = {"max-model-len": spec.context_tokens, "max-num-seqs": spec.concurrency}
        options["tensor-parallel-size"] = spec.tensor_parallel
        if spec.quantization != "none":
            options["quantization"] = self.quantizations[spec.quantization]
        if spec.memory_fraction is not None:
            options["gpu-memory-utilization"] = spec.memory_fraction
        return options

    def _speculative_config(self, speculation: Speculation, launch: Launch) -> dict[str, Any]:
        config: dict[str, Any] = {"method": SPECULATION_METHODS.get(speculation.kind, speculation.kind)}
        if speculation.length:
            config["num_speculative_tokens"] = speculation.length
        if "draft" in launch.files:
            config["model"] = str(launch.files["draft"])
        if speculation.kind == "ngram":  # matches the last two tokens, as the other engines do
            config |= {"prompt_lookup_max": 2, "prompt_lookup_min": 1}
        return config

    def container(self, spec: ServerSpec) -> Container:
        """Container settings; the host's shared memory is for the processes of tensor parallelism."""
        return Container(port=2242, shm_size=None, ipc="host", cache=CACHE_FOLDER)

    def reported(self, answers: Mapping[str, Any]) -> Reported:
        """Version from /version, context from /v1/models."""
        models = (answers.get("/v1/models") or {}).get("data") or [{}]
        version = (answers.get("/version") or {}).get("version")
        return Reported(version=version, context_tokens=models[0].get("max_model_len"))
