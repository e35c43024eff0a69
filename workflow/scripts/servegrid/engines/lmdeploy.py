"""LMDeploy with its two backends (read: the wheel of 0.18.0, lmdeploy/cli/serve.py, cli/utils.py, serve/openai, metrics/loggers.py)."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from servegrid.engines._checkpoints import checkpoint_files, missing_checkpoint, unequal_shares
from servegrid.engines.base import CACHE_FOLDER, LAUNCH, Container, Engine, Launch, Metrics, Option, ServerSpec, flags

READY_CHECKPOINTS = ("awq", "gptq", "fp8", "compressed-tensors", "mxfp4")


class LMDeploy(Engine):
    """LMDeploy's TurboMind backend. What it cannot load it hands over to the PyTorch backend, and says so only in its log.

    Memory: `--cache-max-entry-count` is the cache's share of what is free once the weights are loaded. `memory_fraction` f is
    handed on as that, which is not the same: a server takes its weights W and f of the rest, (1 - f) W more than f of the device.
    How large W is, is not known before. Servers that share a device would get unequal parts so, and are refused with a
    `memory_fraction`.

    Quantization of the weights is a property of the checkpoint, that of the cache an option (`quant-policy: int8`). The gauges
    of its metrics move once in 10 s. It takes an API key on its command line alone, so it is launched without one.
    """

    name = "lmdeploy"
    title = "LMDeploy (TurboMind)"
    backend: ClassVar[str] = "turbomind"
    runtimes = ("docker", "command", "url")
    images: ClassVar[Mapping[str, str]] = {"cuda": "openmmlab/lmdeploy:v0.18.0"}
    protocols = ("openai-completions", "openai-chat")
    devices = ("cuda",)
    quantizations: ClassVar[Mapping[str, str]] = {"none": "hf", **{native: native for native in READY_CHECKPOINTS}}
    reserved_flags: ClassVar[Mapping[str, Sequence[str]]] = {
        LAUNCH: ("server-name", "server-port", "backend"),
        "model.source": ("model-name",),
        "model.revision": ("revision",),
        "server.concurrency": ("max-batch-size",),
        "server.context_tokens": ("session-len",),
        "server.prefix_cache": ("enable-prefix-caching",),
        "server.memory_fraction": ("cache-max-entry-count",),
        "server.tensor_parallel": ("tp",),
        "grid.quantization": ("model-format",),
        "model.speculators": ("speculative-draft-model",),
        "grid.speculation": ("speculative-num-draft-tokens",),
    }
    has_memory_fraction = True
    has_tensor_parallel = True
    greedy_fields: ClassVar[Mapping[str, Any]] = {"top_k": 1}  # it samples always, from one candidate then
    metrics = Metrics(
        running="lmdeploy:num_requests_running",
        waiting="lmdeploy:num_requests_waiting",
        kv_cache="lmdeploy:gpu_cache_usage_perc",
        drafts="lmdeploy:spec_decode_num_drafts_total",
        drafted_tokens="lmdeploy:spec_decode_num_draft_tokens_total",
        accepted_tokens="lmdeploy:spec_decode_num_accepted_tokens_total",
    )

    def unsupported(self, spec: ServerSpec) -> str | None:
        """Reason for refusal: a share of the memory for one of several servers on a device, or quantization without its checkpoint."""
        reason = super().unsupported(spec)
        if reason or spec.runtime == "url":
            return reason
        return unequal_shares(spec, self.title) or missing_checkpoint(spec, READY_CHECKPOINTS)

    def files(self, spec: ServerSpec) -> dict[str, str]:
        """The checkpoint, and the draft model's or speculator's."""
        return checkpoint_files(spec, READY_CHECKPOINTS)

    def arguments(self, spec: ServerSpec, launch: Launch) -> list[str]:
        """Model and flags; `--generation-config lmdeploy` keeps the checkpoint's own sampling defaults from being used."""
        options: dict[str, Option] = {"backend": self.backend, "model-name": spec.model.name}
        options |= {"server-name": launch.host, "server-port": launch.port}
        options |= {"session-len": spec.context_tokens, "max-batch-size": spec.concurrency, "tp": spec.tensor_parallel}
        options |= {"generation-config": "lmdeploy"}
        options |= {"enable-prefix-caching": None} if spec.prefix_cache else {}
        if spec.quantization != "none":
            options["model-format"] = self.quantizations[spec.quantization]
        if spec.memory_fraction is not None:
            options["cache-max-entry-count"] = spec.memory_fraction
        options |= self._speculation(spec, launch) | dict(spec.options)
        return [str(launch.files["model"]), *flags(options)]

    def _speculation(self, spec: ServerSpec, launch: Launch) -> dict[str, Option]:
        return {}

    def container(self, spec: ServerSpec) -> Container:
        """Container settings as in its documentation."""
        program = ("lmdeploy", "serve", "api_server")
        return Container(port=23333, program=program, shm_size=None, ipc="host", cache=CACHE_FOLDER)

    def request_fields(self, spec: ServerSpec, max_tokens: int) -> Mapping[str, Any]:
        """Fields that it has: it ignores other engines' fields silently."""
        return {"min_tokens": None, "stream_options": {"include_usage": True}}


class LMDeployPyTorch(LMDeploy):
    """LMDeploy's PyTorch backend in the same server; only this one has speculative decoding."""

    name = "lmdeploy-pytorch"
    title = "LMDeploy (PyTorch)"
    backend = "pytorch"
    speculation_kinds = ("eagle3", "eagle", "mtp")
    quantizations: ClassVar[Mapping[str, str]] = {
        "none": "hf",
        **{native: native for native in READY_CHECKPOINTS if native != "gptq"},
    }

    def _speculation(self, spec: ServerSpec, launch: Launch) -> dict[str, Option]:
        """Flags of speculation. Which kind of `mtp` head a model has is an option: `speculative-algorithm: qwen3_5_mtp`."""
        kind, length = spec.speculation.kind, spec.speculation.length
        if kind == "none":
            return {}
        options: dict[str, Option] = {"speculative-algorithm": "deepseek_mtp" if kind == "mtp" else kind}
        options |= {"speculative-num-draft-tokens": length} if length else {}
        return options | ({"speculative-draft-model": str(launch.files["draft"])} if "draft" in launch.files else {})
