"""GGUF files from Hugging Face checkpoints of the Llama architecture with a byte-level BPE tokenizer."""

import re
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from servegrid.files import read_json, replacing

QUANTIZATIONS = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1")
_TOP = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
_LAYER = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


class Unsupported(ValueError):
    """This checkpoint cannot be converted here; the text says why, and what to do instead."""


def convert(checkpoint: Path, out: Path, quantization: str) -> None:
    """Write the checkpoint as one GGUF file, its matrices in `quantization`, vectors in f32.

    Raises:
        Unsupported: when the architecture, tokenizer or quantization is none that servegrid converts.
    """
    if quantization not in QUANTIZATIONS:
        raise Unsupported(f"quantization {quantization!r}: expected one of {', '.join(QUANTIZATIONS)}")
    config, tokenizer = read_json(checkpoint / "config.json"), read_json(checkpoint / "tokenizer.json")
    _check(checkpoint, config, tokenizer)
    with replacing(out) as beside:
        writer = gguf.GGUFWriter(beside, "llama")
        _add_architecture(writer, checkpoint.name, config)
        _add_tokenizer(writer, config, tokenizer)
        _add_tensors(writer, checkpoint, config, gguf.GGMLQuantizationType[quantization.upper()])
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def _check(checkpoint: Path, config: dict[str, Any], tokenizer: dict[str, Any]) -> None:
    instead = "make the GGUF file with llama.cpp's own converter and name it under model.gguf"
    if config.get("architectures") != ["LlamaForCausalLM"] or config.get("rope_scaling"):
        raise Unsupported(f"{checkpoint}: only LlamaForCausalLM without rope_scaling is converted here; {instead}")
    model, before = tokenizer["model"], tokenizer.get("pre_tokenizer") or {}
    if model["type"] != "BPE" or before.get("type") != "ByteLevel" or not before.get("use_regex", True):
        raise Unsupported(f"{checkpoint}: only byte-level BPE with GPT-2's splitting is converted here; {instead}")


def _add_architecture(writer: Any, name: str, config: dict[str, Any]) -> None:
    head = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    writer.add_name(config.get("_name_or_path") or name)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_rope_dimension_count(head)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_vocab_size(config["vocab_size"])


def _add_tokenizer(writer: Any, config: dict[str, Any], tokenizer: dict[str, Any]) -> None:
    """Tokens by id; no token is ever added to a text, as the tokenizer.json has no post-processor."""
    special = {token["id"]: token["content"] for token in tokenizer["added_tokens"]}
    ids = {index: token for token, index in tokenizer["model"]["vocab"].items()} | special
    padding = {index: f"[PAD{index}]" for index in range(config["vocab_size"]) if index not in ids}
    tokens = [(ids | padding)[index] for index in range(config["vocab_size"])]
    kinds = [_token_type(index, special, padding) for index in range(len(tokens))]
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in tokenizer["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)


def _token_type(index: int, special: dict[int, str], padding: dict[int, str]) -> int:
    kind = gguf.TokenType.CONTROL if index in special else gguf.TokenType.UNUSED if index in padding else None
    return int(gguf.TokenType.NORMAL if kind is None else kind)


def _add_tensors(writer: Any, checkpoint: Path, config: dict[str, Any], kind: gguf.GGMLQuantizationType) -> None:
    for path in sorted(checkpoint.glob("*.safetensors")):
        with safe_open(path, framework="np") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - it is no mapping
                tensor = _permuted(name, tensors.get_tensor(name).astype(np.float32), config)
                own = kind if tensor.ndim > 1 else gguf.GGMLQuantizationType.F32
                writer.add_tensor(_renamed(name), gguf.quantize(np.ascontiguousarray(tensor), own), raw_dtype=own)


def _renamed(name: str) -> str:
    stem = name.removesuffix(".weight")
    if stem in _TOP:
        return f"{_TOP[stem]}.weight"
    layer = re.fullmatch(r"model\.layers\.(\d+)\.(.+)", stem)
    if not layer or layer[2] not in _LAYER:
        raise Unsupported(f"tensor {name} is none of a Llama model")
    return f"blk.{layer[1]}.{_LAYER[layer[2]]}.weight"


def _permuted(name: str, tensor: NDArray[np.float32], config: dict[str, Any]) -> NDArray[np.float32]:
    """Rows of q and k in llama.cpp's order: it rotates neighbouring pairs, Hugging Face the two halves of a head."""
    heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
    count = heads.get(name.removesuffix(".weight").rpartition(".")[2])
    if count is None:
        return tensor
    return tensor.reshape(count, 2, -1, tensor.shape[1]).swapaxes(1, 2).reshape(tensor.shape)
