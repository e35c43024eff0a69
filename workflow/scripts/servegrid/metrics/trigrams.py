"""Character trigrams of texts: how unlike two texts are."""

import numpy as np
import numpy.typing as npt

from servegrid.metrics.language import Points, code_points, grams


def trigrams(text: str) -> Points:
    """All runs of three characters of a text in their order, each as one number; empty for a text of fewer than three."""
    return grams(code_points(text), 3)


def qgram_distance(first: Points, second: Points) -> float:
    """Distance of two texts by their trigrams, 0 (the same ones as often) to 1 (none in common, or a text too short to have any).

    The q-gram distance with q = 3 (Ukkonen 1992, "Approximate string-matching with q-grams and maximal matches", Theoretical
    Computer Science 92), a lower bound of the edit distance in linear time, over its largest possible value.
    """
    if not len(first) or not len(second):
        return 1.0
    return float(np.abs(_differences(first, second)).sum() / (len(first) + len(second)))


def _differences(first: Points, second: Points) -> npt.NDArray[np.int64]:
    """For each trigram of either, its number in `first` less that in `second`.

    Sorted with the side as lowest bit, below the 63 that a trigram takes: to sort numbers is much faster than to sort indices.
    """
    tagged = np.sort(np.concatenate([first << np.uint64(1), (second << np.uint64(1)) | np.uint64(1)]))
    runs, is_second = tagged >> np.uint64(1), tagged & np.uint64(1)
    last = np.flatnonzero(np.append(runs[1:] != runs[:-1], True))
    in_second = np.diff(np.cumsum(is_second.astype(np.int64))[last], prepend=0)
    differences: npt.NDArray[np.int64] = np.diff(last, prepend=-1) - 2 * in_second
    return differences
