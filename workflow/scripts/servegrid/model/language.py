"""The language of the built-in model: which word may follow which, and what decides between them.

A topic has PARTS parts of speech of 16 words each; a word of one part is followed by a word of the next part and of the
same topic. Every word has four possible successors, one for each of four kinds. Which kind is right hangs on two words
further back, at DISTANCES: each token has two features, and as in the agreement of gender or number the feature of the
word so far back tells what kind must follow. Some words have a favourite successor, whatever stands before them.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from servegrid.model import frozen_random, vocabulary
from servegrid.model.frozen_random import Floats, Integers

PARTS = 6
KINDS = 4  # two features of two values each
WORDS_PER_KIND = 4
TOPICS = (vocabulary.SIZE - vocabulary.FIRST_WORD) // (PARTS * KINDS * WORDS_PER_KIND)
DISTANCES = (2, 6)
"""Feature k of the next word's kind agrees with feature k of the token DISTANCES[k] places before the present one."""


@dataclass(frozen=True)
class Language:
    """Tables by token id.

    Attributes:
        words: Token ids, [topic, part, kind, word].
        successors: Token ids, [token, kind].
        favourite: The favoured kind of successor, or -1, [token].
        features: -1 or 1, [token, feature].
    """

    words: Integers
    successors: Integers
    favourite: Integers
    features: Integers


@cache
def language() -> Language:
    """Tables of the language, built once."""
    shape = (TOPICS, PARTS, KINDS, WORDS_PER_KIND)
    shuffled = vocabulary.FIRST_WORD + frozen_random.permutation(
        "language/words", vocabulary.SIZE - vocabulary.FIRST_WORD
    )
    words = shuffled[: TOPICS * PARTS * KINDS * WORDS_PER_KIND].reshape(shape)
    features = 2 * frozen_random.integers("language/features", (vocabulary.SIZE, 2), 2) - 1
    favourite = frozen_random.integers("language/favourite", (vocabulary.SIZE,), 12)
    return Language(words, _successors(words), np.where(favourite < KINDS, favourite, -1), features)


def kind_signs() -> Floats:
    """Signs of the features of each kind, -1 or 1, [kind, feature]: (-1, -1), (1, -1), (-1, 1), (1, 1)."""
    return np.array([[-1, -1], [1, -1], [-1, 1], [1, 1]], dtype=np.float32)


def _successors(words: Integers) -> Integers:
    """Successors of each token, [token, kind]: a word of each kind from the next part of its topic; first words are more frequent."""
    topic = frozen_random.integers("language/topic", (vocabulary.SIZE,), TOPICS)
    part = frozen_random.integers("language/part", (vocabulary.SIZE,), PARTS)
    topic[words] = np.arange(TOPICS).reshape(-1, 1, 1, 1)
    part[words] = np.arange(PARTS).reshape(1, -1, 1, 1)
    draws = frozen_random.integers("language/successors", (2, vocabulary.SIZE, KINDS), WORDS_PER_KIND)
    rank = draws[0] * draws[1] // WORDS_PER_KIND
    chosen: Integers = words[topic[:, None], (part[:, None] + 1) % PARTS, np.arange(KINDS), rank]
    return chosen
