"""CTranslate2 models from Hugging Face checkpoints of the Llama architecture. Runs in CTranslate2's own environment."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from ctranslate2.specs import common_spec, transformer_spec
from safetensors import safe_open


def convert(checkpoint: Path, out: Path) -> None:
    """Write the checkpoint as a CTranslate2 model with float32 weights, its tokenizer.json beside it.

    Quantization happens when the model is loaded (compute type).

    Raises:
        ValueError: when the architecture is none that servegrid converts.
    """
    config = json.loads((checkpoint / "config.json").read_text())
    if config.get("architectures") != ["LlamaForCausalLM"] or config.get("rope_scaling"):
        raise ValueError(f"{checkpoint}: only LlamaForCausalLM without rope_scaling is converted here")
    beside = out.with_name(f".{out.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    spec = _spec(config)
    _fill(spec, _tensors(checkpoint))
    _add_vocabulary(spec, checkpoint, config)
    spec.validate()
    spec.optimize(quantization="float32")
    spec.save(str(beside))
    shutil.copy(checkpoint / "tokenizer.json", beside)
    shutil.rmtree(out, ignore_errors=True)
    beside.rename(out)


def _spec(config: dict[str, Any]) -> Any:
    spec = transformer_spec.TransformerDecoderModelSpec.from_config(
        config["num_hidden_layers"],
        config["num_attention_heads"],
        activation=common_spec.Activation.SWISH,
        pre_norm=True,
        ffn_glu=True,
        rms_norm=True,
        rotary_dim=0,
        rotary_interleave=False,
        rotary_base=config["rope_theta"],
        num_heads_kv=config["num_key_value_heads"],
    )
    spec.config.layer_norm_epsilon = config["rms_norm_eps"]
    return spec


def _tensors(checkpoint: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in sorted(checkpoint.glob("*.safetensors")):
        with safe_open(path, framework="np") as tensors:
            found |= {name: tensors.get_tensor(name).astype(np.float32) for name in tensors.keys()}  # noqa: SIM118
    return found


def _fill(spec: Any, tensors: dict[str, Any]) -> None:
    decoder = spec.decoder
    decoder.scale_embeddings = False
    decoder.embeddings.weight = tensors["model.embed_tokens.weight"]
    decoder.layer_norm.gamma = tensors["model.norm.weight"]
    decoder.projection.weight = tensors.get("lm_head.weight", tensors["model.embed_tokens.weight"])
    for number, layer in enumerate(decoder.layer):
        _fill_layer(layer, {name.split(".", 3)[3]: tensor for name, tensor in tensors.items() if f"layers.{number}." in name})


def _fill_layer(layer: Any, tensors: dict[str, Any]) -> None:
    attention, feed_forward = layer.self_attention, layer.ffn
    attention.layer_norm.gamma = tensors["input_layernorm.weight"]
    # queries, keys and values stand below each other in one matrix
    attention.linear[0].weight = np.concatenate([tensors[f"self_attn.{part}_proj.weight"] for part in "qkv"])
    attention.linear[1].weight = tensors["self_attn.o_proj.weight"]
    feed_forward.layer_norm.gamma = tensors["post_attention_layernorm.weight"]
    feed_forward.linear_0.weight = tensors["mlp.gate_proj.weight"]
    feed_forward.linear_0_noact.weight = tensors["mlp.up_proj.weight"]
    feed_forward.linear_1.weight = tensors["mlp.down_proj.weight"]


def _add_vocabulary(spec: Any, checkpoint: Path, config: dict[str, Any]) -> None:
    tokenizer = json.loads((checkpoint / "tokenizer.json").read_text())
    ids = {index: token for token, index in tokenizer["model"]["vocab"].items()}
    ids |= {token["id"]: token["content"] for token in tokenizer["added_tokens"]}
    tokens = [ids.get(index, f"[PAD{index}]") for index in range(config["vocab_size"])]
    spec.register_vocabulary(tokens)
    spec.config.bos_token = tokens[config["bos_token_id"]]
    spec.config.eos_token = tokens[config["eos_token_id"]]
    spec.config.unk_token = ""
