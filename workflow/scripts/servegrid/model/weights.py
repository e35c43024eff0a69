"""Weights of the built-in model by their Hugging Face names: a language (`language`) and frozen random draws.

A token's embedding is the sum of the output vectors of its successors, so that it points at all four of them; layer 0
reads off which of them agrees with the words before (`agreement`); all other weights are random and add a little,
which sometimes decides. Quantization therefore changes a text now and then, as it does with a trained model.
"""

import math

import numpy as np

from servegrid.model import agreement, frozen_random
from servegrid.model.architecture import CONSTANT, FEATURES, FREE, HEAD_DIM, LANES, VERDICTS, Architecture
from servegrid.model.frozen_random import Floats
from servegrid.model.language import KINDS, kind_signs, language
from servegrid.model.vocabulary import FIRST_WORD, SIZE

FREE_SIZE = 2.0  # root mean square of an embedding's random dimensions
LANE_SIZE = 8.0  # of its features and constant: an exact maximum, so that 8-bit formats hold them without error
VERDICT_WEIGHT = 6.0  # of the output head for the verdicts, the largest there, for the same reason
ALTERNATING = np.array([1, -1] * (LANES // 2), dtype=np.float32)
"""The signs of a verdict's lanes. 8-bit kernels for CPUs without VNNI add the products of neighbours in 16 bits, which
overflow where two neighbouring weights are large and of the same sign."""


def tensors(architecture: Architecture) -> dict[str, Floats]:
    """All weights by name, float32, in the order of the layers."""
    word_vectors = _word_vectors(architecture)
    weights = {"model.embed_tokens.weight": _embeddings(architecture, word_vectors)}
    for layer in range(architecture.layers):
        weights |= _layer(architecture, f"model.layers.{layer}.")
    agreement.install_agreement_heads(
        weights, architecture, LANE_SIZE / _embedding_rms(architecture), VERDICT_WEIGHT * ALTERNATING
    )
    weights["model.norm.weight"] = np.ones(architecture.hidden, dtype=np.float32)
    weights["lm_head.weight"] = _output_head(architecture, word_vectors)
    return weights


def _word_vectors(architecture: Architecture) -> Floats:
    """Random vector of each token, [token, hidden], zero in the dimensions that have a meaning."""
    vectors = frozen_random.near_normal(f"{architecture.name}/words", (SIZE, architecture.hidden), 1.0)
    vectors[:, :FREE] = 0
    return vectors


def _embeddings(architecture: Architecture, word_vectors: Floats) -> Floats:
    """Embeddings, [token, hidden]: the successors' vectors, something of the token's own, its features and the constant."""
    tables = language()
    total = frozen_random.near_normal(f"{architecture.name}/private", word_vectors.shape, architecture.private)
    for kind in range(KINDS):
        favoured = (tables.favourite == kind).astype(np.float32)
        total += (np.float32(1) + np.float32(architecture.favour) * favoured)[:, None] * word_vectors[
            tables.successors[:, kind]
        ]
    total *= (np.float32(FREE_SIZE * math.sqrt(architecture.hidden - FREE)) / _row_lengths(total[:, FREE:]))[:, None]
    total[:, :FREE] = 0
    total[:, CONSTANT] = LANE_SIZE
    for feature, lanes in enumerate(FEATURES):
        total[:, lanes] = np.float32(LANE_SIZE) * tables.features[:, feature, None].astype(np.float32)
    return total


def _row_lengths(rows: Floats) -> Floats:
    """Euclidean length of each row, summed column by column: the order of a sum changes its last bits."""
    squares = np.zeros(len(rows), dtype=np.float32)
    for column in rows.T:
        squares += column * column
    return np.sqrt(squares)


def _embedding_rms(architecture: Architecture) -> float:
    """Root mean square of an embedding, the same for all tokens."""
    free, lanes = architecture.hidden - FREE, 2 * LANES + 1
    return math.sqrt((free * FREE_SIZE**2 + lanes * LANE_SIZE**2) / architecture.hidden)


def _output_head(architecture: Architecture, word_vectors: Floats) -> Floats:
    """Output head, [token, hidden]; tokens that are no words have small weights, so that they are never the best next token."""
    head = word_vectors.copy()
    for kind, signs in enumerate(kind_signs()):
        of_kind = language().words[:, :, kind].ravel()
        for lanes, sign in zip(VERDICTS, signs, strict=True):
            head[of_kind, lanes] = np.float32(VERDICT_WEIGHT) * sign * ALTERNATING
    head *= np.float32(architecture.scale)
    head[:FIRST_WORD] *= np.float32(0.125)
    return head


def _layer(architecture: Architecture, prefix: str) -> dict[str, Floats]:
    hidden, wide = architecture.hidden, architecture.intermediate
    queries, keys = architecture.heads * HEAD_DIM, architecture.kv_heads * HEAD_DIM
    matrices = {
        "self_attn.q_proj": ((queries, hidden), architecture.query),
        "self_attn.k_proj": ((keys, hidden), 1.0),
        "self_attn.v_proj": ((keys, hidden), 1.0),
        "self_attn.o_proj": ((hidden, queries), architecture.attention),
        "mlp.gate_proj": ((wide, hidden), 1.0),
        "mlp.up_proj": ((wide, hidden), 1.0),
        "mlp.down_proj": ((hidden, wide), architecture.mlp),
    }
    ones = np.ones(hidden, dtype=np.float32)
    layer = {f"{prefix}{norm}.weight": ones for norm in ("input_layernorm", "post_attention_layernorm")}
    for name, (shape, gain) in matrices.items():
        layer[f"{prefix}{name}.weight"] = _heavy_tailed(f"{architecture.name}/{prefix}{name}", shape, gain)
    return layer


def _heavy_tailed(label: str, shape: tuple[int, int], gain: float) -> Floats:
    """Random weights of deviation gain / sqrt(inputs), with more large ones than a normal distribution has.

    Trained models are so too. A uniform factor u in (0, 1) has the mean square 1/3, hence the root of 3.
    """
    factor = frozen_random.integers_16(f"{label}/tail", shape).astype(np.float32) + np.float32(0.5)
    return frozen_random.near_normal(label, shape, gain * math.sqrt(3 / shape[1])) * (factor * np.float32(2**-16))
