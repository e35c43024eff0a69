"""Build the built-in model and its draft model on this machine: byte for byte the same everywhere, nothing downloaded."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from safetensors.numpy import save_file

from servegrid.model import vocabulary
from servegrid.model.architecture import CONTEXT_LENGTH, DRAFT, HEAD_DIM, MAIN, NORM_EPSILON, ROPE_THETA, Architecture
from servegrid.model.folder import replacing_folder
from servegrid.model.weights import tensors

__all__ = ["CONTEXT_LENGTH", "DRAFT_NAME", "DRAFT_REVISION", "NAME", "REVISION", "BuildError", "build", "build_draft"]

NAME = "servegrid-tiny"
DRAFT_NAME = "servegrid-tiny-draft"

_TOKENIZER = "9cff4eb5f287723dc923a0db2318c51d042f6d9b794b599b51408645d26cfdc8"
PINS: Mapping[str, str] = MappingProxyType(
    {
        "config.json": "55e32466b696eb9225ee050501d3ecb64f3d3230ccaeb612adc19cb18eaa2807",
        "model.safetensors": "945d29302c2dc45ac8928963482f3620b604918821ff9e2d79f30d63d18f2607",
        "tokenizer.json": _TOKENIZER,
    }
)
"""SHA-256 of the main model's files."""
DRAFT_PINS: Mapping[str, str] = MappingProxyType(
    {
        "config.json": "6289e320a515636155ae3ba1810daaa21886ab93cb6a15d6d032bac9a9a7b259",
        "model.safetensors": "affc50ad8444aff6e5ad8168537df48c0f3c4a238aa76269a7e05da05aa6d200",
        "tokenizer.json": _TOKENIZER,
    }
)
"""SHA-256 of the draft model's files."""


def _revision(pins: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(dict(pins), sort_keys=True).encode()).hexdigest()


REVISION = _revision(PINS)
"""Identity of the main model: 64 hexadecimal digits."""
DRAFT_REVISION = _revision(DRAFT_PINS)
"""Identity of the draft model."""


class BuildError(RuntimeError):
    """A built file differs from its pinned SHA-256."""


def build(folder: Path) -> None:
    """Build the main model in `folder` as a Hugging Face checkpoint, float32; takes seconds.

    Raises:
        BuildError: A file differs from its pinned SHA-256; `folder` is then left as it was.
    """
    _build(MAIN, PINS, folder)


def build_draft(folder: Path) -> None:
    """Build the draft model, which shares the main model's tokenizer; see `build`."""
    _build(DRAFT, DRAFT_PINS, folder)


def _build(architecture: Architecture, pins: Mapping[str, str], folder: Path) -> None:
    with replacing_folder(folder) as beside:
        save_file(tensors(architecture), beside / "model.safetensors", {"format": "pt"})
        (beside / "tokenizer.json").write_text(vocabulary.tokenizer_json(), encoding="utf-8")
        _write(beside / "config.json", _config(architecture))
        _write(beside / "generation_config.json", {"bos_token_id": 0, "eos_token_id": 0, "do_sample": False})
        _write(beside / "tokenizer_config.json", _tokenizer_config())
        _verify(beside, pins)


def _write(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def _verify(folder: Path, pins: Mapping[str, str]) -> None:
    for name, pinned in pins.items():
        with (folder / name).open("rb") as file:
            built = hashlib.file_digest(file, "sha256").hexdigest()
        if built != pinned:
            raise BuildError(
                f"the built-in model's {name} came out with SHA-256 {built}, but {pinned} is pinned: "
                "this machine or library computes otherwise, and its results would not compare with others"
            )


def _config(architecture: Architecture) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": vocabulary.SIZE,
        "hidden_size": architecture.hidden,
        "intermediate_size": architecture.intermediate,
        "num_hidden_layers": architecture.layers,
        "num_attention_heads": architecture.heads,
        "num_key_value_heads": architecture.kv_heads,
        "head_dim": HEAD_DIM,
        "hidden_act": "silu",
        "max_position_embeddings": CONTEXT_LENGTH,
        "rms_norm_eps": NORM_EPSILON,
        "rope_theta": ROPE_THETA,
        "rope_scaling": None,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        "bos_token_id": 0,
        "eos_token_id": 0,
    }


def _tokenizer_config() -> dict[str, Any]:
    """Tokenizer settings: no token is added at either end; a chat is its messages' texts, so that chat and completion read the same."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": CONTEXT_LENGTH,
        "bos_token": vocabulary.END,
        "eos_token": vocabulary.END,
        "pad_token": vocabulary.END,
        "add_bos_token": False,
        "add_eos_token": False,
        "clean_up_tokenization_spaces": False,
        "chat_template": "{% for message in messages %}{{ message['content'] }}{% endfor %}",
    }
