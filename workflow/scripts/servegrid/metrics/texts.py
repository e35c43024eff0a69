"""The texts of a load compared with a baseline's, prompt by prompt: speed is worth little if the answers are others.

Texts differ for harmless reasons (another batch size rounds differently, and one near-tie goes the other way) and for harmful
ones. Three numbers tell them apart: how many are equal, where those that differ begin to, and how unlike they are then. A fourth,
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

from servegrid.metrics.garble import Reference, garbled_share
from servegrid.metrics.trigrams import qgram_distance, trigrams
from servegrid.prompts import salt
from servegrid.records.read import read_table

Indices = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
ANSWER_COLUMNS = ("request_id", "prompt_id", "status", "text_sha256")
"""Columns of records.schema.REQUESTS that answers are compared by."""
SAMPLED_TEXTS = 32
"""Most texts of one load whose distance is taken: evenly spaced among those that differ."""
JUDGED_TEXTS = 64
"""Most texts of one load, and of the baseline, that are judged as garbled or not, likewise."""


@dataclass(frozen=True)
class Answers:
    """The answered requests of one load, or of several: prompt id and text hash of each, and their texts.

    Attributes:
        requests: all requests of the loads, with ANSWER_COLUMNS.
        folders: of the loads; their texts.parquet hold the texts, if they were kept.
    """

    requests: pa.Table
    folders: tuple[Path, ...]

    @classmethod
    def joined(cls, loads: "Sequence[Answers]") -> "Answers":
        """Answers of several loads together."""
        if len(loads) == 1:
            return loads[0]  # with what was read of it
        return cls(pa.concat_tables([load.requests for load in loads]), sum((load.folders for load in loads), ()))

    @cached_property
    def _rows(self) -> npt.NDArray[np.int64]:
        """Row numbers of the ok requests whose text is known."""
        is_answer = pc.and_(pc.equal(self.requests["status"], "ok"), pc.is_valid(self.requests["text_sha256"]))
        return np.flatnonzero(is_answer.to_numpy())

    @cached_property
    def prompts(self) -> pa.Array:
        """Prompt id of each answer."""
        return self.requests["prompt_id"].take(pa.array(self._rows)).combine_chunks()

    @cached_property
    def hashes(self) -> pa.Array:
        """SHA-256 of each answer's text."""
        return self.requests["text_sha256"].take(pa.array(self._rows)).combine_chunks()

    @cached_property
    def unsalted_prompts(self) -> pa.Array:
        """Prompt id of each answer without its salt."""
        return pc.replace_substring_regex(self.prompts, salt.IN_PROMPT_ID, "")

    def pair_with(self, baseline: "Answers", salts_differ: bool = False) -> "_Pairs":
        """Pair every answer whose prompt the baseline has, `salts_differ`: behind any salt, with the baseline's first answer to it."""
        name = "unsalted_prompts" if salts_differ else "prompts"
        matches = pc.index_in(getattr(self, name), value_set=getattr(baseline, name))
        answers = np.flatnonzero(pc.is_valid(matches).to_numpy(zero_copy_only=False))
        originals = matches.drop_null().to_numpy().astype(np.int64)
        differ = pc.not_equal(self.hashes.take(pa.array(answers)), baseline.hashes.take(pa.array(originals)))
        return _Pairs(answers, originals, differ.to_numpy(zero_copy_only=False))

    @cached_property
    def _texts(self) -> pa.ChunkedArray | None:
        """Text of each answer; None if they were not kept, or not those of these requests."""
        paths = [folder / "texts.parquet" for folder in self.folders]
        if not all(path.exists() for path in paths):
            return None
        table = pa.concat_tables([read_table(path, ["request_id", "text"]) for path in paths])
        aligned = table["request_id"].equals(self.requests["request_id"])
        return table["text"].take(pa.array(self._rows)) if aligned else None

    def texts(self, indices: Indices) -> list[str] | None:
        """Texts of the answers with these indices; None where they were not kept."""
        if self._texts is None:
            return None
        texts: list[str] = self._texts.take(pa.array(indices)).to_pylist()
        return texts

    def reference(self, indices: Indices) -> Reference | None:
        """The answers with these indices as good text; None where they were not kept. It is kept for the loads that are held against it."""
        if indices.tobytes() not in self._references:
            texts = self.texts(indices)
            self._references[indices.tobytes()] = None if texts is None else Reference(texts)
        return self._references[indices.tobytes()]

    @cached_property
    def _references(self) -> dict[bytes, Reference | None]:
        """References that were asked for before, by their indices."""
        return {}


