"""A random Llama of under a megabyte, the same weights for every engine, so that real servers can be tried in a second.

`python tiny_llama.py DIR` writes the CTranslate2 model; it runs in CTranslate2's own environment, which has no gguf.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

HIDDEN, LAYERS, HEADS, KV_HEADS, FFN = 64, 2, 4, 2, 128
CONTEXT = 512
EPSILON = 1e-5
BOS, EOS = "<|begin|>", "<|end|>"

Weights = dict[str, NDArray[np.float32]]


def tokenizer() -> Tokenizer:
    """Byte-level BPE with a few merges: every byte is a token, so random text is full of broken UTF-8."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    corpus = ["the server answers the client, the client measures the server; größer, 速い, быстрее"] * 4
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=[BOS, EOS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    made.train_from_iterator(corpus, trainer)
    return made


def vocabulary(made: Tokenizer) -> list[str]:
    """The tokens by id."""
    return [made.id_to_token(i) or "" for i in range(made.get_vocab_size())]


def weights(vocab: int, layers: int = LAYERS) -> Weights:
    """Random Hugging Face Llama weights; one layer's are the beginning of two layers'."""
    rng = np.random.default_rng(7)
    head = HIDDEN // HEADS

    def normal(*shape: int, scale: float = 1.0) -> NDArray[np.float32]:
        return (rng.standard_normal(shape) * scale).astype(np.float32)

    made = {"embed": normal(vocab, HIDDEN), "lm_head": normal(vocab, HIDDEN)}
    made |= {"norm": np.ones(HIDDEN, np.float32)}
    for i in range(layers):
        made[f"{i}.input_norm"] = made[f"{i}.post_norm"] = np.ones(HIDDEN, np.float32)
        made[f"{i}.q"] = normal(HEADS * head, HIDDEN, scale=0.2)
        made[f"{i}.k"] = normal(KV_HEADS * head, HIDDEN, scale=0.2)
        made[f"{i}.v"] = normal(KV_HEADS * head, HIDDEN, scale=0.2)
        made[f"{i}.o"] = normal(HIDDEN, HEADS * head, scale=0.1)
        made[f"{i}.gate"], made[f"{i}.up"] = normal(FFN, HIDDEN, scale=0.1), normal(FFN, HIDDEN, scale=0.1)
        made[f"{i}.down"] = normal(HIDDEN, FFN, scale=0.1)
    return made


def _permuted(weight: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Rows in the interleaved order of GGUF's rotary embedding."""
    rows = weight.reshape(heads, 2, weight.shape[0] // heads // 2, weight.shape[1])
    return np.ascontiguousarray(rows.swapaxes(1, 2).reshape(weight.shape))


def write_gguf(path: Path, layers: int = LAYERS) -> None:
    """Writes the model as GGUF, float32."""
    import gguf

    made = tokenizer()
    tokens = vocabulary(made)
    writer = gguf.GGUFWriter(path, "llama")
    _gguf_header(writer, made, tokens, layers)
    w = weights(len(tokens), layers)
    names = {"embed": "token_embd", "lm_head": "output", "norm": "output_norm"}
    part_names = {"input_norm": "attn_norm", "post_norm": "ffn_norm", "q": "attn_q", "k": "attn_k", "v": "attn_v"}
    part_names |= {"o": "attn_output", "gate": "ffn_gate", "up": "ffn_up", "down": "ffn_down"}
    for name, weight in w.items():
        layer, _, part = name.rpartition(".")
        if part in ("q", "k"):
            weight = _permuted(weight, HEADS if part == "q" else KV_HEADS)
        writer.add_tensor(f"blk.{layer}.{part_names[part]}.weight" if layer else f"{names[part]}.weight", weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _gguf_header(writer: Any, made: Tokenizer, tokens: list[str], layers: int) -> None:
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(EPSILON)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in (BOS, EOS) else 1 for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in json.loads(made.to_str())["model"]["merges"]])
    writer.add_bos_token_id(tokens.index(BOS))
    writer.add_eos_token_id(tokens.index(EOS))
    writer.add_add_bos_token(False)


def write_ctranslate2(folder: Path) -> None:
    """Writes the model as CTranslate2 has it, float32, with tokenizer.json beside."""
    from ctranslate2.specs import common_spec, transformer_spec

    made = tokenizer()
    w = weights(made.get_vocab_size())
    spec = transformer_spec.TransformerDecoderModelSpec.from_config(
        LAYERS,
        HEADS,
        activation=common_spec.Activation.SWISH,
        ffn_glu=True,
        rms_norm=True,
        rotary_dim=0,
        rotary_interleave=False,
        num_heads_kv=KV_HEADS,
    )
    decoder = spec.decoder
    decoder.scale_embeddings = False
    decoder.embeddings.weight, decoder.layer_norm.gamma = w["embed"], w["norm"]
    decoder.projection.weight = w["lm_head"]
    for i, layer in enumerate(decoder.layer):
        attention, ffn = layer.self_attention, layer.ffn
        attention.layer_norm.gamma, ffn.layer_norm.gamma = w[f"{i}.input_norm"], w[f"{i}.post_norm"]
        attention.linear[0].weight = np.concatenate([w[f"{i}.q"], w[f"{i}.k"], w[f"{i}.v"]])
        attention.linear[1].weight = w[f"{i}.o"]
        ffn.linear_0.weight, ffn.linear_0_noact.weight = w[f"{i}.gate"], w[f"{i}.up"]
        ffn.linear_1.weight = w[f"{i}.down"]
    spec.config.bos_token, spec.config.eos_token, spec.config.unk_token = BOS, EOS, ""
    spec.config.layer_norm_epsilon = EPSILON
    spec.register_vocabulary(vocabulary(made))
    folder.mkdir(parents=True, exist_ok=True)
    spec.validate()
    spec.save(str(folder))
    made.save(str(folder / "tokenizer.json"))


if __name__ == "__main__":
    write_ctranslate2(Path(sys.argv[1]))
