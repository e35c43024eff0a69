"""How large a server's model is, as far as its files say."""

import math
from dataclasses import dataclass
from pathlib import Path

from servegrid.commands import needed_files
from servegrid.engines.base import ServerSpec
from servegrid.model.checkpoint import parameter_shapes


@dataclass(frozen=True)
class ModelSize:
    """Bytes of the weights as they are served, and number of parameters; None where not known."""

    weights_bytes: int | None = None
    parameters: int | None = None


def size_of(spec: ServerSpec, resources: Path) -> ModelSize:
    """Of a GGUF file its bytes, of a checkpoint served as it is those of its *.safetensors; other forms are not known."""
    files = needed_files(spec, resources)
    return ModelSize(
        _weights_bytes(files.get("model"), spec.quantization), _parameters(resources / spec.model.checkpoint)
    )


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
