"""How large a server's model is, as far as its files say."""

import math
from dataclasses import dataclass
from pathlib import Path

from servegrid.engines.base import ServerSpec
from servegrid.launch.command_line import needed_files
from servegrid.model.checkpoint import parameter_shapes
from servegrid.util.files import read_json


@dataclass(frozen=True)
class ModelSize:
    """Bytes of the weights as they are served, and number of parameters; None where not known.

    Both are what every step reads or computes with at least: of a mixture of experts, whose steps use some of them, neither is
    known. `prompts_cached` says that not every token of a prompt is computed.
    """

    weights_bytes: int | None = None
    parameters: int | None = None
    prompts_cached: bool = False


def model_size(spec: ServerSpec, resources: Path) -> ModelSize:
    """Of a GGUF file its bytes, of a checkpoint served as it is those of its *.safetensors; other forms are not known."""
    model, checkpoint = needed_files(spec, resources).get("model"), resources / spec.model.checkpoint
    if _has_experts(checkpoint, model):
        return ModelSize(prompts_cached=spec.prefix_cache)
    return ModelSize(_weights_bytes(model, spec.quantization), _parameters(checkpoint), spec.prefix_cache)


def _has_experts(checkpoint: Path, model: Path | None) -> bool:
    """By config.json, which names their number under one of several keys, else by the GGUF file's metadata."""
    config = checkpoint / "config.json"
    if config.is_file():
        told = read_json(config)
        told = told.get("text_config", told)  # of a model that also sees
        return any("experts" in key and isinstance(value, int) and value > 1 for key, value in told.items())
    return model is not None and model.suffix == ".gguf" and model.is_file() and _gguf_experts(model) > 1


def _gguf_experts(model: Path) -> int:
    from gguf import GGUFReader

    counts = (field.contents() for name, field in GGUFReader(model).fields.items() if name.endswith(".expert_count"))
    return int(next(counts, 0))


def _weights_bytes(model: Path | None, quantization: str) -> int | None:
    if model is None:
        return None
    if model.suffix == ".gguf" and model.is_file():
        return model.stat().st_size
    stored = list(model.glob("*.safetensors")) if quantization == "none" and model.is_dir() else []
    return sum(path.stat().st_size for path in stored) or None


def _parameters(checkpoint: Path) -> int | None:
    shapes = [shape for path in checkpoint.glob("*.safetensors") for shape in parameter_shapes(path)]
    return sum(map(math.prod, shapes)) or None
