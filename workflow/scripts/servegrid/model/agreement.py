"""The part of layer 0 that makes words agree: two attention heads that look back a fixed distance.

Head k looks at the token DISTANCES[k] places back, whatever stands there, and copies that token's feature k into the
verdict k, where the output head finds it. Query and key hold nothing but the constant dimension, so that only RoPE's
rotation tells positions apart: the score of the token d places back is the sum of cos((d - DISTANCES[k]) angle) over
the pairs used.
"""

import math

import numpy as np
from numpy.typing import NDArray

from servegrid.model.architecture import CONSTANT, FEATURES, FREE, HEAD_DIM, LANES, VERDICTS, Architecture
from servegrid.model.frozen_random import Floats
from servegrid.model.language import DISTANCES

PAIRS = 16  # the fastest of the 32 pairs that RoPE rotates
SHARPNESS = 34.0  # score of a match per pair, before the division by sqrt(HEAD_DIM)

TURNS = {
    2: (
        (-27, 5, 28, 43, 52, 57, 60, 62, 63, 63, 64, 64, 64, 64, 64, 64),
        (58, 64, 58, 48, 38, 29, 22, 17, 13, 10, 7, 5, 4, 3, 2, 2),
    ),
    6: (
        (61, -14, -62, -52, -21, 9, 31, 45, 53, 58, 60, 62, 63, 63, 64, 64),
        (-18, -63, -15, 37, 61, 63, 56, 46, 36, 28, 21, 16, 12, 9, 7, 5),
    ),
}
"""64 cos and 64 sin of distance / 10000**(i / 32) for i = 0..15, rounded: how far RoPE turns pair i over a distance.

Literals, because a maths library may round the last bit otherwise on another machine."""


def install_agreement_heads(
    weights: dict[str, Floats], architecture: Architecture, lane: float, verdict: Floats
) -> None:
    """Overwrite the first two query heads of layer 0, and the key and value head they share.

    Args:
        weights: The model's weights; changed.
        architecture: Whose weights they are.
        lane: Value of a feature or of the constant after layer 0's norm.
        verdict: The output head's weights for a verdict of 1, [LANES].
    """
    query, key, value, output = (weights[f"model.layers.0.self_attn.{name}_proj.weight"] for name in "qkvo")
    strength = np.float32(math.sqrt(SHARPNESS) / lane)
    key[:HEAD_DIM] = 0
    key[:HEAD_DIM, CONSTANT] = strength * _rope_vector(np.ones(PAIRS), np.zeros(PAIRS))
    for feature, distance in enumerate(DISTANCES):
        head = slice(feature * HEAD_DIM, (feature + 1) * HEAD_DIM)
        copied = slice(feature * LANES, (feature + 1) * LANES)
        query[head] = 0
        query[head, CONSTANT] = strength * _query_looking_back(distance)
        value[copied] = 0
        value[copied, FEATURES[feature]] = np.eye(LANES, dtype=np.float32)
        output[:, head] = 0
        gain = _lane_gain(architecture.agreement[feature], architecture, lane, verdict)
        output[VERDICTS[feature], head][:, copied] = np.diag(gain)


def _query_looking_back(distance: int) -> Floats:
    """Query, [HEAD_DIM], whose best match is the constant key `distance` places back."""
    cosines, sines = np.array(TURNS[distance]) / 64
    return _rope_vector(cosines, -sines)


def _rope_vector(first: NDArray[np.float64], second: NDArray[np.float64]) -> Floats:
    """Query or key, [HEAD_DIM], whose first PAIRS RoPE pairs are given and whose others are negligible.

    The others are not quite zero, since formats with a scale for each row of a matrix may divide by zero for empty rows.
    """
    vector = np.full(HEAD_DIM, 2.0**-10, dtype=np.float32)
    vector[:PAIRS] = first
    vector[HEAD_DIM // 2 : HEAD_DIM // 2 + PAIRS] = second
    vector[vector == 0] = 2.0**-10
    return vector


def _lane_gain(agreement: float, architecture: Architecture, lane: float, verdict: Floats) -> Floats:
    """Factor of each copied lane, [LANES], with which the verdict moves a logit by `agreement` successors.

    A successor's own logit is about hidden - FREE, before scale and norm; LANES verdicts of lane * gain meet weights.
    """
    weight = float(abs(verdict[0]))
    gain = agreement * (architecture.hidden - FREE) / (weight * LANES * lane)
    return np.float32(gain) * np.sign(verdict)
