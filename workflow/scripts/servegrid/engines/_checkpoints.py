"""Checks and paths of ready checkpoints, and of memory shares that count only what is free after loading them."""

from collections.abc import Collection, Mapping

from servegrid.engines.base import ServerSpec


def missing_checkpoint(spec: ServerSpec, ready: Collection[str]) -> str | None:
    """Why this quantization cannot be served: it is one of `ready` and no checkpoint is named for it; None if it can be."""
    if spec.quantization in ready and spec.quantization not in (spec.model.quantized or {}):
        return f"{spec.quantization} needs a ready checkpoint: name it under model.quantized.{spec.quantization}"
    return None


def unequal_shares(spec: ServerSpec, title: str) -> str | None:
    """Why servers that share a device cannot take a `memory_fraction` of what is free after the weights; None if one runs alone."""
    if spec.memory_fraction is None or spec.sharing == 1:
        return None
    return (
        f"{title}'s share is of the memory that is free after its weights: servers that share a device would not "
        "get equal parts; leave memory_fraction out"
    )


def checkpoint_files(spec: ServerSpec, ready: Collection[str]) -> dict[str, str]:
    """Paths by role: `model` (quantized, where `ready` has it) and, if another model drafts, `draft`."""
    quantized, speculators = spec.model.quantized or {}, spec.model.speculators or {}
    files = {"model": quantized[spec.quantization] if spec.quantization in ready else spec.model.checkpoint}
    if spec.speculation.kind == "draft" and spec.draft:
        files["draft"] = spec.draft.checkpoint
    elif spec.speculation.kind in speculators:
        files["draft"] = speculators[spec.speculation.kind]
    return files


def gguf_file(spec: ServerSpec, types: Mapping[str, str]) -> str:
    """Path of the model's GGUF file: the user's for this quantization, else the converted one; `types`: quantization -> type."""
    converted = spec.weights if spec.weights and spec.quantization == "none" else types[spec.quantization]
    return spec.model.gguf.get(spec.quantization, f"{spec.model.folder}/{converted}.gguf")
