"""Sources of words for generated prompts, and the token counts of their texts."""

import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Protocol

from tokenizers import Tokenizer

from servegrid.model import builtin, frozen_random, vocabulary
from servegrid.model.frozen_random import Integers
from servegrid.model.language import DISTANCES, KINDS, TOPICS, language

_DRAWS = 2**32
_BY_RULE = _DRAWS // 5 * 4  # how many of the draws let the language's rule choose the next word


class WordSource(Protocol):
    """Makes texts word by word."""

    @property
    def note(self) -> str | None:
        """Caveat about the prompt lengths for the reader; None: they are exact."""

    def words(self, label: str, count: int) -> list[str]:
        """`count` words of one text; `label` names the random draws, and a smaller count gives a prefix of a larger one."""

    def tokens(self, text: str) -> int | None:
        """Number of tokens of the text, with those the tokenizer adds; None: unknown."""


def word_source_for(tokenizer: Path | None) -> WordSource:
    """Word source for a model with this tokenizer.json: the built-in model's own language if it is that model's, else ordinary words."""
    if tokenizer is None:
        return OrdinaryWords(None)
    digest = hashlib.sha256(tokenizer.read_bytes()).hexdigest()
    loaded = Tokenizer.from_file(str(tokenizer))
    return BuiltinWords(loaded) if digest == builtin.PINS["tokenizer.json"] else OrdinaryWords(loaded)


class BuiltinWords:
    """Texts in the built-in model's language, in which four of five words follow its rule for the next word."""

    note = None

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def words(self, label: str, count: int) -> list[str]:
        """As in `WordSource`; one text keeps to one topic."""
        topic = int(frozen_random.integers(f"{label}/topic", (1,), TOPICS)[0])
        draws = frozen_random.integers(f"{label}/words", (count, 2), _DRAWS).tolist()
        first_words = language().words[topic].ravel()
        tokens = [int(first_words[draws[0][0] % len(first_words)])]
        for by_rule, kind in draws[1:]:
            tokens.append(_next_word(tokens, None if by_rule < _BY_RULE else kind % KINDS))
        return [vocabulary.vocabulary().word(token) for token in tokens]

    def tokens(self, text: str) -> int:
        """As in `WordSource`."""
        return len(self._tokenizer.encode(text).ids)


def _next_word(tokens: list[int], kind: int | None) -> int:
    """Successor of the last token, of the given kind; None: of the kind that the language's rule asks for."""
    tables = language()
    if kind is None:
        kind = int(tables.favourite[tokens[-1]])
    if kind < 0:
        kind = 0
        for feature, distance in enumerate(DISTANCES):
            earlier_token = tokens[max(0, len(tokens) - 1 - distance)]
            kind += int(tables.features[earlier_token, feature] > 0) << feature
    return int(tables.successors[tokens[-1], kind])


class OrdinaryWords:
    """Lower-case words that are one token each for the given tokenizer; without one, common English words.

    Each text keeps to a topic of some words, each of which is followed by one of four others, so that a text repeats
    itself as real text does.
    """

    _TOPICS = 30
    _TOPIC_WORDS = 120

    def __init__(self, tokenizer: Tokenizer | None) -> None:
        self._tokenizer = tokenizer
        lexicon = _single_tokens(tokenizer) if tokenizer is not None else []
        self._lexicon = lexicon if len(lexicon) >= self._TOPIC_WORDS else COMMON_WORDS

    @property
    def note(self) -> str | None:
        """As in `WordSource`; lengths are approximate without a tokenizer."""
        if self._tokenizer is not None:
            return None
        return "no tokenizer at hand: prompt lengths are approximate, three words counted as four tokens"

    def words(self, label: str, count: int) -> list[str]:
        """As in `WordSource`."""
        topic = int(frozen_random.integers(f"{label}/topic", (1,), self._TOPICS)[0])
        members, successors = _topic_tables(topic, len(self._lexicon), self._TOPIC_WORDS)
        draws = frozen_random.integers(f"{label}/words", (count, 2), _DRAWS)
        indices = [int(draws[0, 0]) % len(members)]
        for first, second in draws[1:] % 4:
            indices.append(int(successors[indices[-1], first * second // 4]))  # the first successors are frequent
        return [self._lexicon[members[index]] for index in indices]

    def tokens(self, text: str) -> int | None:
        """As in `WordSource`."""
        return len(self._tokenizer.encode(text).ids) if self._tokenizer is not None else None


@cache
def _topic_tables(topic: int, lexicon: int, size: int) -> tuple[Integers, Integers]:
    """Words of a topic as indices into the lexicon, [size], and each word's successors as indices into those, [size, 4]."""
    members = frozen_random.permutation(f"prompts/topic/{topic}", lexicon)[:size]
    return members, frozen_random.integers(f"prompts/successors/{topic}", (len(members), 4), len(members))


def _single_tokens(tokenizer: Tokenizer) -> list[str]:
    """Words of the vocabulary that start with a space and are lower-case ASCII, the 2000 of the lowest ids."""
    ids_and_words = [
        (i, token) for token, i in tokenizer.get_vocab().items() if re.fullmatch("[\u0120\u2581][a-z]{3,10}", token)
    ]
    return [token[1:] for _, token in sorted(ids_and_words)[:2000]]


_COMMON = """
the and that have with this from they would there their what about which when make like time just know take
people into year your good some could them other than then look only come over think also back after work first
well even want because these give most water city house river mountain engine paper school teacher doctor music
window garden winter summer morning evening letter number answer question reason story market price company
country language picture science history machine system program network message report answer server memory
signal measure weather island forest bridge village kitchen dinner coffee bread apple orange silver golden green
yellow purple small large early late quick slow strong quiet simple common public private open close carry bring
build write read speak listen follow change begin finish travel arrive return remember forget believe understand
explain decide choose compare collect divide increase reduce produce receive deliver between around through
against without during before behind under above often always never again perhaps almost together however
"""
COMMON_WORDS = _COMMON.split()
