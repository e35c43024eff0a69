"""The library server's text: detokenizing a token at a time, and stop strings."""

import itertools
import random

import tiny_llama
from hypothesis import given
from hypothesis import strategies as st
from library_server.detokenizer import Detokenizer
from library_server.stop import StopSearch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

BYTE_LEVEL = tiny_llama.tokenizer()


def sentencepiece() -> Tokenizer:
    """The other kind of tokenizer: a mark for spaces, stripped at a text's begin, and bytes as a fallback."""
    vocabulary = [
        "<s>",
        "</s>",
        *(f"<0x{byte:02X}>" for byte in range(256)),
        *["▁", "▁the", "the", "▁▁", "server", "s", "▁s"],
    ]
    tokenizer = Tokenizer(models.BPE({word: i for i, word in enumerate(vocabulary)}, [], byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    strip = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(strip)
    tokenizer.add_special_tokens(["<s>", "</s>"])
    return tokenizer


BYTE_FALLBACK = sentencepiece()


def deltas(tokenizer: Tokenizer, ids: list[int]) -> list[str]:
    detokenizer = Detokenizer(tokenizer)
    return [*(detokenizer.push(i) for i in ids), detokenizer.finish()]


@given(st.lists(st.integers(0, BYTE_LEVEL.get_vocab_size() - 1), max_size=40))
def test_deltas_of_any_bytes_sum_to_the_text(ids: list[int]) -> None:
    assert "".join(deltas(BYTE_LEVEL, ids)) == BYTE_LEVEL.decode(ids)


@given(st.lists(st.integers(0, 1) | st.integers(258, 264) | st.characters(exclude_categories=["Cs"]), max_size=20))
def test_deltas_sum_to_the_text_with_stripped_spaces_and_byte_tokens(pieces: list[int | str]) -> None:
    # whole characters, for a broken one makes the library rewrite the good bytes before it, long sent
    tokens = [[piece] if isinstance(piece, int) else [2 + byte for byte in piece.encode()] for piece in pieces]
    ids = list(itertools.chain.from_iterable(tokens))
    assert "".join(deltas(BYTE_FALLBACK, ids)) == BYTE_FALLBACK.decode(ids)


@given(st.text(max_size=40))
def test_real_text_comes_without_broken_characters(text: str) -> None:
    parts = deltas(BYTE_LEVEL, BYTE_LEVEL.encode(text, add_special_tokens=False).ids)
    assert "".join(parts) == text


def test_character_of_several_tokens_comes_with_its_last() -> None:
    ids = [*BYTE_LEVEL.encode("a").ids, *BYTE_LEVEL.encode("𝄞").ids]
    assert len(ids) == 5
    assert deltas(BYTE_LEVEL, ids) == ["a", "", "", "", "𝄞", ""]


def test_unfinished_character_comes_at_the_end() -> None:
    ids = BYTE_LEVEL.encode("𝄞").ids[:2]
    assert deltas(BYTE_LEVEL, ids) == ["", "", BYTE_LEVEL.decode(ids)]


def through(stops: list[str], parts: list[str]) -> tuple[list[str], bool]:
    search = StopSearch(stops)
    return [*(search.push(part) for part in parts), search.finish()], search.is_found


@given(st.lists(st.text("ab", max_size=3), max_size=12), st.lists(st.text("ab", min_size=1, max_size=4), max_size=3))
def test_text_ends_before_the_first_stop_however_it_is_cut(parts: list[str], stops: list[str]) -> None:
    text = "".join(parts)
    shown, is_found = through(stops, parts)
    # the first stop to be complete wins, and among those the one that begins first
    complete = [end for end in range(len(text) + 1) if any(text[:end].endswith(stop) for stop in stops)]
    assert is_found == bool(complete)
    if not is_found:
        assert "".join(shown) == text
    else:
        assert text.startswith("".join(shown))
        assert any(text.startswith("".join(shown) + stop) for stop in stops)
        assert not any(stop in "".join(shown) for stop in stops)


def test_only_the_begin_of_a_stop_is_held_back() -> None:
    shown, is_found = through(["END"], ["say E", "ND", " of E", "N"])
    assert (shown, is_found) == (["say ", "", "", "", ""], True)
    shown, is_found = through(["END"], ["say E", "x", "N E"])
    assert (shown, is_found) == (["say ", "Ex", "N ", "E"], False)


def test_random_order_is_no_matter() -> None:
    rng = random.Random(5)
    ids = [rng.randrange(BYTE_LEVEL.get_vocab_size()) for _ in range(3000)]
    assert "".join(deltas(BYTE_LEVEL, ids)) == BYTE_LEVEL.decode(ids)
