"""Speed is worth little if the answers are others: the texts of a load held against a baseline's, prompt by prompt.

Texts part for harmless reasons (another batch size rounds differently, and one near-tie goes the other way) and for harmful
ones. Three numbers tell them apart: how many are equal, where those that differ part, and how unlike they are then. A fourth,
`garble`, tells other good text from no text at all.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import fmean, median

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from servegrid.metrics.trigrams import Grams, distance, foreign, strangest, trigrams
from servegrid.records.read import read_table

Places = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
ANSWERS = ("request_id", "prompt_id", "status", "text_sha256")
"""The columns of REQUESTS that answers are told by."""
SAMPLE = 32
"""Texts of one load that are read beside their hashes, at most: evenly spaced among those that differ."""
GARBLED = 0.5


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
    def prompts(self) -> pa.Array:
        """Prompt ids."""
        return self.requests["prompt_id"].take(pa.array(self._rows)).combine_chunks()

    @cached_property
    def hashes(self) -> pa.Array:
        """SHA-256 of each text."""
        return self.requests["text_sha256"].take(pa.array(self._rows)).combine_chunks()

    def beside(self, baseline: "Answers") -> tuple[Places, Places, Mask]:
        """Places of the answers here whose prompt the baseline has, of the baseline's first answers, and which differ."""
        found = pc.index_in(self.prompts, value_set=baseline.prompts)
        mine = np.flatnonzero(pc.is_valid(found).to_numpy(zero_copy_only=False))
        theirs = found.drop_null().to_numpy().astype(np.int64)
        differ = pc.not_equal(self.hashes.take(pa.array(mine)), baseline.hashes.take(pa.array(theirs)))
        return mine, theirs, differ.to_numpy(zero_copy_only=False)

    @cached_property
    def _texts(self) -> pa.ChunkedArray | None:
        path = self.folder / "texts.parquet"
        if not path.exists():
            return None
        table = read_table(path, ["request_id", "text"])
        aligned = table["request_id"].equals(self.requests["request_id"])
        return table["text"].take(pa.array(self._rows)) if aligned else None

    def texts(self, places: Places) -> list[str] | None:
        """The texts at these places, or None where they were not kept."""
        if self._texts is None:
            return None
        found: list[str] = self._texts.take(pa.array(places)).to_pylist()
        return found

    def grams(self, places: Sequence[int]) -> list[Grams] | None:
        """The trigrams of the texts at these places. They are kept: a baseline's are held against every load's."""
        new = [place for place in places if place not in self._grams]
        texts = self.texts(np.array(new, dtype=np.int64)) if new else []
        if texts is None:
            return None
        self._grams.update(zip(new, map(trigrams, texts), strict=True))
        return [self._grams[place] for place in places]

    @cached_property
    def _grams(self) -> dict[int, Grams]:
        return {}


@dataclass(frozen=True)
class Sameness:
    """How the answers of one or more loads compare with a baseline's. None: unknown.

    Attributes:
        changed: for each prompt that both have, the share of its answers whose text differs (0 to 1).
        agreement: share of all answers whose text equals the baseline's (0 to 1).
        divergence_characters_p50: median place of the first character that differs, over the answers that do, in Unicode
            characters (not tokens: what the server's tokens are is not recorded).
        text_distance: mean distance of the answers that differ (0 to 1), see `distance`.
        garble: how foreign they are to its language (0 to 1), see `foreign` and `strangest`.
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
    pairs = [(load, *load.beside(baseline)) for load in loads]
    differing, answers = np.zeros(len(baseline.prompts)), np.zeros(len(baseline.prompts))
    for _, _, theirs, differ in pairs:
        np.add.at(differing, theirs, differ)
        np.add.at(answers, theirs, 1)
    if not answers.any():
        return Sameness()
    common = np.flatnonzero(answers)
    prompts = baseline.prompts.take(pa.array(common)).to_pylist()
    changed = dict(zip(prompts, (differing[common] / answers[common]).tolist(), strict=True))
    agreement = float(1 - differing.sum() / answers.sum())
    if not read_texts or agreement == 1:
        return Sameness(changed, agreement)
    unlike = [_Unlike.of(load, mine[differ], theirs[differ], baseline) for load, mine, theirs, differ in pairs]
    return Sameness(changed, agreement, *_Unlike.summary([one for one in unlike if one is not None]))


@dataclass(frozen=True)
class _Unlike:
    """A sample of one load's answers that differ from the baseline's."""

    parted: list[int]
    distances: list[float]
    garble: float | None

    @classmethod
    def of(cls, load: Answers, mine: Places, theirs: Places, baseline: Answers) -> "_Unlike | None":
        every = -(-len(mine) // SAMPLE) or 1
        places, others = mine[::every].tolist(), theirs[::every].tolist()
        texts, originals = load.texts(mine[::every]), baseline.texts(theirs[::every])
        grams, original_grams = load.grams(places), baseline.grams(others)
        if not texts or not originals or not grams or not original_grams:
            return None
        distances = [distance(one, other) for one, other in zip(grams, original_grams, strict=True)]
        parted = [first_difference(one, other) for one, other in zip(texts, originals, strict=True)]
        return cls(parted, distances, _garble(grams, others, baseline))

    @staticmethod
    def summary(loads: "Sequence[_Unlike]") -> tuple[float | None, float | None, float | None]:
        """Median first difference, mean distance, mean garble."""
        if not loads:
            return None, None, None
        garbles = [one.garble for one in loads if one.garble is not None]
        parted = float(median(place for one in loads for place in one.parted))
        return parted, fmean(value for one in loads for value in one.distances), fmean(garbles) if garbles else None


def first_difference(one: str, other: str) -> int:
    """Number of characters before the first that differs; the length of the shorter text if the longer begins with it."""
    return bisect_left(range(min(len(one), len(other))), True, key=lambda n: one[: n + 1] != other[: n + 1])


def _garble(grams: Sequence[Grams], places: Sequence[int], baseline: Answers) -> float | None:
    """How foreign a load's texts are to the baseline's language, of which at most half of the baseline's prompts are used, so that others are left."""
    half = max(1, len(baseline.prompts) // 2)
    judged = dict(list(zip(places, grams, strict=True))[:half])
    others = [place for place in range(len(baseline.prompts)) if place not in judged][:SAMPLE]
    theirs, unrelated, own = baseline.grams(list(judged)), baseline.grams(others), baseline.grams(places)
    if theirs is None or unrelated is None or own is None:
        return None
    found = foreign(list(judged.values()), theirs, unrelated), strangest(grams, own, unrelated)
    return max((value for value in found if value is not None), default=None)


def beyond(changed: dict[str, float], floor: dict[str, float]) -> bool | None:
    """Whether more texts changed than change by themselves. None: some did and none does by itself, but too few to tell.

    A sign test over the prompts, one-sided at 5 % (Conover 1999, "Practical Nonparametric Statistics", 3.4): prompts whose
    share of changed answers is above its share in the baseline's own repeats, against prompts where it is below. Both shares
    must be of as many sessions, or one side would have more chances to differ.
    """
    from scipy.stats import binomtest  # here, since it is slow to load

    steps = [changed[prompt] - floor[prompt] for prompt in changed if prompt in floor]
    more, less = sum(step > 0 for step in steps), sum(step < 0 for step in steps)
    if more and binomtest(more, more + less, alternative="greater").pvalue < 0.05:
        return True
    return None if more and not any(floor.values()) else False
