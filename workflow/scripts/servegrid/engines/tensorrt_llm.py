"""TensorRT-LLM's own server, trtllm-serve (read: tensorrt_llm/commands/serve.py at 00209af1, serve/openai_*.py, metrics/collector.py)."""

from collections.abc import Mapping
from typing import Any, ClassVar

import yaml

from servegrid.engines._checkpoints import ready_checkpoint, unequal_shares, without_checkpoint
from servegrid.engines.base import CACHE, Container, Engine, Launch, Metrics, Option, Reported, ServerSpec, flags

SETTINGS = "trtllm.yaml"
OF_SETTINGS = "config."  # options with this prefix go into the file of settings: config.kv_cache_config.dtype
MAX_NUM_TOKENS = 8192  # its default; longer prompts it refuses
READY = ("fp8", "nvfp4", "awq", "gptq")


class TensorRTLLM(Engine):
    """Its PyTorch backend. Most settings stand in a YAML file; quantization is a property of the checkpoint.

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
    facts_paths = ("/version",)
    devices = ("cuda",)
    speculation_kinds = ("ngram", "draft", "eagle3", "mtp")
    quantizations: ClassVar[Mapping[str, str]] = {"none": "", **{own: own for own in READY}}
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
        """A share of the memory for one of several servers on a device; quantization without its checkpoint."""
        reason = super().unsupported(spec)
        if reason or spec.runtime == "url":
            return reason
        if unequal := unequal_shares(spec, self.title):
            return f"{unequal} and set config.kv_cache_config.max_tokens among its options"
        return without_checkpoint(spec, READY)

    def files(self, spec: ServerSpec) -> dict[str, str]:
        """The checkpoint, and that of what drafts."""
        return ready_checkpoint(spec, READY)

    def arguments(self, spec: ServerSpec, launch: Launch) -> list[str]:
        """What is not a flag stands in the file of settings."""
        line = [str(launch.files["model"]), "--host", launch.host, "--port", str(launch.port)]
        line += ["--max_batch_size", str(spec.concurrency), "--max_seq_len", str(spec.context_tokens)]
        line += ["--max_num_tokens", str(max(MAX_NUM_TOKENS, spec.context_tokens))]
        line += ["--tp_size", str(spec.tensor_parallel), "--extra_llm_api_options", str(launch.folder / SETTINGS)]
        return line + flags({name: value for name, value in spec.options.items() if not name.startswith(OF_SETTINGS)})

    def written(self, spec: ServerSpec, launch: Launch) -> dict[str, str]:
        """The file of settings."""
        cache: dict[str, Any] = {"enable_block_reuse": spec.prefix_cache}
        if spec.memory_fraction is not None:
            cache["free_gpu_memory_fraction"] = spec.memory_fraction
        settings: dict[str, Any] = {"kv_cache_config": cache, "enable_iter_perf_stats": True}
        settings |= {"return_perf_metrics": True, **_speculation(spec, launch)}
        for name, value in spec.options.items():
            if name.startswith(OF_SETTINGS):
                _set(settings, name.removeprefix(OF_SETTINGS).split("."), value)
        return {SETTINGS: yaml.safe_dump(settings, sort_keys=False)}

    def container(self, spec: ServerSpec) -> Container:
        """As its documentation has it."""
        limits = {"memlock": -1, "stack": 67108864}
        return Container(program=("trtllm-serve",), shm_size=None, ipc="host", ulimits=limits, cache=CACHE)

    def reported(self, answers: Mapping[str, Any]) -> Reported:
        """Its version is all it says outside of its metrics."""
        return Reported(version=(answers.get("/version") or {}).get("version"))


DECODING = {"ngram": "NGram", "draft": "DraftTarget", "eagle3": "Eagle3", "mtp": "MTP"}


def _speculation(spec: ServerSpec, launch: Launch) -> dict[str, Any]:
    """`speculative_config`; n-grams and draft models do not go with the overlapping scheduler."""
    kind, length = spec.speculation.kind, spec.speculation.length
    if kind == "none":
        return {}
    own: dict[str, Any] = {"decoding_type": DECODING[kind]}
    if length:
        own |= {"num_nextn_predict_layers" if kind == "mtp" else "max_draft_len": length}
    if kind == "ngram":
        own |= {"max_matching_ngram_size": 2, "is_public_pool": False}
    if "draft" in launch.files:
        own["speculative_model_dir"] = str(launch.files["draft"])
    return {"speculative_config": own, "disable_overlap_scheduler": kind in ("ngram", "draft")}


def _set(settings: dict[str, Any], path: list[str], value: Option) -> None:
    """Put a value where its path says; text is read as YAML, so that "true" is true."""
    for name in path[:-1]:
        settings = settings.setdefault(name, {})
    settings[path[-1]] = yaml.safe_load(value) if isinstance(value, str) else value
