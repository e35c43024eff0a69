"""Prompts generated on this machine: the same bytes for the same arguments, everywhere."""

from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer

from servegrid.model import bits
from servegrid.prompts.files import Prompt

VERSION = 1  # part of a load's identity: raise it when the same arguments make another set
SHORTEST = 4
LENGTHS = (35, 45, 55, 65, 75, 85, 95, 105, 120, 140, 170, 210)
"""Lengths in percent of the mean, which they average to: many short prompts and a few long ones, as in real traffic."""
WORDS = (
    "the a of to and in that it is was for on are as with his they be at one have this from by hot but some what there we can"
    " out other were all your when up use word how said an each she which do their time if will way about many then them would"
    " write like so these her long make thing see him two has look more day could go come did my sound no most number who over"
    " know water than call first people may down side been now find any new work part take get place made live where after back"
    " little only round man year came show every good me give our under name very through just form much great think say help"
).split()


def generated(tokenizer: Path, count: int, mean: int, longest: int, seed: int) -> list[Prompt]:
    """`count` prompts of `mean` tokens on average, SHORTEST to `longest`, as this tokenizer.json counts them.

    For the built-in model's tokenizer the words follow each other as that model would have them; for others they are
    common English words.
    """
    counter = Tokenizer.from_file(str(tokenizer))
    draws = bits.integers(f"prompts/{seed}/lengths", (count,), len(LENGTHS))
    lengths = [max(SHORTEST, min(longest, mean * LENGTHS[draw] // 100)) for draw in draws.tolist()]
    return [Prompt(f"p{i:04d}", _text(counter, f"prompts/{seed}/{i}", length)) for i, length in enumerate(lengths)]


def warmup_prompts(count: int, seed: int) -> list[Prompt]:
    """Prompts for warming up: they share no prefix with any generated prompt, nor with each other."""
    openings = [f"{number} warm-up: " for number in range(count)]
    texts = (opening + " ".join(_english(f"warm-up/{seed}/{number}", 8)) for number, opening in enumerate(openings))
    return [Prompt(f"warmup{number}", text) for number, text in enumerate(texts)]


def _text(counter: Tokenizer, label: str, length: int) -> str:
    """A text of `length` tokens, or the fewest above where no text has just as many."""
    from servegrid.model.language import walk
    from servegrid.model.vocabulary import is_builtin

    words = walk(label, length) if is_builtin(counter) else _english(label, length)
    low, high = 1, len(words)
    while low < high:  # words only add tokens, so the number of words can be found by halving
        middle = (low + high) // 2
        enough = len(counter.encode(" ".join(words[:middle]), add_special_tokens=False).ids) >= length
        low, high = (low, middle) if enough else (middle + 1, high)
    return " ".join(words[:low])


def _english(label: str, count: int) -> list[str]:
    return list(_capitalised(WORDS[draw] for draw in bits.integers(label, (count,), len(WORDS)).tolist()))


def _capitalised(words: Iterator[str]) -> Iterator[str]:
    """Sentences of nine words."""
    for number, word in enumerate(words):
        yield word.capitalize() if number % 9 == 0 else f"{word}." if number % 9 == 8 else word
