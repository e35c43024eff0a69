"""TGI: Hugging Face's text-generation-inference, version 3 (read: v3.3.7). Its image has the server; there is no wheel."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from servegrid.engines._checkpoints import checkpoint_files, missing_checkpoint
from servegrid.engines.base import LAUNCH, Container, Engine, Launch, Metrics, Option, Reported, ServerSpec, flags
from servegrid.engines.served_types import ServedTypes, from_info

IMAGE = "ghcr.io/huggingface/text-generation-inference"
READY_CHECKPOINTS = ("awq", "gptq", "marlin", "exl2", "compressed-tensors")
"""Quantizations that need a checkpoint made beforehand; the others are made while the model is loaded."""
HEAD_KINDS = ("medusa", "mlp")


class TGI(Engine):
    """TGI with the launcher's flags (launcher/src/main.rs). The image for CPUs is the one in the documentation of v3.3.7.

    Concurrency is `--max-concurrent-requests`: what is beyond it gets 429, or on a stream an error event after HTTP 200; inside
    of it TGI forms its batches by tokens. For a queue in its place let more in (`server.concurrency`) and bound the batch by the
    option `max-batch-size`.

    Exact length: the API has no field for it, and the end token is the tokenizer's (utils/tokens.py). The model is therefore
    served from a copy of the checkpoint whose tokenizer knows no end token, and from the checkpoint itself where `load.stop` is
    `natural`. Quantized checkpoints and heads are served as they are:
    answers that end early count as short there.

    Memory: of each process TGI leaves (1 - f) x total free, whoever uses the rest (utils/import_utils.py), so the n-th server on
    a device is given n times the share that one may take. It takes 5 % less, for TGI_WIGGLE_ROOM.
    """

    name = "tgi"
    title = "TGI"
    runtimes = ("docker", "command", "url")
    images: ClassVar[Mapping[str, str]] = {"cuda": f"{IMAGE}:3.3.7", "cpu": f"{IMAGE}:3.3.5-intel-cpu"}
    protocols: ClassVar[tuple[str, ...]] = ("tgi-generate", "openai-completions", "openai-chat")
    info_paths = ("/info",)
    devices: ClassVar[tuple[str, ...]] = ("cuda", "cpu")
    speculation_kinds: ClassVar[tuple[str, ...]] = ("ngram", "medusa", "mlp")
    quantizations: ClassVar[Mapping[str, str]] = {
        "none": "",
        "int8": "bitsandbytes",
        "int8-weight": "eetq",
        "nf4": "bitsandbytes-nf4",
        "fp4": "bitsandbytes-fp4",
        **{
            native: native
            for native in ("eetq", "fp8", "bitsandbytes", "bitsandbytes-nf4", "bitsandbytes-fp4", *READY_CHECKPOINTS)
        },
    }
    reserved_flags: ClassVar[Mapping[str, Sequence[str]]] = {
        LAUNCH: ("hostname", "port", "p", "master-port", "shard-uds-path", "prometheus-port"),
        "model.source": ("model-id",),
        "model.revision": ("revision",),
        "server.concurrency": ("max-concurrent-requests",),
        "server.context_tokens": ("max-input-tokens", "max-input-length", "max-total-tokens"),
        "server.memory_fraction": ("cuda-memory-fraction",),
        "server.tensor_parallel": ("num-shard", "sharded"),
        "grid.quantization": ("quantize",),
        "grid.speculation": ("speculate",),
        "engines.<name>.api_key_env": ("api-key",),
    }
    ends_by_checkpoint = True
    has_memory_fraction = True
    has_tensor_parallel = True
    key_variable: ClassVar[str | None] = "API_KEY"
    above_limit = "reject"
    port_count = 3
    """Of the API, of the shards among themselves, and one for metrics that the router binds and leaves unused."""
    input_flag = "max-input-tokens"
    metrics = Metrics(
        kv_cache_tokens="tgi_batch_max_total_tokens",
        running="tgi_batch_current_size",
        waiting="tgi_queue_size",
        drafts="tgi_request_skipped_tokens_count",  # every step, also those without a draft
        accepted_tokens="tgi_request_skipped_tokens_sum",  # what was drafted is not counted
    )

    def unsupported(self, spec: ServerSpec) -> str | None:
        """Reason for refusal, e.g. a ready checkpoint that is not named, or one together with heads.

        Heads name the model they belong to, which is served unquantized or quantized at load.
        """
        reason = super().unsupported(spec)
        if reason or spec.runtime == "url":
            return reason
        if spec.kind == "cpu" and (spec.quantization != "none" or spec.memory_fraction is not None):
            return f"on a CPU {self.title} has neither quantization nor a share of the memory"
        native, heads = self.quantizations[spec.quantization], spec.speculation.kind in HEAD_KINDS
        if native in READY_CHECKPOINTS and heads:
            return f"{self.title} loads heads with the checkpoint that they name, not with one of kind {native}"
        if native and "dtype" in spec.options:
            return f"{self.title} takes a dtype or a quantization, not both"
        return missing_checkpoint(spec, READY_CHECKPOINTS)

    def files(self, spec: ServerSpec) -> dict[str, str]:
        """The checkpoint; with heads their folder, whose config.json names the checkpoint beside it (base_model_name_or_path)."""
        if spec.speculation.kind in HEAD_KINDS:
            return {"model": (spec.model.speculators or {})[spec.speculation.kind], "base": spec.model.checkpoint}
        if spec.quantization in READY_CHECKPOINTS:
            return checkpoint_files(spec, READY_CHECKPOINTS)
        return {"model": spec.model.checkpoint if spec.ends else f"{spec.model.folder}/checkpoint-no-eos"}

    def arguments(self, spec: ServerSpec, launch: Launch) -> list[str]:
        """Flags of the launcher; without --num-shard TGI would split the model over every GPU it sees."""
        options: dict[str, Option] = {"model-id": str(launch.files["model"])}
        options |= {"hostname": launch.host, "port": launch.port, "master-port": launch.ports[1]}
        options |= {"shard-uds-path": f"/tmp/tgi-{launch.port}"}
        options |= {"num-shard": spec.tensor_parallel, "max-concurrent-requests": spec.concurrency}
        options |= {self.input_flag: spec.context_tokens - 1, "max-total-tokens": spec.context_tokens}
        if spec.quantization != "none":
            options["quantize"] = self.quantizations[spec.quantization]
        if spec.speculation.length:
            options["speculate"] = spec.speculation.length
        if spec.memory_fraction is not None:
            options["cuda-memory-fraction"] = min(1.0, round((launch.copy + 1) * spec.memory_fraction, 4))
        return flags(options | self._version_options(spec, launch) | dict(spec.options))

    def _version_options(self, spec: ServerSpec, launch: Launch) -> dict[str, Option]:
        graphs: dict[str, Option] = {"cuda-graphs": 0} if spec.kind == "cpu" else {}
        return {"prometheus-port": launch.ports[2], "usage-stats": "off", **graphs}

    def environment(self, spec: ServerSpec) -> dict[str, str]:
        """Variables, among them that of the prefix cache, which has no flag and needs flashinfer, TGI 3's default ATTENTION."""
        threads = {"OMP_NUM_THREADS": str(spec.cpu_threads)} if spec.kind == "cpu" and spec.cpu_threads else {}
        return {"PREFIX_CACHING": "1" if spec.prefix_cache else "0"} | threads | super().environment(spec)

    def container(self, spec: ServerSpec) -> Container:
        """Container settings as in its documentation."""
        return Container(port=80, shm_size="1g", cache="/data")

    def request_fields(self, spec: ServerSpec, max_tokens: int) -> Mapping[str, Any]:
        """Fields for TGI's OpenAI API: it takes `model` for an adapter's name and knows no exact lengths.

        Completions always end with usage, chats when asked to.
        """
        if (spec.protocol or self.protocols[0]) == "tgi-generate":
            return {}
        stream_options = {"include_usage": True} if spec.protocol == "openai-chat" else None
        return {"model": "tgi", "ignore_eos": None, "min_tokens": None, "stream_options": stream_options}

    def answered_types(self, answers: Mapping[str, Any]) -> ServedTypes:
        """Type of the model from /info of versions that have it there."""
        return from_info(answers.get("/info"), "model_dtype")

    def reported(self, answers: Mapping[str, Any]) -> Reported:
        """Version, limits and, up to version 1, cache size from /info; later it is only in tgi_batch_max_total_tokens."""
        info = answers.get("/info") or {}
        return Reported(
            version=info.get("version"),
            context_tokens=info.get("max_total_tokens"),
            concurrency=info.get("max_concurrent_requests"),
            kv_cache_tokens=info.get("max_batch_total_tokens"),
        )
