"""Aphrodite 0.5 of 2024, whose image is set up by environment variables (read: docker/entrypoint.sh and arguments of v0.5.2)."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from servegrid.engines._checkpoints import checkpoint_files, missing_checkpoint
from servegrid.engines.base import Container, Engine, Launch, Metrics, Option, ServerSpec, flags
from servegrid.engines.vllm import Vllm

ENTRYPOINT = "/app/aphrodite-engine/docker/entrypoint.sh"
READY_CHECKPOINTS = ("aqlm", "awq", "exl2", "gptq", "marlin", "quip", "squeezellm")
LOAD_TIME_FLAGS: Mapping[str, str] = {"int4": "load-in-4bit", "int8": "load-in-8bit", "smoothquant": "load-in-smooth"}


class Aphrodite05(Engine):
    """A fork of an early vLLM, without speculation. Flags without a variable of the image go through CMD_ADDITIONAL_ARGUMENTS.

    `memory_fraction` is passed on as it is: a share of the device's total, from which the server subtracts only what it has taken
    itself (task_handler/worker.py).
    """

    name = "aphrodite-0.5"
    title = "Aphrodite 0.5"
    runtimes = ("docker", "url")
    images: ClassVar[Mapping[str, str]] = {"cuda": "alpindale/aphrodite-engine:latest"}
    info_paths = ("/version",)
    devices = ("cuda",)
    quantizations: ClassVar[Mapping[str, str]] = {
        "none": "",
        **LOAD_TIME_FLAGS,
        **{native: native for native in READY_CHECKPOINTS},
    }
    reserved_flags: ClassVar[Mapping[str, Sequence[str]]] = {
        **Vllm.reserved_flags,
        "server.prefix_cache": ("context-shift",),
        "grid.quantization": ("quantization", "q", *LOAD_TIME_FLAGS.values()),
    }
    has_memory_fraction = True
    has_tensor_parallel = True
    key_variable = "APHRODITE_API_KEY"
    metrics = Metrics(
        running="aphrodite:num_requests_running",
        waiting="aphrodite:num_requests_waiting",
        kv_cache="aphrodite:gpu_cache_usage_perc",
    )

    def unsupported(self, spec: ServerSpec) -> str | None:
        """Reason for refusal, among them a ready checkpoint that is not named."""
        reason = super().unsupported(spec)
        if reason or spec.runtime == "url":
            return reason
        return missing_checkpoint(spec, READY_CHECKPOINTS)

    def files(self, spec: ServerSpec) -> dict[str, str]:
        """The checkpoint, or the quantized one."""
        return checkpoint_files(spec, READY_CHECKPOINTS)

    def arguments(self, spec: ServerSpec, launch: Launch) -> list[str]:
        """Assignments for the program `env`, then the image's own entry point."""
        variables: dict[str, Option] = {"MODEL_NAME": str(launch.files["model"]), "HOST": launch.host}
        variables |= {"PORT": launch.port, "CONTEXT_LENGTH": spec.context_tokens, "NUM_GPUS": spec.tensor_parallel}
        if spec.memory_fraction is not None:
            variables["GPU_MEMORY_UTILIZATION"] = spec.memory_fraction
        if spec.quantization in READY_CHECKPOINTS:
            variables["QUANTIZATION"] = spec.quantization
        variables["CMD_ADDITIONAL_ARGUMENTS"] = " ".join(self._additional_arguments(spec))
        return [*(f"{name}={value}" for name, value in variables.items()), ENTRYPOINT]

    def _additional_arguments(self, spec: ServerSpec) -> list[str]:
        """Flags that the image has no variable for."""
        options: dict[str, Option] = {"served-model-name": spec.model.name, "max-num-seqs": spec.concurrency}
        if spec.quantization in LOAD_TIME_FLAGS:
            options[LOAD_TIME_FLAGS[spec.quantization]] = None
        if spec.prefix_cache:
            options["context-shift"] = None
        return flags(options | dict(spec.options))

    def container(self, spec: ServerSpec) -> Container:
        """Container settings: the host's shared memory for tensor parallelism, as documented; /tmp holds its downloads."""
        return Container(port=7860, entrypoint=("env",), shm_size=None, ipc="host", cache="/tmp")

    def request_fields(self, spec: ServerSpec, max_tokens: int) -> Mapping[str, Any]:
        """Fields that are left out: the length is exact by ignore_eos alone, and usage comes unasked with the last token."""
        return {"min_tokens": None, "stream_options": None}
