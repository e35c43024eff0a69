"""Good answers are not called garbled, and planted garbage is: on English passages, and on answers of real engines.

tests/data/answers.json holds what llama.cpp (b11549) and CTranslate2 answered to 40 generated prompts with 64 tokens of the built-in model;
greedy ones loop in two of five by themselves.
"""

import json
import pydoc_data.topics
import random
import string
from collections.abc import Callable
from itertools import permutations
from math import log2
from pathlib import Path

import numpy as np
import pytest

from servegrid.metrics.garble import Reference, exceeds, garbled_share, is_looping, repeated
from servegrid.metrics.language import Language

ANSWERS: dict[str, list[str]] = json.loads((Path(__file__).parents[2] / "data" / "answers.json").read_text())
Plant = Callable[[int, str], str]


def garble(texts: list[str], originals: list[str]) -> float | None:
    """Garbled share of the texts that differ from the originals; 0 where none does."""
    places = [place for place, (text, original) in enumerate(zip(texts, originals, strict=True)) if text != original]
    return garbled_share([texts[place] for place in places], places, Reference(originals)) if places else 0.0


def noise(number: int, length: int) -> str:
    return "".join(random.Random(number).choices(string.ascii_letters + string.digits, k=length))


def prose(chance: random.Random, pages: list[str], length: int) -> str:
    """A passage that is text and no table."""
    while True:
        page = chance.choice(pages)
        passage = page[(start := chance.randrange(len(page) - length)) : start + length]
        if sum(character.isalpha() or character in " .," for character in passage) >= 0.9 * length:
            return passage


def english_row(seed: int, count: int, length: int) -> tuple[list[str], list[str]]:
    """A baseline's answers, and others that begin as those do and go on otherwise."""
    chance, pages = (
        random.Random(seed),
        [" ".join(page.split()) for page in pydoc_data.topics.topics.values() if len(page) > 4000],
    )
    originals, others = ([prose(chance, pages, length) for _ in range(count)] for _ in range(2))
    splits = [chance.randrange(length) for _ in range(count)]
    return [a[:split] + b[split:] for a, b, split in zip(originals, others, splits, strict=True)], originals


GARBAGE: dict[str, tuple[Plant, float]] = {
    "half of every answer a loop": (lambda _, text: text[: len(text) // 2] + text[:12] * (len(text) // 24), 1),
    "a fifth of the answers loops": (lambda n, text: text[:15] * (len(text) // 15) if n % 5 == 0 else text, 5 / 24),
    "one text for all": (lambda n, _: english_row(99, 1, 300)[0][0], 1),
    "one of 24 is rubbish": (lambda n, text: noise(n, len(text)) if n == 7 else text, 1 / 24),
    "one of 24 is stuck": (lambda n, text: "!" * len(text) if n == 7 else text, 1 / 24),
    "all is rubbish": (lambda n, text: noise(n, len(text)), 1),
    "nothing": (lambda n, text: text[:3], 1),
}


@pytest.mark.parametrize("name", GARBAGE)
@pytest.mark.parametrize("seed", range(3))
def test_planted_garbage_is_found_among_english_answers(name: str, seed: int) -> None:
    plant, share = GARBAGE[name]
    texts, originals = english_row(seed, 24, 300)
    assert garble([plant(place, text) for place, text in enumerate(texts)], originals) == pytest.approx(share)


@pytest.mark.slow
def test_good_english_answers_are_called_garbled_in_one_of_200_rows_at_most() -> None:
    marked = [bool(garble(*english_row(seed, 24, length))) for length in (30, 65, 80, 160) for seed in range(50)]
    assert sum(marked) <= 1


@pytest.mark.slow
def test_answers_of_real_engines_are_called_garbled_in_one_of_200_rows_at_most() -> None:
    chance, marked = random.Random(1), []
    pairs = [
        pair for kind in ("greedy", "sampled") for pair in permutations([n for n in ANSWERS if n.endswith(kind)], 2)
    ]
    for first, second in pairs * 15:
        places = chance.sample(range(40), 24)
        marked.append(bool(garble(*([ANSWERS[name][place] for place in places] for name in (first, second)))))
    assert len(marked) >= 200 and sum(marked) <= 1


@pytest.mark.parametrize(
    "name", ["half of every answer a loop", "one text for all", "one of 24 is rubbish", "all is rubbish"]
)
@pytest.mark.parametrize("engine", ["llamacpp", "ctranslate2 int8"])
def test_planted_garbage_is_found_among_answers_of_real_engines(name: str, engine: str) -> None:
    """A fifth that loops is not claimed where two of five good answers do."""
    plant, share = GARBAGE[name]
    originals, good = ANSWERS["llamacpp sampled"][:24], ANSWERS[f"{engine} sampled"][:24]
    assert (garble([plant(place, text) for place, text in enumerate(good)], originals) or 0) >= 0.7 * share


@pytest.mark.parametrize(
    ("text", "loops"),
    [
        ("abc" * 20, True),
        ("abc" * 19, False),  # 57 characters are too short to say
        (noise(1, 80) + "ab" * 20, True),  # 40 of 120
        (noise(1, 80) + "ab" * 19 + "xy", False),
        (noise(1, 81) + "ab" * 20, False),  # less than a third
        (noise(1, 200) * 3, True),
        (noise(1, 200) * 2 + noise(1, 199), False),  # not three periods
        (noise(1, 201) * 3, False),
        ("ab" * 20 + noise(1, 80), True),  # it may end again
    ],
)
def test_looping(text: str, loops: bool) -> None:
    assert is_looping(text) is loops


def test_one_text_up_to_where_the_shorter_ends() -> None:
    text = english_row(1, 1, 100)[0][0]
    answers = [text, text[:80] + "x" * 20, text[:79] + "y" * 21, text[:60], "short", "short"]
    assert repeated(answers, range(6)).tolist() == [True, True, False, True, False, False]
    assert not repeated([text, text], [3, 3]).any(), "two answers to one prompt may be the same"
    assert not repeated([text, text[:79] + "x" * 21], [0, 1]).any()


@pytest.mark.parametrize(
    ("more", "less", "count", "is_new", "exceeded"),
    [
        (5, 0, 24, True, True),
        (4, 0, 20, True, False),
        (5, 0, 26, True, False),
        (5, 0, 24, False, False),
        (8, 0, 24, False, False),  # 1/256 by chance
        (9, 0, 24, False, True),  # 1/512
        (0, 9, 24, False, False),
    ],
)
def test_more_must_be_flagged_than_by_chance(more: int, less: int, count: int, is_new: bool, exceeded: bool) -> None:
    flags, usual = np.arange(count) < more, (np.arange(count) >= more) & (np.arange(count) < more + less)
    assert exceeds(flags, usual, is_new) is exceeded


def test_information_by_hand() -> None:
    """Of `ab`: b after nothing is (1 + 2 / 256) / 4, and after a (1 + that) / 2."""
    first, alone = ((1 + 2 / 256) / 4 for _ in range(2))
    language = Language(["ab"])
    assert language.bits_per_character("a") == pytest.approx(-log2(first))
    assert language.bits_per_character("ab") == pytest.approx(-(log2(first) + log2((1 + alone) / 2)) / 2)
    assert language.bits_per_character("c") == pytest.approx(-log2(2 / 256 / 4))
    assert language.bits_per_character("") == 0 and Language([]).bits_per_character("a") == 8


def test_short_answers_are_not_judged() -> None:
    assert garble([noise(n, 50) for n in range(24)], [english_row(n, 1, 50)[0][0] for n in range(24)]) is None
    assert garble(["A."] * 24, ["The answer is A"] * 24) is None
