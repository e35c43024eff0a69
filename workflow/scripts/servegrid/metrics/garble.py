"""Answers that are no good text any more: rubbish, a loop, or one text for every prompt, each held against a baseline's answers.

Good models loop and repeat themselves too (Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration"), so what the
baseline does by itself is no garble. What is good text in its language but says something wrong is none either.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from statistics import median

import numpy as np
import numpy.typing as npt

from servegrid.metrics.language import Language, Points, code_points

Flags = npt.NDArray[np.bool_]
LEAST_CHARACTERS = 60
"""Length from which an answer is judged; what is shorter says too little of itself."""
FOREIGN_TOGETHER, FOREIGN_ALONE = 1.5, 2.2
"""Times the usual bits per character from which an answer is rubbish as one of many, and from which by itself."""
LEAST_MORE_BITS = 3.0
"""Bits per character beyond the usual that rubbish has at least: where all texts are much alike, a few odd characters are many times as odd."""
BEYOND_OWN = 1.1
"""Times the most of the baseline's own answers that one answer has, at least, to be rubbish by itself."""
LOOPED_FROM = 1 / 3
"""Share of an answer (0 to 1) that repeats with one period, from which it loops."""
LEAST_LOOP = 40
LONGEST_PERIOD, LEAST_PERIODS = 200, 3
"""Characters that a loop has at least, that its period has at most, and how often that occurs."""
REPEATED_FROM = 0.8
"""Share of the shorter of two answers (0 to 1) by which both begin alike, from which they are one text."""
RUN = 8
"""Characters by which it is seen quickly that a text does not loop."""
NEARLY_EMPTY = 0.1
"""Share of the length of the baseline's answers below which answers say nothing."""
SIGNIFICANCE = 0.003
"""Of the sign test by which more answers are flagged than the baseline's."""
LEAST_FLAGGED, LEAST_FLAGGED_SHARE = 5, 0.2
"""Answers, and share of the answers, that are flagged at least where none of the baseline's is."""
FOLDS = 4


@dataclass(frozen=True)
class Reference:
    """A baseline's answers, one for each prompt, as good text is measured by them."""

    texts: Sequence[str]

    @cached_property
    def languages(self) -> list[Language]:
        """For each of FOLDS parts of the answers, the language of the others, so that no answer is measured by itself."""
        return [
            Language([text for place, text in enumerate(self.texts) if place % FOLDS != fold]) for fold in range(FOLDS)
        ]

    @cached_property
    def bits(self) -> list[float]:
        """Bits per character of each answer, by the language of others."""
        return [self.bits_of(text, place) for place, text in enumerate(self.texts)]

    @cached_property
    def loops(self) -> Flags:
        """Which of the answers loop."""
        return np.array([is_looping(text) for text in self.texts], dtype=bool)

    @cached_property
    def usual_bits(self) -> float:
        """Median of `bits` over the answers that are long enough; infinite without any."""
        return median(self._judged_bits or [float("inf")])

    @cached_property
    def most_foreign(self) -> float:
        """Times the usual bits that the strangest of the answers has."""
        return max(self._judged_bits, default=0.0) / self.usual_bits

    @cached_property
    def _judged_bits(self) -> list[float]:
        return [bits for bits, text in zip(self.bits, self.texts, strict=True) if len(text) >= LEAST_CHARACTERS]

    def bits_of(self, text: str, place: int) -> float:
        """Bits per character of an answer to the prompt at `place`, by the baseline's answers to other prompts."""
        return self.languages[place % FOLDS].bits_per_character(text)

    def foreignness(self, text: str, place: int) -> float:
        """Times the usual bits per character that an answer to the prompt at `place` has; 0 where it is too short to say, or has few more.

        Usual is the greater of the baseline's answer to the same prompt, which may be a table or another language, and of its median.
        """
        usual, bits = max(self.usual_bits, self.bits[place]), self.bits_of(text, place)
        return bits / usual if len(text) >= LEAST_CHARACTERS and bits - usual >= LEAST_MORE_BITS else 0.0


