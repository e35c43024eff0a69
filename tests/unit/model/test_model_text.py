"""What the built-in model says, computed here with a Llama of a few lines of numpy."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from servegrid.model import gguf_file
from servegrid.model.agreement import PAIRS, TURNS
from servegrid.model.architecture import DRAFT, HEAD_DIM, MAIN, NORM_EPSILON, ROPE_THETA, Architecture
from servegrid.model.language import DISTANCES, language
from servegrid.prompts.word_source import word_source_for

Array = NDArray[np.float32]
Weights = Callable[[str], Array]


def normed(x: Array, gain: Array) -> Array:
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + np.float32(NORM_EPSILON)) * gain


def rotated(x: Array, pairs: tuple[Any, Any]) -> Array:
    """RoPE over [head, token, HEAD_DIM]; `pairs` tells which two dimensions turn together."""
    angles = np.outer(np.arange(x.shape[1]), ROPE_THETA ** (-np.arange(HEAD_DIM // 2) / (HEAD_DIM // 2)))
    cosine, sine = np.cos(angles), np.sin(angles)
    turned = np.empty_like(x)
    turned[..., pairs[0]] = x[..., pairs[0]] * cosine - x[..., pairs[1]] * sine
    turned[..., pairs[1]] = x[..., pairs[0]] * sine + x[..., pairs[1]] * cosine
    return turned


def attention(x: Array, weights: Weights, prefix: str, sizes: Architecture, pairs: tuple[Any, Any]) -> Array:
    query, key, value = (
        (x @ weights(f"{prefix}.{name}").T).reshape(len(x), -1, HEAD_DIM).swapaxes(0, 1)
        for name in ("attn_q", "attn_k", "attn_v")
    )
    group = sizes.heads // sizes.kv_heads
    query, key, value = rotated(query, pairs), rotated(key, pairs).repeat(group, 0), value.repeat(group, 0)
    scores = query @ key.swapaxes(1, 2) / math.sqrt(HEAD_DIM) + np.triu(np.full((len(x), len(x)), -1e9), 1)
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    mixed = (shares / shares.sum(-1, keepdims=True)) @ value
    return np.asarray(mixed.swapaxes(0, 1).reshape(len(x), -1) @ weights(f"{prefix}.attn_output").T, dtype=np.float32)


def logits(tokens: list[int], weights: Weights, sizes: Architecture, pairs: tuple[Any, Any]) -> Array:
    """[token, vocabulary]"""
    x = weights("token_embd")[tokens]
    for layer in range(sizes.layers):
        x = x + attention(normed(x, weights(f"blk.{layer}.attn_norm")), weights, f"blk.{layer}", sizes, pairs)
        y = normed(x, weights(f"blk.{layer}.ffn_norm"))
        gate = y @ weights(f"blk.{layer}.ffn_gate").T
        x = (
            x
            + (gate / (1 + np.exp(-gate)) * (y @ weights(f"blk.{layer}.ffn_up").T)) @ weights(f"blk.{layer}.ffn_down").T
        )
    return normed(x, weights("output_norm")) @ weights("output").T


HALVES = (slice(0, HEAD_DIM // 2), slice(HEAD_DIM // 2, HEAD_DIM))  # of a Hugging Face checkpoint
NEIGHBOURS = (slice(0, HEAD_DIM, 2), slice(1, HEAD_DIM, 2))  # of GGUF


def weights_of(checkpoint: Path) -> Weights:
    tensors = load_file(checkpoint / "model.safetensors")
    names = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}

    def weights(name: str) -> Array:
        if name in names:
            return tensors[f"{names[name]}.weight"]
        _, layer, ours = name.split(".")
        theirs = next(hf for hf, short in gguf_file._IN_A_LAYER.items() if short == ours)
        return tensors[f"model.layers.{layer}.{theirs}.weight"]

    return weights


@pytest.fixture(scope="module")
def tokens(tiny_model: Path) -> list[int]:
    """300 words: three texts of one topic each."""
    source = word_source_for(tiny_model / "tokenizer.json")
    text = "".join(f" {word}" for label in "abc" for word in source.words(label, 100))
    return list(Tokenizer.from_file(str(tiny_model / "tokenizer.json")).encode(text).ids)


@pytest.fixture(scope="module")
def answers(tiny_model: Path, tokens: list[int]) -> NDArray[np.int64]:
    """The best next token after each."""
    return logits(tokens, weights_of(tiny_model), MAIN, HALVES).argmax(-1)


def test_every_answer_is_a_successor(tokens: list[int], answers: NDArray[np.int64]) -> None:
    assert all(answer in language().successors[token] for token, answer in zip(tokens, answers, strict=True))


def test_agreement_mostly_decides_and_context_sometimes(tokens: list[int], answers: NDArray[np.int64]) -> None:
    by_rule = []
    for place in range(max(DISTANCES), len(tokens)):
        if language().favourite[tokens[place]] < 0:
            features = [language().features[tokens[place - back], k] > 0 for k, back in enumerate(DISTANCES)]
            kind = sum(int(feature) << k for k, feature in enumerate(features))
            by_rule.append(answers[place] == language().successors[tokens[place], kind])
    assert 0.8 < np.mean(by_rule) < 1


def test_favourites_win_mostly_but_not_always(tokens: list[int], answers: NDArray[np.int64]) -> None:
    tables = language()
    favoured = [place for place, token in enumerate(tokens) if tables.favourite[token] >= 0]
    wins = [answers[place] == tables.successors[tokens[place], tables.favourite[tokens[place]]] for place in favoured]
    assert 0.4 < np.mean(wins) < 0.95


def test_the_draft_is_right_mostly_but_not_always(
    tiny_draft: Path, tokens: list[int], answers: NDArray[np.int64]
) -> None:
    drafted = logits(tokens, weights_of(tiny_draft), DRAFT, HALVES).argmax(-1)
    assert 0.5 < (drafted == answers).mean() < 0.95


def test_gguf_computes_the_same(tiny_draft: Path, tmp_path: Path, tokens: list[int]) -> None:
    """Its queries and keys lie in another order, as RoPE turns other pairs there."""
    gguf_file.convert(tiny_draft, tmp_path / "draft.gguf", "f32")
    reader = gguf.GGUFReader(tmp_path / "draft.gguf")
    tensors = {tensor.name: tensor.data for tensor in reader.tensors}
    gguf_logits = logits(tokens, lambda name: tensors[f"{name}.weight"], DRAFT, NEIGHBOURS)
    assert np.allclose(gguf_logits, logits(tokens, weights_of(tiny_draft), DRAFT, HALVES), atol=1e-3)


def test_coarse_weights_move_an_answer_now_and_then(
    tiny_model: Path, tokens: list[int], answers: NDArray[np.int64]
) -> None:
    exact = weights_of(tiny_model)

    def coarse(name: str) -> Array:
        weight = exact(name)
        if weight.ndim == 1:
            return weight
        steps = np.abs(weight).max(-1, keepdims=True) / 7  # 4 bits a weight, one scale a row
        return np.round(weight / steps) * steps

    changed = (logits(tokens, coarse, MAIN, HALVES).argmax(-1) != answers).mean()
    assert 0 < changed < 0.5


def test_the_turns_are_those_of_rope() -> None:
    assert set(DISTANCES) <= set(TURNS)
    for distance, (cosines, sines) in TURNS.items():
        angles = [distance / ROPE_THETA ** (pair / (HEAD_DIM // 2)) for pair in range(PAIRS)]
        assert list(cosines) == [round(64 * math.cos(angle)) for angle in angles]
        assert list(sines) == [round(64 * math.sin(angle)) for angle in angles]


def test_no_row_is_empty(tiny_model: Path, tiny_draft: Path) -> None:
    """An 8-bit format with a scale for each row would divide by zero."""
    for folder in (tiny_model, tiny_draft):
        for name, tensor in load_file(folder / "model.safetensors").items():
            assert np.abs(tensor).reshape(len(tensor), -1).max(-1).min() > 0, name
