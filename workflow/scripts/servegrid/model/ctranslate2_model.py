"""Convert a Hugging Face checkpoint of the Llama architecture to a CTranslate2 model.

Runs inside the CTranslate2 engine's environment: imports nothing beyond ctranslate2, numpy and the standard library.
"""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from ctranslate2.specs import common_spec, transformer_spec

from servegrid.model.checkpoint import Checkpoint
from servegrid.model.folder import replacing_folder


def convert(checkpoint: Path, out_folder: Path) -> None:
    """Write the checkpoint as a CTranslate2 model, weights in float32; quantization happens at load (compute_type).

    Raises:
        UnsupportedModelError: The model is no plain Llama; the message says what is not supported.
    """
    source = Checkpoint(checkpoint)
    spec = _model_spec(source)
    _fill_decoder(spec.decoder, source)
    _add_vocabulary(spec, source)
    spec.validate()
    spec.optimize(quantization="float32")
    with replacing_folder(out_folder) as beside:
        spec.save(str(beside))
        shutil.copy(checkpoint / "tokenizer.json", beside)  # the server in front of it tokenizes


def _model_spec(source: Checkpoint) -> Any:
    sizes = source.sizes
    return transformer_spec.TransformerDecoderModelSpec.from_config(
        sizes.layers,
        sizes.heads,
        activation=common_spec.Activation.SWISH,
        pre_norm=True,
        ffn_glu=True,
        rms_norm=True,
        rotary_dim=0,  # all of a head
        rotary_interleave=False,
        rotary_base=sizes.rope_theta,
        num_heads_kv=sizes.kv_heads if sizes.kv_heads != sizes.heads else None,
        head_dim=sizes.head_dim,
    )


def _fill_decoder(decoder: Any, source: Checkpoint) -> None:
    decoder.scale_embeddings = False
    decoder.embeddings.weight = source.tensor("model.embed_tokens.weight")
    decoder.layer_norm.gamma = source.tensor("model.norm.weight")
    head = "model.embed_tokens.weight" if source.tied else "lm_head.weight"
    decoder.projection.weight = source.tensor(head)
    for number, layer in enumerate(decoder.layer):
        _fill_layer(layer, source, f"model.layers.{number}")


def _fill_layer(layer: Any, source: Checkpoint, prefix: str) -> None:
    def tensor(name: str) -> Any:
        return source.tensor(f"{prefix}.{name}.weight")

    attention, mlp = layer.self_attention, layer.ffn
    attention.layer_norm.gamma = tensor("input_layernorm")
    attention.linear[0].weight = np.concatenate([tensor(f"self_attn.{name}_proj") for name in "qkv"])
    attention.linear[1].weight = tensor("self_attn.o_proj")
    mlp.layer_norm.gamma = tensor("post_attention_layernorm")
    mlp.linear_0.weight = tensor("mlp.gate_proj")
    mlp.linear_0_noact.weight = tensor("mlp.up_proj")
    mlp.linear_1.weight = tensor("mlp.down_proj")


def _add_vocabulary(spec: Any, source: Checkpoint) -> None:
    tokens = source.tokens()
    bos, eos = source.special_token("bos"), source.special_token("eos")
    spec.register_vocabulary(tokens)
    spec.config.bos_token = tokens[bos] if bos is not None else ""
    spec.config.eos_token = tokens[eos] if eos is not None else ""
    spec.config.unk_token = ""
    spec.config.layer_norm_epsilon = source.sizes.norm_epsilon
