"""Read a Hugging Face checkpoint of a Llama-architecture model with numpy alone."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_STORED_AS = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}


class UnsupportedModelError(ValueError):
    """A checkpoint that cannot be converted; says what is not supported."""


@dataclass(frozen=True)
class Sizes:
    """The numbers that define a Llama model; names as in config.json where they are the same."""

    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab_size: int
    context_length: int
    norm_epsilon: float
    rope_theta: float


class Checkpoint:
    """Checkpoint folder: config.json, tokenizer.json and the tensors.

    Raises:
        UnsupportedModelError: A file is missing, or the model is not a Llama as `sizes` describes it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = self._read("config.json")
        self.tokenizer = self._read("tokenizer.json")
        self.tokenizer_config = self._read("tokenizer_config.json", default={})
        self.sizes = _sizes(self.config, folder)

    @cached_property
    def tensors(self) -> Mapping[str, "StoredTensor"]:
        """Tensors by name, with their places in the *.safetensors files of the folder."""
        tensors: dict[str, StoredTensor] = {}
        for path in sorted(self.folder.glob("*.safetensors")):
            tensors |= _read_header(path)
        if not tensors:
            raise UnsupportedModelError(f"{self.folder} holds no *.safetensors file")
        return tensors

    def stored_type(self, name: str) -> str:
        """Type that the tensor of this name is stored in, as safetensors spells it: F32, F16 or BF16."""
        return self._stored(name).kind

    def tensor(self, name: str) -> NDArray[np.float32]:
        """Values of the tensor of this name, as float32."""
        return self._stored(name).read()

    def _stored(self, name: str) -> "StoredTensor":
        if name not in self.tensors:
            raise UnsupportedModelError(f"{self.folder} lacks the tensor {name}, which a Llama model has")
        return self.tensors[name]

    @property
    def tied(self) -> bool:
        """Whether the output head is the embedding matrix."""
        return "lm_head.weight" not in self.tensors

    def tokens(self) -> list[str]:
        """Token texts by id, as the vocabulary spells them; ids without a token are called [PAD<id>]."""
        text_by_id = {int(i): str(token) for token, i in self.tokenizer["model"]["vocab"].items()}
        text_by_id |= {int(token["id"]): str(token["content"]) for token in self.tokenizer.get("added_tokens", [])}
        return [text_by_id.get(i, f"[PAD{i}]") for i in range(self.sizes.vocab_size)]

    def special_token(self, role: str) -> int | None:
        """Id of the "bos" or "eos" token, the first where there are several, None where there is none."""
        value = self.config.get(f"{role}_token_id")
        first = value[0] if isinstance(value, list) and value else value
        return first if isinstance(first, int) else None

    def _read(self, name: str, default: dict[str, Any] | None = None) -> dict[str, Any]:
        path = self.folder / name
        if not path.is_file():
            if default is not None:
                return default
            raise UnsupportedModelError(f"{self.folder} has no {name}; a Hugging Face checkpoint is needed")
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return content


@dataclass(frozen=True)
class StoredTensor:
    """Place of a tensor in a safetensors file: `kind` as in its header, `start` in bytes from the file's beginning."""

    path: Path
    kind: str
    shape: tuple[int, ...]
    start: int

    def read(self) -> NDArray[np.float32]:
        """Values of the tensor, as float32."""
        if self.kind not in _STORED_AS:
            allowed = ", ".join(_STORED_AS)
            raise UnsupportedModelError(f"{self.path.name} stores tensors as {self.kind}; supported: {allowed}")
        stored = np.memmap(self.path, _STORED_AS[self.kind], mode="r", offset=self.start, shape=self.shape)
        if self.kind == "BF16":  # the upper half of a float32
            return (np.asarray(stored).astype(np.uint32) << 16).view(np.float32)
        return np.asarray(stored, dtype=np.float32)


def parameter_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of all tensors of a safetensors file by name, from its header."""
    return {name: tensor.shape for name, tensor in _read_header(path).items()}


def _read_header(path: Path) -> dict[str, StoredTensor]:
    """Tensors in the header of a safetensors file, by name: 8 bytes of length, then JSON, then the tensors.

    Read here, because the safetensors package gives no bfloat16 to numpy.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        table = json.loads(file.read(length))
    table.pop("__metadata__", None)
    return {
        name: StoredTensor(path, entry["dtype"], tuple(entry["shape"]), 8 + length + entry["data_offsets"][0])
        for name, entry in table.items()
    }


def _sizes(config: dict[str, Any], folder: Path) -> Sizes:
    """Sizes of a plain Llama.

    Raises:
        UnsupportedModelError: The config asks for anything beyond a plain Llama.
    """
    _check_plain_llama(config, folder)
    heads = int(config["num_attention_heads"])
    return Sizes(
        hidden_size=int(config["hidden_size"]),
        intermediate_size=int(config["intermediate_size"]),
        layers=int(config["num_hidden_layers"]),
        heads=heads,
        kv_heads=int(config.get("num_key_value_heads") or heads),
        head_dim=int(config.get("head_dim") or config["hidden_size"] // heads),
        vocab_size=int(config["vocab_size"]),
        context_length=int(config["max_position_embeddings"]),
        norm_epsilon=float(config["rms_norm_eps"]),
        rope_theta=float(_rope_parameters(config).get("rope_theta", 10000.0)),
    )


def _rope_parameters(config: dict[str, Any]) -> dict[str, Any]:
    """Parameters of RoPE: top-level keys and `rope_scaling`, or since transformers 5 all under `rope_parameters`."""
    scaling = config.get("rope_parameters") or config.get("rope_scaling") or {}
    return {"rope_theta": config.get("rope_theta", 10000.0), **scaling}


def _check_plain_llama(config: dict[str, Any], folder: Path) -> None:
    """Raise UnsupportedModelError if the config asks for anything beyond a plain Llama."""
    rope_type = _rope_parameters(config).get("rope_type") or _rope_parameters(config).get("type") or "default"
    requirements: list[tuple[str, Any, list[Any]]] = [
        ("architectures", config.get("architectures"), [["LlamaForCausalLM"]]),
        ("hidden_act", config.get("hidden_act", "silu"), ["silu"]),
        ("attention_bias", config.get("attention_bias", False), [False]),
        ("mlp_bias", config.get("mlp_bias", False), [False]),
        ("quantization_config", config.get("quantization_config"), [None]),
        ("rope_type", rope_type, ["default"]),
    ]
    for key, value, allowed in requirements:
        if value not in allowed:
            raise UnsupportedModelError(f"{folder / 'config.json'}: {key} is {value!r}; supported: {allowed[0]!r}")
