"""SGLang (read: the wheel of 0.5.23): flags of sglang/srt/arg_groups/fields, what they do in arg_groups/speculative_hook.py."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from servegrid.engines._checkpoints import checkpoint_files, missing_checkpoint
from servegrid.engines.base import (
    CACHE_FOLDER,
    LAUNCH,
    Container,
    Engine,
    Launch,
    Metrics,
    Option,
    Reported,
    ServerSpec,
    flags,
)
from servegrid.engines.served_types import ServedTypes, TypeSources, from_info

READY_CHECKPOINTS = (
    "awq",
    "gptq",
    "awq_marlin",
    "gptq_marlin",
    "w8a8_int8",
    "w8a8_fp8",
    "modelopt_fp8",
    "modelopt_fp4",
)
"""Quantizations that need a checkpoint made beforehand."""
READ_FROM_CHECKPOINT = ("none", "awq", "gptq")
"""Quantizations without a flag: SGLang reads them from the checkpoint and takes the fast (Marlin) kernel, where `--quantization awq`
would force the slow one, on the checkpoint and on a draft model that is not quantized."""


class SGLang(Engine):
    """SGLang. Health is asked at /ready, since each /health generates a token.

    Memory: `--mem-fraction-static` is the share of the memory that was free before the model was loaded, for weights and cache.
    Activations and CUDA graphs come on top, from the rest. Of servers that share a device, the n-th (from 0) finds (1 - n f) of
    it free, and is given f / (1 - n f) of that. No share of 1 leaves room for activations, and such a server is refused.

    Speculation: SGLang counts the last sure token among the draft tokens, so N drafted ones are `--speculative-num-draft-tokens`
    N + 1. Its n-grams are a tree by default, and common to all requests; here it is a chain, as other engines draft. N-grams
    alone would set 48 requests at once and 12 draft tokens, so both are always given.
    """

    name = "sglang"
    title = "SGLang"
    runtimes = ("docker", "command", "url")
    images: ClassVar[Mapping[str, str]] = {"cuda": "lmsysorg/sglang:v0.5.23"}
    protocols = ("openai-completions", "sglang-generate", "openai-chat")
    health_path = "/ready"
    info_paths = ("/server_info", "/model_info")
    devices = ("cuda",)
    speculation_kinds = ("ngram", "draft", "eagle", "eagle3", "mtp")
    quantizations: ClassVar[Mapping[str, str]] = {
        "none": "",
        **{native: native for native in ("fp8", "mxfp8", *READY_CHECKPOINTS)},
    }
    reserved_flags: ClassVar[Mapping[str, Sequence[str]]] = {
        LAUNCH: ("host", "port"),
        "model.source": ("model-path", "model", "served-model-name"),
        "model.revision": ("revision",),
        "server.concurrency": ("max-running-requests",),
        "server.context_tokens": ("context-length",),
        "server.prefix_cache": ("disable-radix-cache",),
        "server.memory_fraction": ("mem-fraction-static",),
        "server.tensor_parallel": ("tp-size", "tensor-parallel-size", "tp"),
        "grid.quantization": ("quantization",),
        "model.speculators": ("speculative-draft-model-path", "speculative-draft-model"),
        "grid.speculation": ("speculative-algorithm", "speculative-num-steps", "speculative-num-draft-tokens"),
        "engines.<name>.api_key_env": ("api-key",),
    }
    # of model_runner.py and memory_pool.py; newer versions leave the first one out
    type_sources: ClassVar[TypeSources] = TypeSources(
        r"Load weight end.*\bdtype=(torch\.\w+)", r"KV (?:cache|Cache is allocated\.) dtype: (torch\.\w+)"
    )
    has_memory_fraction = True
    has_tensor_parallel = True
    metrics = Metrics(
        running="sglang:num_running_reqs",
        waiting="sglang:num_queue_reqs",
        kv_cache="sglang:token_usage",
        acceptance_rate="sglang:spec_accept_rate",  # no counters of tokens
        acceptance_length="sglang:spec_accept_length",
        cached_tokens=(("sglang:cached_tokens_total", "sglang:prompt_tokens_total"),),
    )

    def unsupported(self, spec: ServerSpec) -> str | None:
        """Reason for refusal: shares of the memory that leave no room for activations, or quantization without its checkpoint."""
        reason = super().unsupported(spec)
        if reason or spec.runtime == "url":
            return reason
        if spec.memory_fraction is not None and spec.memory_fraction * spec.sharing >= 1:
            return (
                f"{spec.sharing} x {spec.memory_fraction:g} of the memory leaves SGLang none for activations; take less"
            )
        return missing_checkpoint(spec, READY_CHECKPOINTS)

    def files(self, spec: ServerSpec) -> dict[str, str]:
        """The checkpoint, and the draft model's or speculator's."""
        return checkpoint_files(spec, READY_CHECKPOINTS)

    def arguments(self, spec: ServerSpec, launch: Launch) -> list[str]:
        """Flags of the server. Requests above the concurrency wait in an unbounded queue (`max-queued-requests` bounds it)."""
        options: dict[str, Option] = {"model-path": str(launch.files["model"]), "served-model-name": spec.model.name}
        options |= {"host": launch.host, "port": launch.port}
        options |= {"context-length": spec.context_tokens, "max-running-requests": spec.concurrency}
        options |= {"tp-size": spec.tensor_parallel, "enable-metrics": None}
        options |= {} if spec.prefix_cache else {"disable-radix-cache": None}
        if spec.quantization not in READ_FROM_CHECKPOINT:
            options["quantization"] = self.quantizations[spec.quantization]
        if spec.memory_fraction is not None:
            options["mem-fraction-static"] = _static_share(spec.memory_fraction, launch.copy)
        return flags(options | _speculation_flags(spec, launch) | dict(spec.options))

    def container(self, spec: ServerSpec) -> Container:
        """Container settings as in its documentation."""
        program = ("python3", "-m", "sglang.launch_server")
        return Container(port=30000, program=program, shm_size="32g", ipc="host", cache=CACHE_FOLDER)

    def reported(self, answers: Mapping[str, Any]) -> Reported:
        """Version, resolved arguments and cache size from /server_info."""
        info = answers.get("/server_info") or {}
        return Reported(
            version=info.get("version"),
            context_tokens=info.get("context_length"),
            concurrency=info.get("max_running_requests"),
            kv_cache_tokens=info.get("max_total_num_tokens"),
        )

    def answered_types(self, answers: Mapping[str, Any]) -> ServedTypes:
        """Arguments of /server_info, where they are no `auto`."""
        return from_info(answers.get("/server_info"), "dtype", "kv_cache_dtype")


def _static_share(fraction: float, copy: int) -> float:
    """Share of the memory free before this copy starts, when each copy before it has taken `fraction` of the total."""
    return round(fraction / (1 - copy * fraction), 4)


def _speculation_flags(spec: ServerSpec, launch: Launch) -> dict[str, Option]:
    length, kind = spec.speculation.length, spec.speculation.kind
    if kind == "none":
        return {}
    options: dict[str, Option] = {"speculative-algorithm": SPECULATION_ALGORITHMS[kind]}
    if length:
        options |= {"speculative-num-steps": length, "speculative-num-draft-tokens": length + 1}
    if kind == "ngram":
        return options | {"speculative-ngram-max-bfs-breadth": 1}
    options |= {"speculative-eagle-topk": 1} if length else {}
    return options | ({"speculative-draft-model-path": str(launch.files["draft"])} if "draft" in launch.files else {})


SPECULATION_ALGORITHMS = {"ngram": "NGRAM", "draft": "STANDALONE", "eagle": "EAGLE", "eagle3": "EAGLE3", "mtp": "NEXTN"}
