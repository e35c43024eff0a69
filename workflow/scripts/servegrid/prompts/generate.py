"""Prompt sets made on the machine from a seed: the same bytes everywhere, as long and as varied as asked."""

from collections.abc import Iterable

from servegrid.prompts.files import Prompt
from servegrid.prompts.spread import Spread, lengths
from servegrid.prompts.words import WordSource

_OPENERS = "1234567890#@%&*+=~"


def generate(
    count: int, input_tokens: Spread, output_tokens: Spread | None, seed: int, source: WordSource
) -> list[Prompt]:
    """`count` prompts p0000, p0001, ... of the wanted lengths in tokens, input and output drawn apart.

    Without `output_tokens` the prompts leave the length of their answers to the config.

    With a tokenizer no prompt is longer than drawn unless a single word is; with the built-in model's, lengths from 3
    tokens on are exact.

    Raises:
        ValueError: `count` is below 1.
    """
    if count < 1:
        raise ValueError(f"{count} prompts are no set; allowed: at least 1")
    label = f"prompts/{seed}"
    wanted = lengths(f"{label}/input", count, input_tokens)
    answers = lengths(f"{label}/output", count, output_tokens) if output_tokens else [None] * count
    texts = [_text(source, f"{label}/{i}", length) for i, length in enumerate(wanted)]
    return [Prompt(f"p{i:04d}", text, answer) for i, (text, answer) in enumerate(zip(texts, answers, strict=True))]


def warmup_prompts(
    count: int,
    seed: int,
    source: WordSource,
    measured: Iterable[Prompt],
    input_tokens: int = 64,
    output_tokens: int = 16,
) -> list[Prompt]:
    """Prompts w0000, w0001, ... to warm a server up with; no prefix cache helps a measured prompt through them.

    Each begins with a character with which no measured prompt begins.

    Raises:
        ValueError: Every character at choice begins some measured prompt.
    """
    taken = {prompt.text[:1] for prompt in measured}
    opener = next((character for character in _OPENERS if character not in taken), None)
    if opener is None:
        raise ValueError(f"the measured prompts begin with every one of {_OPENERS}: no warm-up prompt can differ")
    texts = [_text(source, f"warm-up/{seed}/{i}", input_tokens, f"{opener} ") for i in range(count)]
    return [Prompt(f"w{i:04d}", text, output_tokens) for i, text in enumerate(texts)]


def _text(source: WordSource, label: str, wanted: int, opening: str = "") -> str:
    """As many words as fit in the wanted tokens, at least one."""
    words = source.words(label, wanted)  # a word is a token at least

    def text(count: int) -> str:
        return opening + " ".join(words[:count])

    if source.tokens("") is None:
        return text(max(1, wanted * 3 // 4))
    low, high = 1, wanted + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if (source.tokens(text(middle)) or 0) <= wanted else (low, middle)
    return text(low)
