"""Size of a server's model, as far as its files say."""

import math
from dataclasses import dataclass
from pathlib import Path

from servegrid.engines.base import ServerSpec
from servegrid.launch.command_line import needed_files
from servegrid.model.checkpoint import parameter_shapes
from servegrid.util.files import read_json


@dataclass(frozen=True)
class ModelSize:
    """Bytes of the weights as served, and number of parameters; None where not known.

    Both are the least that every step reads or computes with: for a mixture of experts, whose steps use some of them,
    neither is known. `prompts_cached` says that not every token of a prompt is computed.
    """

    weights_bytes: int | None = None
    parameters: int | None = None
    prompts_cached: bool = False


def model_size(spec: ServerSpec, resources: Path) -> ModelSize:
    """Size of the model, by its GGUF file, or by the *.safetensors of a checkpoint that is served as it is; else
    unknown.
    """
    model, checkpoint = needed_files(spec, resources).get("model"), resources / spec.model.checkpoint
    if _has_experts(checkpoint, model):
        return ModelSize(prompts_cached=spec.prefix_cache)
    return ModelSize(_weights_bytes(model, spec.quantization), _parameters(checkpoint), spec.prefix_cache)


def _has_experts(checkpoint: Path, model: Path | None) -> bool:
    """Whether it is a mixture of experts, by one of several keys of config.json, else by the GGUF file's metadata."""
    config = checkpoint / "config.json"
    if config.is_file():
        model_config = read_json(config)
        model_config = model_config.get("text_config", model_config)  # of a multimodal model
        return any("experts" in key and isinstance(value, int) and value > 1 for key, value in model_config.items())
    return model is not None and model.suffix == ".gguf" and model.is_file() and _gguf_experts(model) > 1


def _gguf_experts(model: Path) -> int:
    """Number of experts in the GGUF metadata; 0 if there is none."""
    from gguf import GGUFReader

    counts = (field.contents() for name, field in GGUFReader(model).fields.items() if name.endswith(".expert_count"))
    return int(next(counts, 0))


def _weights_bytes(model: Path | None, quantization: str) -> int | None:
    if model is None:
        return None
    if model.suffix == ".gguf" and model.is_file():
        return model.stat().st_size
    checkpoint_files = list(model.glob("*.safetensors")) if quantization == "none" and model.is_dir() else []
    return sum(path.stat().st_size for path in checkpoint_files) or None


def _parameters(checkpoint: Path) -> int | None:
    shapes = [shape for path in checkpoint.glob("*.safetensors") for shape in parameter_shapes(path)]
    return sum(map(math.prod, shapes)) or None
