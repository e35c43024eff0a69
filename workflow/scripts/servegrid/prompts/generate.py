"""Generate prompt sets from a seed: the same bytes on every machine, with lengths drawn from the distributions asked for."""

from collections.abc import Iterable

from servegrid.prompts.files import Prompt
from servegrid.prompts.length_distribution import LengthDistribution, draw_lengths
from servegrid.prompts.word_source import WordSource

_OPENERS = "1234567890#@%&*+=~"


def generate_prompts(
    count: int,
    input_tokens: LengthDistribution,
    output_tokens: LengthDistribution | None,
    seed: int,
    source: WordSource,
) -> list[Prompt]:
    """Generate `count` prompts p0000, p0001, ...; input and output lengths, in tokens, are drawn independently.

    Without `output_tokens` the prompts leave the length of their answers to the config (max_tokens is None).

    With a tokenizer no prompt is longer than drawn unless a single word is; with the built-in model's, lengths from 3
    tokens on are exact.

    Raises:
        ValueError: `count` is below 1.
    """
    if count < 1:
        raise ValueError(f"{count} prompts are no set; allowed: at least 1")
    label = f"prompts/{seed}"
    input_lengths = draw_lengths(f"{label}/input", count, input_tokens)
    output_lengths = draw_lengths(f"{label}/output", count, output_tokens) if output_tokens else [None] * count
    texts = [_text(source, f"{label}/{i}", length) for i, length in enumerate(input_lengths)]
    return [
        Prompt(f"p{i:04d}", text, output_length)
        for i, (text, output_length) in enumerate(zip(texts, output_lengths, strict=True))
    ]


def warmup_prompts(
    count: int,
    seed: int,
    source: WordSource,
    measured: Iterable[Prompt],
    input_tokens: int = 64,
    output_tokens: int = 16,
) -> list[Prompt]:
    """Generate warm-up prompts w0000, w0001, ..., which fill no prefix cache for a measured prompt.

    Each begins with a character with which no measured prompt begins.

    Raises:
        ValueError: Every character of _OPENERS begins some measured prompt.
    """
    used_openers = {prompt.text[:1] for prompt in measured}
    opener = next((character for character in _OPENERS if character not in used_openers), None)
    if opener is None:
        raise ValueError(f"the measured prompts begin with every one of {_OPENERS}: no warm-up prompt can differ")
    texts = [_text(source, f"warm-up/{seed}/{i}", input_tokens, f"{opener} ") for i in range(count)]
    return [Prompt(f"w{i:04d}", text, output_tokens) for i, text in enumerate(texts)]


def _text(source: WordSource, label: str, max_tokens: int, opening: str = "") -> str:
    """Text of as many words as fit into `max_tokens`, at least one, by bisection on the number of words."""
    words = source.words(label, max_tokens)  # a word is a token at least

    def first_words(count: int) -> str:
        return opening + " ".join(words[:count])

    if source.tokens("") is None:
        return first_words(max(1, max_tokens * 3 // 4))
    low, high = 1, max_tokens + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if (source.tokens(first_words(middle)) or 0) <= max_tokens else (low, middle)
    return first_words(low)
