"""How well a text fits the language of others, by the characters that follow each other in them."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.uint64]
CODE_POINT_BITS = 21
LONGEST_GRAM = 3
UNSEEN_SHARE = 1 / 256
"""Probability of a character where nothing is known: as of one of as many as a byte has values."""


class Language:
    """Frequencies of one to LONGEST_GRAM characters in texts."""

    def __init__(self, texts: Sequence[str]) -> None:
        points = [code_points(text) for text in texts]
        self._tables = [_Frequencies(points, length) for length in range(1, LONGEST_GRAM + 1)]

    def bits_per_character(self, text: str) -> float:
        """Mean information of a text's characters, each given those before it, in bits; 0 for no text.

        Lengths are interpolated as by Witten and Bell 1991, "The zero-frequency problem" (IEEE Transactions on Information Theory
        37, method C): a longer context counts by how often it was seen, against the kinds of characters that followed it.
        """
        points = code_points(text)
        shares = np.full(len(points), UNSEEN_SHARE)
        for table in self._tables:
            shares = table.refine(points, shares)
        return float(-np.log2(shares).mean()) if len(points) else 0.0


class _Frequencies:
    """How often each run of `length` characters occurs, and what follows each context, a run without its last character."""

    def __init__(self, texts: Sequence[Points], length: int) -> None:
        self._length = length
        runs = np.concatenate([grams(points, length) for points in texts] or [np.empty(0, dtype=np.uint64)])
        self._runs, self._counts = np.unique(runs, return_counts=True)
        self._contexts, starts = np.unique(self._context(self._runs), return_index=True)
        self._kinds = np.diff(np.append(starts, len(self._runs)))
        self._totals = np.add.reduceat(self._counts, starts) if len(starts) else self._kinds

    def _context(self, runs: Points) -> Points:
        return runs >> np.uint64(CODE_POINT_BITS)

    def refine(self, points: Points, shares: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Probabilities of the characters by contexts that are one longer than those of `shares`."""
        runs = grams(points, self._length)
        totals, kinds = (
            _look_up(self._contexts, values, self._context(runs)) for values in (self._totals, self._kinds)
        )
        fallback = shares[self._length - 1 :]
        better = (_look_up(self._runs, self._counts, runs) + kinds * fallback) / np.maximum(1, totals + kinds)
        return np.concatenate([shares[: self._length - 1], np.where(totals > 0, better, fallback)])


def code_points(text: str) -> Points:
    """Unicode numbers of a text's characters."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)


def grams(points: Points, length: int) -> Points:
    """All runs of `length` characters, at most three, in their order, each as one number; none of a text that is shorter."""
    runs = np.zeros(max(0, len(points) - length + 1), dtype=np.uint64)
    for place in range(length):
        runs = (runs << np.uint64(CODE_POINT_BITS)) | points[place : place + len(runs)]
    return runs


def _look_up(keys: Points, values: npt.NDArray[np.int64], wanted: Points) -> npt.NDArray[np.int64]:
    """Value of each wanted key, 0 where it is not among the keys, which are ascending."""
    if not len(keys):
        return np.zeros(len(wanted), dtype=np.int64)
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[places] == wanted, values[places], 0)
