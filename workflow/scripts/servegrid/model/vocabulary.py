"""The built-in model's tokenizer: a byte-level BPE, in which every word of the model's language is one token.

Token ids: 0 the end-of-text token, 1..256 the bytes, then what the merges make: syllables, syllables after a space,
words of two syllables and words of three. Text of any other kind falls apart into syllables and bytes.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product

from servegrid.model import frozen_random

SIZE = 4096
END = "<|end|>"
SPACE = "\u0120"  # how byte-level BPE writes the space

_SYLLABLES = [consonant + vowel for consonant in "bdfghklmnprstv" for vowel in "aeiou"]
_WORDS_OF_TWO = 1400
FIRST_WORD = 1 + 256 + 2 * len(_SYLLABLES)


@dataclass(frozen=True)
class Vocabulary:
    """Tokens by id, and the merges in order of rank."""

    tokens: list[str]
    merges: list[tuple[str, str]]

    def word(self, token: int) -> str:
        """Word of a token from FIRST_WORD on, without its leading space."""
        return self.tokens[token].removeprefix(SPACE)


@cache
def vocabulary() -> Vocabulary:
    """Vocabulary of the built-in model, SIZE tokens."""
    merges = list(_merges())
    tokens = [END, *_byte_letters(), *(left + right for left, right in merges)]
    return Vocabulary(tokens[:SIZE], merges[: SIZE - 257])


def tokenizer_json() -> str:
    """Content of the tokenizer.json (Hugging Face); no token is ever added to a text."""
    vocab = vocabulary()
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    end = {"id": 0, "content": END, "single_word": False, "lstrip": False, "rstrip": False}
    bpe = {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
        "vocab": {token: i for i, token in enumerate(vocab.tokens)},
        "merges": [list(merge) for merge in vocab.merges],
    }
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{**end, "normalized": False, "special": True}],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": bpe,
    }
    return json.dumps(tokenizer, ensure_ascii=True, indent=0) + "\n"


def _merges() -> Iterator[tuple[str, str]]:
    """Yield the merges by rank: parts of a word come before the word, so that it can be merged in one way only."""
    yield from ((syllable[0], syllable[1]) for syllable in _SYLLABLES)
    yield from ((SPACE, syllable) for syllable in _SYLLABLES)
    pairs = list(product(_SYLLABLES, repeat=2))
    two_syllables = [pairs[i] for i in frozen_random.permutation("words/two", len(pairs))[:_WORDS_OF_TWO]]
    yield from ((SPACE + first, second) for first, second in two_syllables)
    triples = list(product([first + second for first, second in two_syllables], _SYLLABLES))
    yield from ((SPACE + triples[i][0], triples[i][1]) for i in frozen_random.permutation("words/three", len(triples)))


def _byte_letters() -> list[str]:
    """Character that stands for each byte in GPT-2's table: printable bytes are themselves, the rest follow 255."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    unprintable_codes = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(unprintable_codes)) for byte in range(256)]
