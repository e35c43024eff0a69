"""Speed is worth little if the answers are others: the texts of a load held against a baseline's, prompt by prompt.

Texts part for harmless reasons (another batch size rounds differently, and one near-tie goes the other way) and for harmful
ones. Three numbers tell them apart: how many are equal, where those that differ part, and how unlike they are then. A fourth,
`garble`, tells other good text from no text at all.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import comb
from pathlib import Path
from statistics import fmean, median

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

Grams = npt.NDArray[np.uint64]
SAMPLE = 64
"""Texts of one load that are read beside their hashes, at most: evenly spaced among those that differ."""
GARBLED = 0.5
LEAST_GRAMS = 200
"""A profile of fewer trigrams says nothing of a language."""
CODE_POINT_BITS = 21


@dataclass(frozen=True)
class Answers:
    """The answered requests of one load: prompt id and text hash of each, and where their texts lie."""

    requests: pa.Table  # all requests of the load
    folder: Path

    @cached_property
    def _rows(self) -> npt.NDArray[np.int64]:
        """Row numbers of the ok requests whose text is known."""
        known = pc.and_(pc.equal(self.requests["status"], "ok"), pc.is_valid(self.requests["text_sha256"]))
        return np.flatnonzero(known.to_numpy())

    @cached_property
    def prompts(self) -> list[str]:
        """Prompt ids."""
        ids: list[str] = self.requests["prompt_id"].take(self._rows).to_pylist()
        return ids

    @cached_property
    def hashes(self) -> list[str]:
        """SHA-256 of each text."""
        found: list[str] = self.requests["text_sha256"].take(self._rows).to_pylist()
        return found

    @cached_property
    def first(self) -> dict[str, int]:
        """Prompt id -> place of its first answer."""
        return {prompt: place for place, prompt in reversed(list(enumerate(self.prompts)))}

    @cached_property
    def _texts(self) -> pa.ChunkedArray | None:
        path = self.folder / "texts.parquet"
        if not path.exists():
            return None
        table = pq.read_table(path, columns=["request_id", "text"])
        aligned = table["request_id"].equals(self.requests["request_id"])
        return table["text"].take(self._rows) if aligned else None

    def texts(self, places: Sequence[int]) -> list[str] | None:
        """The texts at these places, or None where they were not kept."""
        if self._texts is None:
            return None
        found: list[str] = self._texts.take(pa.array(places, pa.int64())).to_pylist()
        return found


@dataclass(frozen=True)
class Sameness:
    """How the answers of one or more loads compare with a baseline's. None: unknown.

    Attributes:
        changed: for each prompt that both have, the share of its answers whose text differs (0 to 1).
        agreement: share of all answers whose text equals the baseline's (0 to 1).
        divergence_characters_p50: median place of the first character that differs, over the answers that do, in Unicode
            characters (not tokens: what the server's tokens are is not recorded).
        text_distance: mean distance of the answers that differ (0 to 1), see `distance`.
        garble: see `garble`.
    """

    changed: dict[str, float] = field(default_factory=dict)
    agreement: float | None = None
    divergence_characters_p50: float | None = None
    text_distance: float | None = None
    garble: float | None = None


def compare(loads: Sequence[Answers], baseline: Answers, read_texts: bool = True) -> Sameness:
    """Every answer of the loads against the baseline's first answer to the same prompt; unknown without common prompts.

    Where answers differ, their texts are read too, at most SAMPLE per load, if `read_texts`.
    """
    pairs = [(load, _pairs(load, baseline)) for load in loads]
    outcomes: dict[str, list[bool]] = {}
    for load, places in pairs:
        for mine, theirs in places:
            outcomes.setdefault(load.prompts[mine], []).append(load.hashes[mine] != baseline.hashes[theirs])
    if not outcomes:
        return Sameness()
    flat = [differs for each in outcomes.values() for differs in each]
    changed = {prompt: fmean(each) for prompt, each in outcomes.items()}
    agreement = 1 - sum(flat) / len(flat)
    if not read_texts or not any(flat):
        return Sameness(changed, agreement)
    return Sameness(changed, agreement, *_unlike(pairs, baseline))


def _pairs(load: Answers, baseline: Answers) -> list[tuple[int, int]]:
    return [(place, baseline.first[prompt]) for place, prompt in enumerate(load.prompts) if prompt in baseline.first]


def _unlike(
    pairs: list[tuple[Answers, list[tuple[int, int]]]], baseline: Answers
) -> tuple[float | None, float | None, float | None]:
    """Median first difference, mean distance and mean garble of the answers that differ."""
    parted: list[int] = []
    distances: list[float] = []
    garbles: list[float] = []
    for load, places in pairs:
        differing = [(a, b) for a, b in places if load.hashes[a] != baseline.hashes[b]]
        sample = differing[:: -(-len(differing) // SAMPLE) or 1]
        mine, theirs = load.texts([a for a, _ in sample]), baseline.texts([b for _, b in sample])
        if not sample or mine is None or theirs is None:
            continue
        parted += [first_difference(a, b) for a, b in zip(mine, theirs, strict=True)]
        distances += [distance(trigrams(a), trigrams(b)) for a, b in zip(mine, theirs, strict=True)]
        strangeness = _garble(mine, [b for _, b in sample], baseline)
        garbles += [strangeness] if strangeness is not None else []
    if not parted:
        return None, None, None
    return float(median(parted)), fmean(distances), fmean(garbles) if garbles else None


def first_difference(one: str, other: str) -> int:
    """Number of characters before the first that differs; the length of the shorter text if the longer begins with it."""
    return bisect_left(range(min(len(one), len(other))), True, key=lambda n: one[: n + 1] != other[: n + 1])


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
    _, which = np.unique(np.concatenate([one, other]), return_inverse=True)
    signs = np.repeat([1.0, -1.0], [len(one), len(other)])
    return float(np.abs(np.bincount(which, weights=signs)).sum() / (len(one) + len(other)))


def profile_distance(one: Grams, other: Grams) -> float:
    """Total variation distance between the trigram frequencies of two bodies of text, 0 (alike) to 1 (none in common)."""
    _, which = np.unique(np.concatenate([one, other]), return_inverse=True)
    weights = np.repeat([1 / len(one), -1 / len(other)], [len(one), len(other)])
    return float(np.abs(np.bincount(which, weights=weights)).sum() / 2)


def garble(mine: Sequence[str], theirs: Sequence[str], unrelated: Sequence[str]) -> float | None:
    """How foreign texts are to the baseline's language: 0 as its own answers, 1 nothing in common; None: too little text.

    Texts that part early are unlike each other though both are good. So each side is held, as a whole, against the baseline's
    answers to other prompts (`profile_distance`): good text lies as far from them as the baseline's own text, and garbage
    farther. The excess is given as a share of the largest that is possible. Frequencies of n-grams tell languages and encodings
    apart from little text: Cavnar and Trenkle 1994, "N-gram-based text categorization".

    Args:
        mine: texts to be judged.
        theirs: the baseline's answers to the same prompts.
        unrelated: the baseline's answers to other prompts.
    """
    judged, own, rest = (_body(texts) for texts in (mine, theirs, unrelated))
    if min(map(len, (judged, own, rest))) < LEAST_GRAMS:
        return None
    usual = profile_distance(own, rest)
    return max(0.0, (profile_distance(judged, rest) - usual) / (1 - usual)) if usual < 1 else None


def _body(texts: Sequence[str]) -> Grams:
    return np.concatenate([trigrams(text) for text in texts]) if texts else np.empty(0, dtype=np.uint64)


def _garble(mine: Sequence[str], places: Sequence[int], baseline: Answers) -> float | None:
    """`garble` of a load's texts, of which at most half of the baseline's prompts are used, so that others are left."""
    half = max(1, len(baseline.first) // 2)
    judged = dict(list(zip(places, mine, strict=True))[:half])
    others = [place for place in baseline.first.values() if place not in judged][:SAMPLE]
    theirs, unrelated = baseline.texts(list(judged)), baseline.texts(others)
    return None if theirs is None or unrelated is None else garble(list(judged.values()), theirs, unrelated)


def beyond(changed: dict[str, float], floor: dict[str, float]) -> bool | None:
    """Whether more texts changed than change by themselves. None: some did and none does by itself, but too few to tell.

    A sign test over the prompts, one-sided at 5 % (Conover 1999, "Practical Nonparametric Statistics", 3.4): prompts whose
    share of changed answers is above its share in the baseline's own repeats, against prompts where it is below. Both shares
    must be of as many sessions, or one side would have more chances to differ.
    """
    steps = [changed[prompt] - floor[prompt] for prompt in changed if prompt in floor]
    more, less = sum(step > 0 for step in steps), sum(step < 0 for step in steps)
    tail = sum(comb(more + less, k) for k in range(more, more + less + 1)) / 2 ** (more + less)
    if tail < 0.05:
        return True
    return None if more and not any(floor.values()) else False
