"""Random numbers for the built-in model, frozen: the same bytes on every machine and for ever.

SHAKE-256 gives the bits. Nothing here depends on the version of a random number library, on the CPU or on a maths
library: only integers, and the float operations + - * / sqrt, which IEEE 754 rounds exactly, element by element.
"""

import hashlib
import math

import numpy as np
from numpy.typing import NDArray

_NAMESPACE = "servegrid-tiny/1/"

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]


def _bytes(label: str, count: int) -> bytes:
    return hashlib.shake_256((_NAMESPACE + label).encode()).digest(count)


def integers(label: str, shape: tuple[int, ...], below: int) -> Integers:
    """Uniform integers 0..below-1 of this shape; `label` names the draw (the bias of the modulo is below 2**-32)."""
    draws = np.frombuffer(_bytes(label, 8 * math.prod(shape)), dtype="<u8")
    return (draws % np.uint64(below)).astype(np.int64).reshape(shape)


def integers_16(label: str, shape: tuple[int, ...]) -> NDArray[np.uint16]:
    """Uniform integers 0..65535 of this shape; cheaper than `integers`."""
    return np.frombuffer(_bytes(label, 2 * math.prod(shape)), dtype="<u2").astype(np.uint16).reshape(shape)


def permutation(label: str, count: int) -> Integers:
    """Random permutation of 0..count-1."""
    keys = np.frombuffer(_bytes(label, 8 * count), dtype="<u8")
    return np.argsort(keys, kind="stable").astype(np.int64)


def near_normal(label: str, shape: tuple[int, ...], deviation: float) -> Floats:
    """Nearly normal numbers of mean 0 and standard deviation `deviation`: sums of three 16-bit uniform integers.

    One such integer has the variance (2**32 - 1) / 12, so the sum of three has the deviation 2**15 almost exactly.
    """
    draws = np.frombuffer(_bytes(label, 6 * math.prod(shape)), dtype="<i2").reshape(3, -1)
    total = draws[0].astype(np.int32) + draws[1] + draws[2]
    centred = total.astype(np.float32) + np.float32(1.5)
    scaled: Floats = centred * np.float32(deviation / 2**15)
    return scaled.reshape(shape)
