"""PowerInfer: llama.cpp's server of November 2023 with sparse models of its own (read and run: commit d3ebd7c)."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from servegrid.engines._checkpoints import gguf_file
from servegrid.engines.base import LAUNCH, Engine, Launch, Option, ServerSpec, flags

SPARE_SLOTS = 1
CUDA_ONLY = ("vram-budget", "reset-gpu-index", "disable-gpu-index")


class PowerInfer(Engine):
    """PowerInfer, built by the user: `cmake -S . -B build -DLLAMA_CUBLAS=ON && cmake --build build --target server`.

    Only models with ReLU and predictors (`*.powerinfer.gguf`, named under `model.gguf`) are faster than elsewhere; any GGUF of its
    time runs. Requests beyond its slots are refused by an answer without events ("slot unavailable"), and a slot is free again only a
    step after its answer has ended: it is given one slot more than it is to work on at once. It puts a begin token before every
    prompt, whatever the GGUF says. It takes no share of the memory: the budget is in GiB (`options.vram-budget`), for weights and cache.
    """

    name = "powerinfer"
    title = "PowerInfer"
    runtimes = ("command", "url")
    protocols = ("powerinfer-completion",)
    health_path = "/props"  # it listens once the model is loaded
    metrics_path = None
    devices = ("cpu", "cuda")
    quantizations = {
        "none": "f32",
        "int8": "q8_0",
        **{native: native for native in ("f16", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1")},
    }
    own_types: ClassVar[Mapping[str, str]] = {"cuda": "own_f16"}  # it is older than bfloat16 in GGUF files
    reserved_flags: ClassVar[Mapping[str, Sequence[str]]] = {
        LAUNCH: ("host", "port"),
        "model.gguf": ("model", "m", "alias", "a"),
        "server.concurrency": ("parallel", "np"),
        "server.context_tokens": ("ctx-size", "c"),
        "server.cpu_threads": ("threads", "t"),
    }
    above_limit = "reject"
    has_prefix_cache = False  # a request may ask for its own slot's, and is answered otherwise then

    def unsupported(self, spec: ServerSpec) -> str | None:
        """Reason for refusal: a share of the memory (it takes GiB), or GPU options on a device without CUDA."""
        if spec.memory_fraction is not None and spec.runtime != "url":
            return "PowerInfer takes GiB of memory, not a share: set options.vram-budget"
        reason = super().unsupported(spec)
        cuda_options = [name for name in CUDA_ONLY if name in spec.options and spec.kind != "cuda"]
        if cuda_options and not reason:
            return f"option {cuda_options[0]} of PowerInfer needs a device of kind cuda"
        return reason

    def files(self, spec: ServerSpec) -> dict[str, str]:
        """The GGUF of the model."""
        return {"model": gguf_file(spec, self.quantizations)}

    def arguments(self, spec: ServerSpec, launch: Launch) -> list[str]:
        """Flags of the server. Slots share one context; without --cont-batching they would take turns."""
        slots = spec.concurrency + SPARE_SLOTS
        options: dict[str, Option] = {"model": str(launch.files["model"]), "host": launch.host, "port": launch.port}
        options |= {"alias": spec.model.name, "parallel": slots, "cont-batching": None}
        options |= {"ctx-size": slots * spec.context_tokens}
        if spec.cpu_threads:
            options["threads"] = spec.cpu_threads
        return flags(options | dict(spec.options))