def garbled_share(texts: Sequence[str], places: Sequence[int], reference: Reference) -> float | None:
    """Share of answers that are garbled (0 to 1); 0 where no more are than of good answers, None where there is too little text.

    Args:
        texts: the answers.
        places: of each, where its prompt's answer is in the reference.
        reference: the baseline's answers.
    """
    originals = [reference.texts[place] for place in places]
    if median(map(len, originals)) < LEAST_CHARACTERS:
        return None
    if sum(map(len, texts)) < NEARLY_EMPTY * sum(map(len, originals)):
        return 1.0
    foreignness = np.array([reference.foreignness(*answer) for answer in zip(texts, places, strict=True)])
    usual_foreignness = np.array([reference.foreignness(reference.texts[place], place) for place in places])
    flagged = foreignness >= max(FOREIGN_ALONE, BEYOND_OWN * reference.most_foreign)
    for flags, usual, is_new in (
        (foreignness >= FOREIGN_TOGETHER, usual_foreignness >= FOREIGN_TOGETHER, True),
        (np.array(list(map(is_looping, texts))), reference.loops[list(places)], not reference.loops.any()),
        (repeated(texts, places), usual_repeats := repeated(originals, places), not usual_repeats.any()),
    ):
        flagged |= flags & ~usual & exceeds(flags, usual, is_new)
    return float(flagged.mean())


def exceeds(flags: Flags, usual: Flags, is_new: bool) -> bool:
    """Whether more answers are flagged than the baseline's to the same prompts.

    By a one-sided sign test over the answers of which one side is flagged, at SIGNIFICANCE; or where the baseline has none
    (`is_new`), by LEAST_FLAGGED and LEAST_FLAGGED_SHARE.
    """
    from scipy.stats import binomtest  # here, since it is slow to load

    more, less = int((flags & ~usual).sum()), int((usual & ~flags).sum())
    if is_new and more >= max(LEAST_FLAGGED, LEAST_FLAGGED_SHARE * len(flags)):
        return True
    return more > less and bool(binomtest(more, more + less, alternative="greater").pvalue <= SIGNIFICANCE)


@lru_cache(maxsize=10_000)
def is_looping(text: str) -> bool:
    """Whether a stretch of LOOPED_FROM of a text that is long enough repeats itself with one period."""
    points, least = code_points(text), max(LEAST_LOOP, LOOPED_FROM * len(text))
    if len(points) < LEAST_CHARACTERS or _repeated_runs(points) < least * (1 - 1 / LEAST_PERIODS) - RUN:
        return False
    periods = range(1, min(LONGEST_PERIOD, len(points) // LEAST_PERIODS) + 1)
    return any(
        (run := _longest_run(points[period:] == points[:-period])) >= (LEAST_PERIODS - 1) * period
        and run + period >= least
        for period in periods
    )


def _repeated_runs(points: Points) -> int:
    """Number of runs of RUN characters that occurred before in a text; a loop has nearly as many as characters after its first period."""
    weights = np.array([31**place for place in range(RUN)], dtype=np.uint64)
    hashes = np.lib.stride_tricks.sliding_window_view(points, RUN) @ weights
    return len(hashes) - len(np.unique(hashes))


def _longest_run(flags: Flags) -> int:
    """Length of the longest run of true values."""
    ends = np.flatnonzero(np.concatenate([[True], ~flags, [True]]))
    return int(np.diff(ends).max()) - 1


def repeated(texts: Sequence[str], places: Sequence[int]) -> Flags:
    """Which of the answers, if long enough, are one text with an answer to another prompt: neighbours in their order begin alike."""
    order, flags = sorted(range(len(texts)), key=texts.__getitem__), np.zeros(len(texts), dtype=bool)
    for first, second in pairwise(order):
        shorter = min(len(texts[first]), len(texts[second]))
        alike = texts[first][: (common := int(np.ceil(REPEATED_FROM * shorter)))] == texts[second][:common]
        if alike and shorter >= LEAST_CHARACTERS and places[first] != places[second]:
            flags[[first, second]] = True
    return flags
