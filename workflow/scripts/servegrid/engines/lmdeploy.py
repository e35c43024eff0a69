"""LMDeploy with its two backends (read: the wheel of 0.18.0, lmdeploy/cli/serve.py, cli/utils.py, serve/openai, metrics/loggers.py)."""

from collections.abc import Mapping
from typing import Any, ClassVar

from servegrid.engines._checkpoints import ready_checkpoint, unequal_shares, without_checkpoint
from servegrid.engines.base import CACHE, Container, Engine, Launch, Metrics, Option, ServerSpec, flags

READY = ("awq", "gptq", "fp8", "compressed-tensors", "mxfp4")


class LMDeploy(Engine):
    """Its TurboMind backend. What it cannot load it hands over to the PyTorch backend, and says so in its log alone.

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
    quantizations: ClassVar[Mapping[str, str]] = {"none": "hf", **{own: own for own in READY}}
    has_memory_fraction = True
    has_tensor_parallel = True
    metrics = Metrics(
        running="lmdeploy:num_requests_running",
        waiting="lmdeploy:num_requests_waiting",
        kv_cache="lmdeploy:gpu_cache_usage_perc",
        drafts="lmdeploy:spec_decode_num_drafts_total",
        drafted_tokens="lmdeploy:spec_decode_num_draft_tokens_total",
        accepted_tokens="lmdeploy:spec_decode_num_accepted_tokens_total",
    )

    def unsupported(self, spec: ServerSpec) -> str | None:
        """A share of the memory for one of several servers on a device; quantization without its checkpoint."""
        reason = super().unsupported(spec)
        if reason or spec.runtime == "url":
            return reason
        return unequal_shares(spec, self.title) or without_checkpoint(spec, READY)

    def files(self, spec: ServerSpec) -> dict[str, str]:
        """The checkpoint, and that of what drafts."""
        return ready_checkpoint(spec, READY)

    def arguments(self, spec: ServerSpec, launch: Launch) -> list[str]:
        """Without `--generation-config lmdeploy` the checkpoint's own sampling settings would stand in for what is not asked."""
        own: dict[str, Option] = {"backend": self.backend, "model-name": spec.model.name}
        own |= {"server-name": launch.host, "server-port": launch.port}
        own |= {"session-len": spec.context_tokens, "max-batch-size": spec.concurrency, "tp": spec.tensor_parallel}
        own |= {"generation-config": "lmdeploy"}
        own |= {"enable-prefix-caching": None} if spec.prefix_cache else {}
        if spec.quantization != "none":
            own["model-format"] = self.quantizations[spec.quantization]
        if spec.memory_fraction is not None:
            own["cache-max-entry-count"] = spec.memory_fraction
        own |= self._speculation(spec, launch) | dict(spec.options)
        return [str(launch.files["model"]), *flags(own)]

    def _speculation(self, spec: ServerSpec, launch: Launch) -> dict[str, Option]:
        return {}

    def container(self, spec: ServerSpec) -> Container:
        """As its documentation has it."""
        program = ("lmdeploy", "serve", "api_server")
        return Container(port=23333, program=program, shm_size=None, ipc="host", cache=CACHE)

    def request_fields(self, spec: ServerSpec, max_tokens: int) -> Mapping[str, Any]:
        """It samples always; with one candidate that is greedy. Other engines' fields it would pass over in silence."""
        return {"min_tokens": None, "stream_options": {"include_usage": True}, "top_k": 1}


class LMDeployPyTorch(LMDeploy):
    """The same server with its PyTorch backend, the one that speculates."""

    name = "lmdeploy-pytorch"
    title = "LMDeploy (PyTorch)"
    backend = "pytorch"
    speculation_kinds = ("eagle3", "eagle", "mtp")
    quantizations: ClassVar[Mapping[str, str]] = {"none": "hf", **{own: own for own in READY if own != "gptq"}}

    def _speculation(self, spec: ServerSpec, launch: Launch) -> dict[str, Option]:
        """Which of its several heads of the kind `mtp` a model has is an option: `speculative-algorithm: qwen3_5_mtp`."""
        kind, length = spec.speculation.kind, spec.speculation.length
        if kind == "none":
            return {}
        own: dict[str, Option] = {"speculative-algorithm": "deepseek_mtp" if kind == "mtp" else kind}
        own |= {"speculative-num-draft-tokens": length} if length else {}
        return own | ({"speculative-draft-model": str(launch.files["draft"])} if "draft" in launch.files else {})
