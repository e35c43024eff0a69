"""The built-in model and its draft model, as Hugging Face checkpoints: the same bytes on every machine."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from servegrid.model.revisions import DRAFT_NAME, DRAFT_REVISION, NAME, REVISION

__all__ = ["CONTEXT_LENGTH", "DRAFT_NAME", "DRAFT_REVISION", "NAME", "REVISION", "BuildError", "build", "build_draft"]

CONTEXT_LENGTH = 4096


class BuildError(RuntimeError):
    """What was built is not what the revision stands for."""


def build(folder: Path) -> None:
    """Build the model in `folder`, whole or not at all.

    Raises:
        BuildError: when the bytes differ from those that REVISION names.
    """
    from servegrid.model.network import MAIN

    _build(folder, MAIN, NAME, REVISION)


def build_draft(folder: Path) -> None:
    """Build the draft model, of the same vocabulary, in `folder`; as `build`."""
    from servegrid.model.network import DRAFT

    _build(folder, DRAFT, DRAFT_NAME, DRAFT_REVISION)


def _build(folder: Path, shape: Any, name: str, revision: str) -> None:
    beside = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    _write(beside, shape, name)
    found = digest(beside)
    if found != revision:
        shutil.rmtree(beside)
        raise BuildError(f"{name} came out as {found}, not as {revision}: this machine computes differently")
    shutil.rmtree(folder, ignore_errors=True)
    beside.rename(folder)


def _write(folder: Path, shape: Any, name: str) -> None:
    from safetensors.numpy import save_file

    from servegrid.model import network, vocabulary

    save_file(network.tensors(shape), folder / "model.safetensors", {"format": "pt"})
    (folder / "tokenizer.json").write_text(vocabulary.tokenizer_json(), encoding="utf-8")
    _write_json(folder / "config.json", _config(shape, name))
    end = {"bos_token_id": 0, "eos_token_id": 0}
    _write_json(folder / "generation_config.json", {**end, "do_sample": False})
    tokens = {"bos_token": vocabulary.END, "eos_token": vocabulary.END, "model_max_length": CONTEXT_LENGTH}
    _write_json(folder / "tokenizer_config.json", {**tokens, "tokenizer_class": "PreTrainedTokenizerFast"})


def _config(shape: Any, name: str) -> dict[str, Any]:
    from servegrid.model import network, vocabulary

    return {
        "_name_or_path": name,
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": vocabulary.SIZE,
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": network.HEAD,
        "intermediate_size": shape.intermediate,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "rope_theta": network.ROPE_BASE,
        "max_position_embeddings": CONTEXT_LENGTH,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        "bos_token_id": 0,
        "eos_token_id": 0,
    }


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def digest(folder: Path) -> str:
    """SHA-256 over weights and tokenizer, the first 16 hex digits."""
    content = hashlib.sha256()
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        content.update((folder / name).read_bytes())
    return content.hexdigest()[:16]
