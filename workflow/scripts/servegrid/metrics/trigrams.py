"""Character trigrams of texts: how unlike two texts are, and whether a text is in the language of others at all."""

from collections.abc import Sequence
from statistics import median

import numpy as np
import numpy.typing as npt

Grams = npt.NDArray[np.uint64]
LEAST_GRAMS = 200
"""Least number of trigrams of a body of text whose frequencies say something of its language."""
LEAST_TEXT_GRAMS, LEAST_BASELINE_GRAMS = 60, 3000
"""Least number of trigrams of a text that is judged by itself, and of the baseline's answers that it is judged by."""
GARBLED_UNSEEN, MOST_USUAL_UNSEEN = 0.9, 0.5
"""Share of trigrams that the baseline nowhere has, from which a text is garbled; and the greatest that is usual of the baseline's own
answers, beyond which nothing is judged. Good text is called garbled in 2 % of sets of 12 passages at most
(tests/unit/metrics/test_text_metrics.py)."""
NEARLY_EMPTY = 0.1
"""Share of the length of the baseline's answers below which answers say nothing."""
CODE_POINT_BITS = 21


def trigrams(text: str) -> Grams:
    """All runs of three characters of a text in their order, each as one number; empty for a text of fewer than three."""
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    first, second, third = points[:-2], points[1:-1], points[2:]
    return (first << np.uint64(2 * CODE_POINT_BITS)) | (second << np.uint64(CODE_POINT_BITS)) | third


def qgram_distance(first: Grams, second: Grams) -> float:
    """Distance of two texts by their trigrams, 0 (the same ones as often) to 1 (none in common, or a text too short to have any).

    The q-gram distance with q = 3 (Ukkonen 1992, "Approximate string-matching with q-grams and maximal matches", Theoretical
    Computer Science 92), a lower bound of the edit distance in linear time, over its largest possible value.
    """
    if not len(first) or not len(second):
        return 1.0
    return float(np.abs(_weighted_difference(first, second, 1, 1)).sum() / (len(first) + len(second)))


def profile_distance(first: Grams, second: Grams) -> float:
    """Total variation distance between the trigram frequencies of two bodies of text, 0 (alike) to 1 (none in common)."""
    weights = 1 / len(first), 1 / len(second)
    return float(np.abs(_weighted_difference(first, second, *weights)).sum() / 2)


def _weighted_difference(first: Grams, second: Grams, weight: float, second_weight: float) -> npt.NDArray[np.float64]:
    """For each trigram of either, its number in `first` times `weight`, less that in `second` times `second_weight`.

    Sorted with the side as lowest bit, below the 63 that a trigram takes: to sort numbers is much faster than to sort indices.
    """
    tagged = np.sort(np.concatenate([first << np.uint64(1), (second << np.uint64(1)) | np.uint64(1)]))
    grams, is_second = tagged >> np.uint64(1), tagged & np.uint64(1)
    last = np.flatnonzero(np.append(grams[1:] != grams[:-1], True))
    in_second = np.diff(np.cumsum(is_second.astype(np.int64))[last], prepend=0)
    return weight * (np.diff(last, prepend=-1) - in_second) - second_weight * in_second


def foreignness(texts: Sequence[Grams], baseline: Sequence[Grams], unrelated: Sequence[Grams]) -> float | None:
    """Score of how foreign texts are to the baseline's language: 0 as its own answers, 1 nothing in common; None: too little text.

    Texts that differ early are unlike each other though both are good. So each side is compared, as a whole, with the baseline's
    answers to other prompts (`profile_distance`): good text lies as far from them as the baseline's own text, and garbage
    farther. The excess is given as a share of the largest that is possible. Frequencies of n-grams tell languages and encodings
    apart from little text: Cavnar and Trenkle 1994, "N-gram-based text categorization".

    Args:
        texts: trigrams of each text to be judged.
        baseline: of the baseline's answers to the same prompts.
        unrelated: of the baseline's answers to other prompts.
    """
    judged, usual, rest = map(_concatenated, (texts, baseline, unrelated))
    if len(usual) >= LEAST_GRAMS and len(judged) < NEARLY_EMPTY * len(usual):
        return 1.0
    if min(map(len, (judged, usual, rest))) < LEAST_GRAMS:
        return None
    usual_distance = profile_distance(usual, rest)
    if usual_distance >= 1:
        return None
    return max(0.0, (profile_distance(judged, rest) - usual_distance) / (1 - usual_distance))


def _concatenated(texts: Sequence[Grams]) -> Grams:
    return np.concatenate(texts) if texts else np.empty(0, dtype=np.uint64)


def worst_text(texts: Sequence[Grams], baseline: Sequence[Grams], unrelated: Sequence[Grams]) -> float | None:
    """Score of the single most garbled text (a mean would hide it), 0 to 1; None if no text is long enough to be judged alone.

    By the share of a text's trigrams that the baseline's answers to other prompts nowhere have. The score is 0 where that share is
    below GARBLED_UNSEEN, else its excess over what is usual, as a share of the largest that is possible. Usual is the greater of the
    share of the baseline's answer to the same prompt and of the median of its answers; beyond MOST_USUAL_UNSEEN a text is not judged.

    Args:
        texts: trigrams of each text to be judged.
        baseline: of the baseline's answers to the same prompts, in the same order.
        unrelated: of the baseline's answers to other prompts.
    """
    if sum(map(len, unrelated)) < LEAST_BASELINE_GRAMS:
        return None
    seen_grams = np.unique(np.concatenate(unrelated))
    shares = [
        (_unseen_share(text, seen_grams), _unseen_share(answer, seen_grams))
        for text, answer in zip(texts, baseline, strict=True)
        if len(text) >= LEAST_TEXT_GRAMS
    ]
    middle = median(usual for _, usual in shares) if shares else 1.0
    judged = [(share, usual) for share, own_usual in shares if (usual := max(middle, own_usual)) <= MOST_USUAL_UNSEEN]
    scores = ((share - usual) / (1 - usual) if share >= GARBLED_UNSEEN else 0.0 for share, usual in judged)
    return max(scores, default=None)


def _unseen_share(text: Grams, seen_grams: Grams) -> float:
    """Share of a text's trigrams that are not among `seen_grams`, which are ascending; 0 for a text without any."""
    if not len(text):
        return 0.0
    indices = np.minimum(np.searchsorted(seen_grams, text), len(seen_grams) - 1)
    return float((seen_grams[indices] != text).mean())
