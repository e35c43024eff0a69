"""How unlike two texts are, and whether a text is in the language of others at all: by the runs of three characters in them."""

from collections.abc import Sequence
from statistics import median

import numpy as np
import numpy.typing as npt

Grams = npt.NDArray[np.uint64]
LEAST_GRAMS = 200
"""A profile of fewer trigrams says nothing of a language."""
LEAST_OF_ONE, LEAST_BODY = 60, 3000
"""Trigrams from which a text is judged by itself, and which the baseline's answers must have for it."""
STRANGE, USUAL = 0.9, 0.5
"""Share of trigrams that the baseline nowhere has, from which a text is strange, unless its own answers have more than the second.
Good text is told so of in 2 % of sets of 12 passages at most (tests/unit/test_sameness.py)."""
NEARLY_NOTHING = 0.1
"""Share of the length of the baseline's answers below which answers say nothing."""
CODE_POINT_BITS = 21


def trigrams(text: str) -> Grams:
    """All runs of three characters, each as one number."""
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    first, second, third = points[:-2], points[1:-1], points[2:]
    return (first << np.uint64(2 * CODE_POINT_BITS)) | (second << np.uint64(CODE_POINT_BITS)) | third


def distance(one: Grams, other: Grams) -> float:
    """Distance of two texts' trigrams, 0 (the same ones as often) to 1 (none in common, or a text too short to have any).

    The q-gram distance with q = 3 (Ukkonen 1992, "Approximate string-matching with q-grams and maximal matches", Theoretical
    Computer Science 92), a lower bound of the edit distance in linear time, over its largest possible value.
    """
    if not len(one) or not len(other):
        return 1.0
    return float(np.abs(_excess(one, other, 1, 1)).sum() / (len(one) + len(other)))


def profile_distance(one: Grams, other: Grams) -> float:
    """Total variation distance between the trigram frequencies of two bodies of text, 0 (alike) to 1 (none in common)."""
    return float(np.abs(_excess(one, other, 1 / len(one), 1 / len(other))).sum() / 2)


def _excess(one: Grams, other: Grams, weight: float, other_weight: float) -> npt.NDArray[np.float64]:
    """For each trigram of either, its number in `one` times `weight`, less that in `other` times `other_weight`.

    Sorted with the side as lowest bit, below the 63 that a trigram takes: to sort numbers is much faster than to sort places.
    """
    tagged = np.sort(np.concatenate([one << np.uint64(1), (other << np.uint64(1)) | np.uint64(1)]))
    grams, from_other = tagged >> np.uint64(1), tagged & np.uint64(1)
    last = np.flatnonzero(np.append(grams[1:] != grams[:-1], True))
    in_other = np.diff(np.cumsum(from_other.astype(np.int64))[last], prepend=0)
    return weight * (np.diff(last, prepend=-1) - in_other) - other_weight * in_other


def foreign(mine: Sequence[Grams], theirs: Sequence[Grams], unrelated: Sequence[Grams]) -> float | None:
    """How foreign texts are to the baseline's language: 0 as its own answers, 1 nothing in common; None: too little text.

    Texts that part early are unlike each other though both are good. So each side is held, as a whole, against the baseline's
    answers to other prompts (`profile_distance`): good text lies as far from them as the baseline's own text, and garbage
    farther. The excess is given as a share of the largest that is possible. Frequencies of n-grams tell languages and encodings
    apart from little text: Cavnar and Trenkle 1994, "N-gram-based text categorization".

    Args:
        mine: trigrams of each text to be judged.
        theirs: of the baseline's answers to the same prompts.
        unrelated: of the baseline's answers to other prompts.
    """
    judged, own, rest = map(_together, (mine, theirs, unrelated))
    if len(own) >= LEAST_GRAMS and len(judged) < NEARLY_NOTHING * len(own):
        return 1.0
    if min(map(len, (judged, own, rest))) < LEAST_GRAMS:
        return None
    usual = profile_distance(own, rest)
    return max(0.0, (profile_distance(judged, rest) - usual) / (1 - usual)) if usual < 1 else None


def _together(texts: Sequence[Grams]) -> Grams:
    return np.concatenate(texts) if texts else np.empty(0, dtype=np.uint64)


def strangest(judged: Sequence[Grams], own: Sequence[Grams], unrelated: Sequence[Grams]) -> float | None:
    """As `foreign`, of the most foreign single text, which would be lost among many good ones; None: no text can be judged so.

    By the share of a text's trigrams that the baseline's answers to other prompts nowhere have: 0 below STRANGE, else its excess over
    that of the baseline's answer to the same prompt and of half of its answers, as a share of the largest that is possible.
    """
    if sum(map(len, unrelated)) < LEAST_BODY:
        return None
    known = np.unique(np.concatenate(unrelated))
    each = [
        (_unseen(one, known), _unseen(other, known))
        for one, other in zip(judged, own, strict=True)
        if len(one) >= LEAST_OF_ONE
    ]
    middle = median(share for _, share in each) if each else 1.0
    told = [(one, usual) for one, other in each if (usual := max(middle, other)) <= USUAL]
    return max(((one - usual) / (1 - usual) if one >= STRANGE else 0.0 for one, usual in told), default=None)


def _unseen(text: Grams, known: Grams) -> float:
    """Share of the trigrams that are not among `known`, which are ascending; of a text without any 0."""
    if not len(text):
        return 0.0
    places = np.minimum(np.searchsorted(known, text), len(known) - 1)
    return float((known[places] != text).mean())
