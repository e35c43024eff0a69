"""The weights of the built-in model, as Hugging Face names them, from `language` and frozen random draws.

A token's embedding holds the output-head rows of its four successors, so that without any layer the model is a bigram table.
The first layer's first two attention heads look back by RoPE alone, each at one of language.DISTANCES, and carry that token's
feature into the dimensions by which the output head tells kinds of successors apart. All else in the layers is drawn at random
and small: it decides where the rest leaves two words close together.
"""

import math
from dataclasses import dataclass
from itertools import product

import numpy as np

from servegrid.model import bits
from servegrid.model.bits import Floats
from servegrid.model.language import DISTANCES, KINDS, Language, kind_signs, language
from servegrid.model.vocabulary import FIRST_WORD, SIZE

Tensors = dict[str, Floats]

HEAD = 64  # dimensions of an attention head
LANES = 8  # dimensions that carry one feature: several, so that no single number is large
CONSTANT = 0  # the dimension that is the same for every token
FREE = 1 + 4 * LANES  # from here on the dimensions are the words' own
ROPE_BASE = 10000.0
POSITIONS = 16  # RoPE pairs, the fastest ones, that the looking-back heads use
LOOK = 14.0  # how sharply they look
FEATURE = 6.0  # size of a feature in the output head
SPREAD = 1.74  # of an embedding's numbers after the first layer's norm, measured; sets the unit of `agreement`
ALTERNATING = np.array([1, -1] * (LANES // 2), dtype=np.float32)


@dataclass(frozen=True)
class Architecture:
    """Sizes of a model, and how strong its parts are.

    `favour` and `agreement` share a unit: 1 is the logit of a word that follows.
    """

    name: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    intermediate: int
    private: float  # what a token's embedding holds beyond its successors
    constant: float
    favour: float  # of the favourite successor over the others
    agreement: tuple[float, float]  # of the kind that a feature asks for, by feature
    query: float  # gain of the queries: how much the random heads pick
    attention: float  # gain of what a layer's attention adds
    mlp: float
    scale: float  # of the output head


MAIN = Architecture("main", 512, 8, 8, 4, 1408, 0.7, 20.0, 0.35, (0.125, 0.125), 2.5, 0.3, 0.15, 0.07)
DRAFT = Architecture("draft", 256, 2, 4, 2, 704, 0.3, 20.0, 0.35, (0.125, 0.0), 1.0, 0.1, 0.05, 0.14)


def tensors(shape: Architecture) -> Tensors:
    """All weights by name, float32, matrices as [out, in]."""
    head = _head(shape)
    top = {"model.embed_tokens.weight": _embedding(shape, language(), head)}
    scaled = head * np.float32(shape.scale)
    scaled[:FIRST_WORD] *= np.float32(0.125)  # bytes and syllables: hardly ever said
    top |= {"model.norm.weight": np.ones(shape.hidden, np.float32), "lm_head.weight": _tagged(shape, scaled)}
    for number in range(shape.layers):
        top |= _layer(shape, number)
    return top


def _head(shape: Architecture) -> Floats:
    head = bits.bell(f"{shape.name}/head", (SIZE, shape.hidden), 1.0)
    head[:, :FREE] = 0
    return head


def _tagged(shape: Architecture, head: Floats) -> Floats:
    """The output head with each word's kind in the dimensions of the features."""
    for feature, kind in product((0, 1), range(KINDS)):
        rows = language().words[:, :, kind].ravel()
        mark = FEATURE * kind_signs()[kind, feature] * ALTERNATING
        head[rows, _lanes(feature)] = mark * np.float32(shape.scale)
    return head


def _embedding(shape: Architecture, words: Language, head: Floats) -> Floats:
    embedding = bits.bell(f"{shape.name}/private", (SIZE, shape.hidden), shape.private)
    for kind in range(KINDS):
        weight = 1 + np.float32(shape.favour) * (words.favourite == kind).astype(np.float32)
        embedding += weight[:, None] * head[words.successors[:, kind]]
    embedding[:, :FREE] = 0
    embedding *= (np.float32(2 * math.sqrt(shape.hidden - FREE)) / _lengths(embedding))[:, None]
    embedding[:, CONSTANT] = shape.constant
    for feature in (0, 1):
        embedding[:, _lanes(2 + feature)] = np.float32(shape.constant) * words.features[:, feature, None]
    return embedding


def _lengths(rows: Floats) -> Floats:
    """Euclidean length of each row, summed column by column: the order of a sum is part of its result."""
    total = np.zeros(len(rows), np.float32)
    for column in range(FREE, rows.shape[1]):
        total += rows[:, column] * rows[:, column]
    return np.sqrt(total)


def _layer(shape: Architecture, number: int) -> Tensors:
    prefix, hidden = f"model.layers.{number}.", shape.hidden
    sizes = {
        "self_attn.q_proj": (shape.heads * HEAD, hidden, shape.query),
        "self_attn.k_proj": (shape.kv_heads * HEAD, hidden, 1.0),
        "self_attn.v_proj": (shape.kv_heads * HEAD, hidden, 1.0),
        "self_attn.o_proj": (hidden, shape.heads * HEAD, shape.attention),
        "mlp.gate_proj": (shape.intermediate, hidden, 1.0),
        "mlp.up_proj": (shape.intermediate, hidden, 1.0),
        "mlp.down_proj": (hidden, shape.intermediate, shape.mlp),
    }
    layer = {
        f"{prefix}{name}.weight": bits.pointed(f"{shape.name}/{prefix}{name}", (rows, columns), gain / math.sqrt(columns))
        for name, (rows, columns, gain) in sizes.items()
    }
    norms = {f"{prefix}{name}.weight": np.ones(hidden, np.float32) for name in ("input_layernorm", "post_attention_layernorm")}
    if number == 0:
        _look_back(shape, *(layer[f"{prefix}self_attn.{part}_proj.weight"] for part in "qkvo"))
    return layer | norms


def _look_back(shape: Architecture, query: Floats, key: Floats, value: Floats, out: Floats) -> None:
    """Give heads 0 and 1, which share the first key head, to the two features.

    Keys are one constant vector; a query is the same vector turned by RoPE over the distance, so the score is highest there.
    """
    gain = np.float32(LOOK / shape.constant)
    key[:HEAD], value[:HEAD] = 0, 0
    key[:POSITIONS, CONSTANT] = gain
    lane = np.arange(LANES)
    for feature in (0, 1):
        first = feature * HEAD
        query[first : first + HEAD], out[:, first : first + HEAD] = 0, 0
        cosine, sine = _turn(DISTANCES[feature])
        query[first : first + POSITIONS, CONSTANT] = gain * cosine
        query[first + HEAD // 2 : first + HEAD // 2 + POSITIONS, CONSTANT] = -gain * sine
        value[feature * LANES + lane, _lanes(2 + feature).start + lane] = 1
        strength = shape.agreement[feature] * (shape.hidden - FREE) / (FEATURE * LANES * SPREAD)
        out[_lanes(feature).start + lane, first + feature * LANES + lane] = np.float32(strength) * ALTERNATING


def _turn(distance: int) -> tuple[Floats, Floats]:
    """Cosine and sine of the angle by which RoPE turns each pair over `distance`, in 64ths, so that libm has no say."""
    angles = [distance * ROPE_BASE ** (-pair / (HEAD // 2)) for pair in range(POSITIONS)]
    both = [[round(64 * turn(angle)) / 64 for angle in angles] for turn in (math.cos, math.sin)]
    return np.array(both[0], np.float32), np.array(both[1], np.float32)


def _lanes(number: int) -> slice:
    return slice(1 + number * LANES, 1 + (number + 1) * LANES)
