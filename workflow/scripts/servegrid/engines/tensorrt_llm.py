"""TensorRT-LLM's own server, trtllm-serve (read: tensorrt_llm/commands/serve.py at 00209af1, serve/openai_*.py, metrics/collector.py)."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import yaml

from servegrid.engines._checkpoints import checkpoint_files, missing_checkpoint, unequal_shares
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

SETTINGS_FILE = "trtllm.yaml"
SETTINGS_PREFIX = "config."  # options with this prefix go into the settings file: config.kv_cache_config.dtype
MAX_NUM_TOKENS = 8192  # its default; it refuses longer prompts
READY_CHECKPOINTS = ("fp8", "nvfp4", "awq", "gptq")


class TensorRTLLM(Engine):
    """TensorRT-LLM's PyTorch backend. Most settings are in a YAML file; quantization is a property of the checkpoint.

    Memory: `free_gpu_memory_fraction` is the cache's share of what is free once the weights are loaded. `memory_fraction` f is
    handed on as that, which is not the same: a server takes its weights W and f of the rest, (1 - f) W more than f of the device.
    How large W is, is not known before. Servers that share a device would get unequal parts so, and are refused with a
    `memory_fraction`; without one, set `config.kv_cache_config.max_tokens` for equal caches.

    N-grams are matched up to 2 tokens and each request has a pool of its own, so that no request drafts from another's text.
    """

    name = "tensorrt-llm"
    title = "TensorRT-LLM"
    runtimes = ("docker", "command", "url")
    images: ClassVar[Mapping[str, str]] = {"cuda": "nvcr.io/nvidia/tensorrt-llm/release:1.2.1"}
    protocols = ("openai-completions", "openai-chat")
    metrics_path = "/prometheus/metrics"  # /metrics is JSON, and each reading of it takes the numbers away
    info_paths = ("/version",)
    devices = ("cuda",)
    speculation_kinds = ("ngram", "draft", "eagle3", "mtp")
    quantizations: ClassVar[Mapping[str, str]] = {"none": "", **{native: native for native in READY_CHECKPOINTS}}
    reserved_flags: ClassVar[Mapping[str, Sequence[str]]] = {
        LAUNCH: ("host", "port", "extra-llm-api-options"),
        "server.concurrency": ("max-batch-size",),
        "server.context_tokens": ("max-seq-len",),
        "server.prefix_cache": ("config.kv-cache-config.enable-block-reuse",),
        "server.memory_fraction": (
            "kv-cache-free-gpu-memory-fraction",
            "free-gpu-memory-fraction",
            "config.kv-cache-config.free-gpu-memory-fraction",
        ),
        "server.tensor_parallel": ("tp-size", "config.tensor-parallel-size"),
        "grid.speculation": (
            "config.speculative-config.decoding-type",
            "config.speculative-config.max-draft-len",
            "config.speculative-config.num-nextn-predict-layers",
        ),
        "model.speculators": ("config.speculative-config.speculative-model-dir",),
    }
    has_memory_fraction = True
    has_tensor_parallel = True
    metrics = Metrics(
        running="trtllm_num_requests_running",
        waiting="trtllm_num_requests_waiting",
        kv_cache="trtllm_kv_cache_utilization",
        drafted_tokens="trtllm_spec_decode_num_draft_tokens_total",
        accepted_tokens="trtllm_spec_decode_num_accepted_tokens_total",
    )

    def unsupported(self, spec: ServerSpec) -> str | None:
        """Reason for refusal: a share of the memory for one of several servers on a device, or quantization without its checkpoint."""
        reason = super().unsupported(spec)
        if reason or spec.runtime == "url":
            return reason
        if unequal := unequal_shares(spec, self.title):
            return f"{unequal} and set config.kv_cache_config.max_tokens among its options"
        return missing_checkpoint(spec, READY_CHECKPOINTS)

    def files(self, spec: ServerSpec) -> dict[str, str]:
        """The checkpoint, and the draft model's or speculator's."""
        return checkpoint_files(spec, READY_CHECKPOINTS)

    def arguments(self, spec: ServerSpec, launch: Launch) -> list[str]:
        """Model and flags; settings that have no flag are in the settings file."""
        line = [str(launch.files["model"]), "--host", launch.host, "--port", str(launch.port)]
        line += ["--max_batch_size", str(spec.concurrency), "--max_seq_len", str(spec.context_tokens)]
        line += ["--max_num_tokens", str(max(MAX_NUM_TOKENS, spec.context_tokens))]
        line += ["--tp_size", str(spec.tensor_parallel), "--extra_llm_api_options", str(launch.folder / SETTINGS_FILE)]
        return line + flags(
            {name: value for name, value in spec.options.items() if not name.startswith(SETTINGS_PREFIX)}
        )

    def settings_files(self, spec: ServerSpec, launch: Launch) -> dict[str, str]:
        """The settings file, in YAML."""
        cache: dict[str, Any] = {"enable_block_reuse": spec.prefix_cache}
        if spec.memory_fraction is not None:
            cache["free_gpu_memory_fraction"] = spec.memory_fraction
        settings: dict[str, Any] = {"kv_cache_config": cache, "enable_iter_perf_stats": True}
        settings |= {"return_perf_metrics": True, **_speculation_settings(spec, launch)}
        for name, value in spec.options.items():
            if name.startswith(SETTINGS_PREFIX):
                _set_nested(settings, name.removeprefix(SETTINGS_PREFIX).split("."), value)
        return {SETTINGS_FILE: yaml.safe_dump(settings, sort_keys=False)}

    def container(self, spec: ServerSpec) -> Container:
        """Container settings as in its documentation."""
        limits = {"memlock": -1, "stack": 67108864}
        return Container(program=("trtllm-serve",), shm_size=None, ipc="host", ulimits=limits, cache=CACHE_FOLDER)

    def reported(self, answers: Mapping[str, Any]) -> Reported:
        """Version from /version; it reports nothing else outside of its metrics."""
        return Reported(version=(answers.get("/version") or {}).get("version"))


DECODING_TYPES = {"ngram": "NGram", "draft": "DraftTarget", "eagle3": "Eagle3", "mtp": "MTP"}


def _speculation_settings(spec: ServerSpec, launch: Launch) -> dict[str, Any]:
    """Settings of speculation; n-grams and draft models turn the overlapping scheduler off."""
    kind, length = spec.speculation.kind, spec.speculation.length
    if kind == "none":
        return {}
    config: dict[str, Any] = {"decoding_type": DECODING_TYPES[kind]}
    if length:
        config |= {"num_nextn_predict_layers" if kind == "mtp" else "max_draft_len": length}
    if kind == "ngram":
        config |= {"max_matching_ngram_size": 2, "is_public_pool": False}
    if "draft" in launch.files:
        config["speculative_model_dir"] = str(launch.files["draft"])
    return {"speculative_config": config, "disable_overlap_scheduler": kind in ("ngram", "draft")}


def _set_nested(settings: dict[str, Any], path: list[str], value: Option) -> None:
    """Set a value in nested settings at `path`; text is parsed as YAML, so that "true" is true."""
    for name in path[:-1]:
        settings = settings.setdefault(name, {})
    settings[path[-1]] = yaml.safe_load(value) if isinstance(value, str) else value
