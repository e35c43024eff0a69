"""Aphrodite 0.5 of 2024, whose image is set up by environment variables (read: docker/entrypoint.sh and arguments of v0.5.2)."""

from collections.abc import Mapping
from typing import Any, ClassVar

from servegrid.engines._checkpoints import ready_checkpoint, without_checkpoint
from servegrid.engines.base import Container, Engine, Launch, Metrics, Option, ServerSpec, flags

ENTRYPOINT = "/app/aphrodite-engine/docker/entrypoint.sh"
READY = ("aqlm", "awq", "exl2", "gptq", "marlin", "quip", "squeezellm")
AT_LOAD: Mapping[str, str] = {"int4": "load-in-4bit", "int8": "load-in-8bit", "smoothquant": "load-in-smooth"}


class Aphrodite05(Engine):
    """A fork of an early vLLM, without speculation. What the image has no variable for goes through CMD_ADDITIONAL_ARGUMENTS.

    Memory: a share of the device's total, of which what the server itself has taken is subtracted (task_handler/worker.py): the axis
    as it is.
    """

    name = "aphrodite-0.5"
    title = "Aphrodite 0.5"
    runtimes = ("docker", "url")
    images: ClassVar[Mapping[str, str]] = {"cuda": "alpindale/aphrodite-engine:latest"}
    facts_paths = ("/version",)
    devices = ("cuda",)
    quantizations: ClassVar[Mapping[str, str]] = {"none": "", **AT_LOAD, **{own: own for own in READY}}
    has_memory_fraction = True
    has_tensor_parallel = True
    key_variable = "APHRODITE_API_KEY"
    metrics = Metrics(
        running="aphrodite:num_requests_running",
        waiting="aphrodite:num_requests_waiting",
        kv_cache="aphrodite:gpu_cache_usage_perc",
    )

    def unsupported(self, spec: ServerSpec) -> str | None:
        """Ready checkpoints must be named."""
        reason = super().unsupported(spec)
        if reason or spec.runtime == "url":
            return reason
        return without_checkpoint(spec, READY)

    def files(self, spec: ServerSpec) -> dict[str, str]:
        """The checkpoint, or the quantized one."""
        return ready_checkpoint(spec, READY)

    def arguments(self, spec: ServerSpec, launch: Launch) -> list[str]:
        """Variables for `env`, then the image's own entry point."""
        variables: dict[str, Option] = {"MODEL_NAME": str(launch.files["model"]), "HOST": launch.host}
        variables |= {"PORT": launch.port, "CONTEXT_LENGTH": spec.context_tokens, "NUM_GPUS": spec.tensor_parallel}
        if spec.memory_fraction is not None:
            variables["GPU_MEMORY_UTILIZATION"] = spec.memory_fraction
        if spec.quantization in READY:
            variables["QUANTIZATION"] = spec.quantization
        variables["CMD_ADDITIONAL_ARGUMENTS"] = " ".join(self._further(spec))
        return [*(f"{name}={value}" for name, value in variables.items()), ENTRYPOINT]

    def _further(self, spec: ServerSpec) -> list[str]:
        """Flags without a variable of their own."""
        own: dict[str, Option] = {"served-model-name": spec.model.name, "max-num-seqs": spec.concurrency}
        if spec.quantization in AT_LOAD:
            own[AT_LOAD[spec.quantization]] = None
        if spec.prefix_cache:
            own["context-shift"] = None
        return flags(own | dict(spec.options))

    def container(self, spec: ServerSpec) -> Container:
        """Its documentation shares the host's memory for the processes of tensor parallelism; /tmp holds what it downloads."""
        return Container(port=7860, entrypoint=("env",), shm_size=None, ipc="host", cache="/tmp")

    def request_fields(self, spec: ServerSpec, max_tokens: int) -> Mapping[str, Any]:
        """Exact length by ignore_eos alone; usage comes with the last token unasked."""
        return {"min_tokens": None, "stream_options": None}
