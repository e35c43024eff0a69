"""How many tokens of each prompt no other prompt of the load begins with: those cannot be cached unless the prompt itself was seen."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any

from servegrid.client.token_counts import Tokenizer
from servegrid.metrics.texts import first_difference
from servegrid.prompts.files import Prompt
from servegrid.prompts.salt import MOST_TOKENS
from servegrid.records.request import RequestRecord

SURE_SHARE = 0.8
"""Part of a share of characters that is taken as a share of tokens without a tokenizer: words are not all as many tokens a letter."""
CHARACTERS_PER_TOKEN = 8
"""More than tokenizers put into a token of running text: how many tokens a chat's template adds is not known without a tokenizer."""


class OwnTokens:
    """Own tokens of the prompts of a load, salted or not; each prompt's are found out when they are first asked for."""

    def __init__(self, prompts: Sequence[Prompt], tokenizer: Tokenizer | None, has_template: bool) -> None:
        """Take the prompts of a round; without the model's tokenizer their own tokens are estimated, rather too low.

        `has_template`: whether the server puts a text of its own around them.
        """
        self._prompts, self._tokenizer, self._has_template = prompts, tokenizer, has_template

    def write(self, records: Iterable[RequestRecord]) -> None:
        """Write own tokens into the records of requests with these prompts."""
        for record in records:
            is_salted = record.prompt_id not in self._lengths
            own, length = self._lengths[record.prompt_id.rpartition("@")[0] if is_salted else record.prompt_id]
            record.own_tokens = own if self._tokenizer else self._estimate(own / length, length, record, is_salted)

    @cached_property
    def _lengths(self) -> dict[str, tuple[int, int]]:
        """Own length and length of each prompt by its id: in tokens, without a tokenizer in characters."""
        texts = [prompt.text for prompt in self._prompts]
        units: list[Sequence[Any]] = [self._units(text) for text in texts]
        common = _common_lengths(units)
        sizes = zip(common, map(len, units), strict=True)
        return {prompt.id: (size - shared, size) for prompt, (shared, size) in zip(self._prompts, sizes, strict=True)}

    def _estimate(self, own_share: float, length: int, record: RequestRecord, is_salted: bool) -> int | None:
        """Own tokens, at least, of a prompt of `length` characters, of which `own_share` are its own."""
        if record.prompt_tokens is None:
            return None
        tokens = SURE_SHARE * max(0, record.prompt_tokens - (MOST_TOKENS if is_salted else 0))
        return int(own_share * (min(tokens, length / CHARACTERS_PER_TOKEN) if self._has_template else tokens))

    def _units(self, text: str) -> Sequence[Any]:
        return tuple(self._tokenizer.encode(text, add_special_tokens=False).ids) if self._tokenizer else text


def _common_lengths(sequences: Sequence[Any]) -> list[int]:
    """Length of the longest beginning that each text, or tuple, has in common with another one: in order, with a neighbour."""
    ordered = sorted(set(sequences))
    longest = dict.fromkeys(ordered, 0)
    for first, second in pairwise(ordered):
        common = first_difference(first, second)
        longest[first], longest[second] = max(longest[first], common), max(longest[second], common)
    return [longest[sequence] for sequence in sequences]
