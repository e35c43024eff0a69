"""Convert a Hugging Face checkpoint of the Llama architecture to a GGUF file, llama.cpp's format."""

from collections.abc import Iterator
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType
from numpy.typing import NDArray

from servegrid.model import gguf_tokenizer
from servegrid.model.checkpoint import Checkpoint, Sizes, UnsupportedModelError
from servegrid.util.files import replacing

QUANTIZATIONS = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0")
"""Types of quantization: all matrices are stored so, output head included; vectors stay float32."""
OWN_TYPES = {
    "own": {"F32": "f32", "F16": "f16", "BF16": "bf16"},
    "own_f16": {"F32": "f32", "F16": "f16", "BF16": "f16"},  # for programs that know no bfloat16
}
"""Further values of `quantization`, which keep the type that the checkpoint's embeddings are stored in."""

_OUTSIDE_LAYERS = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
_IN_A_LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def convert(checkpoint: Path, out: Path, quantization: str) -> None:
    """Write the checkpoint as the GGUF file `out`; the same checkpoint gives the same bytes.

    Raises:
        UnsupportedModelError: The model, its tokenizer or `quantization` is not supported; the message says which.
    """
    if quantization not in (*QUANTIZATIONS, *OWN_TYPES):
        allowed = ", ".join((*QUANTIZATIONS, *OWN_TYPES))
        raise UnsupportedModelError(
            f"quantization {quantization!r} of a GGUF file is not supported; allowed: {allowed}"
        )
    source = Checkpoint(checkpoint)
    kind = GGMLQuantizationType[_type_of(source, quantization).upper()]
    with replacing(out) as beside:
        writer = GGUFWriter(beside, "llama")
        _add_sizes(writer, source.sizes, kind)
        gguf_tokenizer.write_tokenizer(writer, source)
        for name, tensor in _tensors(source):
            _add_tensor(writer, name, tensor, kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def _type_of(source: Checkpoint, quantization: str) -> str:
    """One of QUANTIZATIONS: what is asked for, or what keeps the checkpoint's own type."""
    if quantization not in OWN_TYPES:
        return quantization
    stored = source.stored_type("model.embed_tokens.weight")
    return OWN_TYPES[quantization].get(stored, QUANTIZATIONS[0])  # another cannot be read, which reading says


def _add_sizes(writer: GGUFWriter, sizes: Sizes, kind: GGMLQuantizationType) -> None:
    unquantized_name = {"F32": "ALL_F32"}
    writer.add_file_type(LlamaFileType[unquantized_name.get(kind.name, f"MOSTLY_{kind.name}")])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_vocab_size(sizes.vocab_size)
    writer.add_context_length(sizes.context_length)
    writer.add_embedding_length(sizes.hidden_size)
    writer.add_block_count(sizes.layers)
    writer.add_feed_forward_length(sizes.intermediate_size)
    writer.add_head_count(sizes.heads)
    writer.add_head_count_kv(sizes.kv_heads)
    writer.add_key_length(sizes.head_dim)
    writer.add_value_length(sizes.head_dim)
    writer.add_rope_dimension_count(sizes.head_dim)
    writer.add_rope_freq_base(sizes.rope_theta)
    writer.add_layer_norm_rms_eps(sizes.norm_epsilon)


def _tensors(source: Checkpoint) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield the tensors under their GGUF names; a tied output head is left out, llama.cpp then takes the embeddings."""
    for name, gguf_name in _OUTSIDE_LAYERS.items():
        if not (name == "lm_head" and source.tied):
            yield f"{gguf_name}.weight", source.tensor(f"{name}.weight")
    rotated = {"self_attn.q_proj": source.sizes.heads, "self_attn.k_proj": source.sizes.kv_heads}
    for layer in range(source.sizes.layers):
        for name, gguf_name in _IN_A_LAYER.items():
            tensor = source.tensor(f"model.layers.{layer}.{name}.weight")
            if name in rotated:
                tensor = _rope_interleaved(tensor, rotated[name])
            yield f"blk.{layer}.{gguf_name}.weight", tensor


def _rope_interleaved(matrix: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Matrix [heads * head_dim, hidden] with rows in GGUF's order, where RoPE turns rows 2i and 2i+1, not i and i + head_dim/2."""
    halves = matrix.reshape(heads, 2, -1, matrix.shape[1])
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(matrix.shape)


def _add_tensor(writer: GGUFWriter, name: str, tensor: NDArray[np.float32], kind: GGMLQuantizationType) -> None:
    stored = GGMLQuantizationType.F32 if tensor.ndim == 1 else kind
    block = gguf.GGML_QUANT_SIZES[stored][0]
    if tensor.shape[-1] % block:
        raise UnsupportedModelError(
            f"{name} has rows of {tensor.shape[-1]}, no multiple of {block} as {stored.name} needs; take f32 or f16"
        )
    writer.add_tensor(name, gguf.quantize(tensor, stored), raw_dtype=stored)