def _spaced(indices: Indices, most: int) -> Indices:
    """At most so many of the indices, evenly spaced."""
    return indices[:: -(-len(indices) // most) or 1]


@dataclass(frozen=True)
class _Pairs:
    """Answers of a load beside the baseline's to the same prompts.

    Attributes:
        answers: index of each answer among the load's.
        originals: index of the baseline's answer.
        differ: whether their texts differ.
    """

    answers: Indices
    originals: Indices
    differ: Mask


@dataclass(frozen=True)
class Sameness:
    """Comparison of the answers of one or more loads with a baseline's. None: unknown.

    Attributes:
        changed: for each prompt that both have, the share of its answers whose text differs (0 to 1).
        agreement: share of all answers whose text equals the baseline's (0 to 1).
        divergence_characters_p50: median position of the first character that differs, over the answers that do, in Unicode
            characters (not tokens: what the server's tokens are is not recorded).
        text_distance: mean distance of the answers that differ (0 to 1), see `trigrams.qgram_distance`.
        garble: share of the answers that differ that are no good text (0 to 1), see `garble.garbled_share`.
    """

    changed: dict[str, float] = field(default_factory=dict)
    agreement: float | None = None
    divergence_characters_p50: float | None = None
    text_distance: float | None = None
    garble: float | None = None


def compare_texts(loads: Sequence[Answers], baseline: Answers, read_texts: bool = True) -> Sameness:
    """Compare every answer of the loads with the baseline's first answer to the same prompt.

    Without common prompts all is unknown but the garble, if they are common but for their salts.

    Where answers differ, their texts are read too, at most JUDGED_TEXTS per load, if `read_texts`.
    """
    pairs = [load.pair_with(baseline) for load in loads]
    differing, answers = np.zeros(len(baseline.prompts)), np.zeros(len(baseline.prompts))
    for pair in pairs:
        np.add.at(differing, pair.originals, pair.differ)
        np.add.at(answers, pair.originals, 1)
    if not answers.any():
        return Sameness(garble=_garble_of_other_prompts(loads, baseline) if read_texts else None)
    common = np.flatnonzero(answers)
    prompts = baseline.prompts.take(pa.array(common)).to_pylist()
    changed = dict(zip(prompts, (differing[common] / answers[common]).tolist(), strict=True))
    agreement = float(1 - differing.sum() / answers.sum())
    if not read_texts or agreement == 1:
        return Sameness(changed, agreement)
    samples = [_DifferingTexts.read(load, pair, baseline) for load, pair in zip(loads, pairs, strict=True)]
    return Sameness(changed, agreement, *_summarize([sample for sample in samples if sample is not None]))


def _garble_of_other_prompts(loads: Sequence[Answers], baseline: Answers) -> float | None:
    """Garble of answers to prompts whose salts differ from the baseline's, which are other answers in the same language."""
    pairs = [(load, load.pair_with(baseline, salts_differ=True), baseline) for load in loads]
    return _summarize([sample for pair in pairs if (sample := _DifferingTexts.read(*pair)) is not None])[-1]


@dataclass(frozen=True)
class _DifferingTexts:
    """Measures of a sample of one load's answers that differ from the baseline's.

    Attributes:
        divergences: characters before the first that differs, of each.
        distances: trigram distance of each (0 to 1).
        garble: of all of them (0 to 1); None: unknown.
    """

    divergences: list[int]
    distances: list[float]
    garble: float | None

    @classmethod
    def read(cls, load: Answers, pairs: _Pairs, baseline: Answers) -> "_DifferingTexts | None":
        """Read the texts of at most SAMPLED_TEXTS pairs that differ; None if none do or either side's texts were not kept."""
        differing = _spaced(np.flatnonzero(pairs.differ), SAMPLED_TEXTS)
        texts, originals = load.texts(pairs.answers[differing]), baseline.texts(pairs.originals[differing])
        if not texts or not originals:
            return None
        distances = [
            qgram_distance(trigrams(text), trigrams(original)) for text, original in zip(texts, originals, strict=True)
        ]
        divergences = [first_difference(*pair) for pair in zip(texts, originals, strict=True)]
        return cls(divergences, distances, _garble(load, pairs, baseline))


def _summarize(samples: Sequence[_DifferingTexts]) -> tuple[float | None, float | None, float | None]:
    """Median first difference, mean distance and mean garble over the samples of several loads."""
    if not samples:
        return None, None, None
    garbles = [sample.garble for sample in samples if sample.garble is not None]
    divergence = float(median(position for sample in samples for position in sample.divergences))
    distance = fmean(value for sample in samples for value in sample.distances)
    return divergence, distance, fmean(garbles) if garbles else None


def first_difference(first: Sequence[object], second: Sequence[object]) -> int:
    """Number of characters (of a text, or items) before the first that differs; the shorter's length if the longer begins with it."""
    return bisect_left(range(min(len(first), len(second))), True, key=lambda n: first[: n + 1] != second[: n + 1])


def _garble(load: Answers, pairs: _Pairs, baseline: Answers) -> float | None:
    """Share of a load's answers that differ that are garbled; None: unknown."""
    indices = _spaced(np.unique(pairs.originals), JUDGED_TEXTS)
    reference = baseline.reference(indices)
    judged = _spaced(np.flatnonzero(pairs.differ & np.isin(pairs.originals, indices)), JUDGED_TEXTS)
    texts, places = load.texts(pairs.answers[judged]), np.searchsorted(indices, pairs.originals[judged])
    return garbled_share(texts, places.tolist(), reference) if texts and reference else None


def exceeds_floor(changed: dict[str, float], floor: dict[str, float]) -> bool | None:
    """Whether more texts changed than change by themselves; None if some did and none does by itself, but too few to tell.

    A sign test over the prompts, one-sided at 5 % (Conover 1999, "Practical Nonparametric Statistics", 3.4): prompts whose
    share of changed answers is above its share in the baseline's own repeats, against prompts where it is below. Both shares
    must be of as many sessions, or one side would have more chances to differ.

    Args:
        changed: prompt -> share of its answers that differ from the baseline's (0 to 1).
        floor: the same of the baseline's own repeats.
    """
    from scipy.stats import binomtest  # here, since it is slow to load

    steps = [changed[prompt] - floor[prompt] for prompt in changed if prompt in floor]
    more, less = sum(step > 0 for step in steps), sum(step < 0 for step in steps)
    if more and binomtest(more, more + less, alternative="greater").pvalue < 0.05:
        return True
    return None if more and not any(floor.values()) else False
