"""Size of a server's model, as far as its files say."""

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from servegrid.engines.base import ServerSpec
from servegrid.launch.command_line import needed_files
from servegrid.model.checkpoint import parameter_shapes
from servegrid.util.files import read_json

EMBEDDINGS = ("embed", "wte", "wpe")
"""Parts of the names of tensors that hold vocabulary or positions, of which a step looks up a row or two."""
HEADS = ("lm_head", "embed_out")
"""Parts of the names of the output head, which a step multiplies with; without one the embedding of the vocabulary is the head too."""
GGUF_EMBEDDING, GGUF_HEAD = "token_embd.weight", "output.weight"


@dataclass(frozen=True)
class ModelSize:
    """What a step of decoding reads and computes with, by the model's files; None where not known.

    All is the least that it can be: of a mixture of experts, whose steps use some of the weights, nothing is known.

    Attributes:
        weights_bytes: of the weights that a step reads, as the files hold them, where they are served as they are.
        parameters: that a step computes with, without embeddings and head: N of Kaplan et al. (2020), table 1.
        read_parameters: that a step reads: all but the embeddings.
        prompts_cached: not every token of a prompt is computed.
    """

    weights_bytes: int | None = None
    parameters: int | None = None
    read_parameters: int | None = None
    prompts_cached: bool = False


def model_size(spec: ServerSpec, resources: Path) -> ModelSize:
    """Size of the model, by its checkpoint, and its bytes by its GGUF file; else unknown."""
    model, checkpoint = needed_files(spec, resources).get("model"), resources / spec.model.checkpoint
    if _has_experts(checkpoint, model):
        return ModelSize(prompts_cached=spec.prefix_cache)
    is_gguf = model is not None and model.suffix == ".gguf" and model.is_file()
    weights_bytes = _gguf_bytes(model) if is_gguf and model else None
    read_parameters = _read_parameters(checkpoint) if spec.quantization == "none" and not is_gguf else None
    return ModelSize(weights_bytes, _parameters(checkpoint), read_parameters, spec.prefix_cache)


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


@cache
def _gguf_bytes(model: Path) -> int | None:
    """Bytes of the tensors that a step reads."""
    from gguf import GGUFReader

    sizes = {tensor.name: int(tensor.n_bytes) for tensor in GGUFReader(model).tensors}
    looked_up = sizes.get(GGUF_EMBEDDING, 0) if GGUF_HEAD in sizes else 0
    return sum(sizes.values()) - looked_up or None


def _counts(checkpoint: Path) -> dict[str, int]:
    """Parameters of every tensor of the checkpoint by name."""
    shapes = (parameter_shapes(path) for path in checkpoint.glob("*.safetensors"))
    return {name: math.prod(shape) for file_shapes in shapes for name, shape in file_shapes.items()}


def _is_head(name: str) -> bool:
    return any(part in name for part in HEADS)


def _is_embedding(name: str) -> bool:
    return any(part in name for part in EMBEDDINGS) and not _is_head(name)


def _parameters(checkpoint: Path) -> int | None:
    return sum(n for name, n in _counts(checkpoint).items() if not (_is_embedding(name) or _is_head(name))) or None


def _read_parameters(checkpoint: Path) -> int | None:
    """All but the embeddings; those of the vocabulary, which are the largest, too where there is no other head."""
    counts = _counts(checkpoint)
    embeddings = [n for name, n in counts.items() if _is_embedding(name)]
    tied = 0 if any(map(_is_head, counts)) else max(embeddings, default=0)
    return sum(counts.values()) - sum(embeddings) + tied or None
