"""Tokens of a prompt that no other prompt begins with: exact with a tokenizer, and never too many without."""

from typing import Any

import pytest

from servegrid.measure.own_tokens import OwnTokens
from servegrid.prompts.files import Prompt
from servegrid.prompts.salt import salted
from servegrid.records.request import RequestRecord


class Words:
    """A tokenizer: words are tokens."""

    def encode(self, sequence: str, *, add_special_tokens: bool) -> Any:
        return type("Encoding", (), {"ids": sequence.split()})


TEXTS = [
    "be brief say one two",
    "be brief say one",
    "be brief tell three four five",
    "alone and long",
    "alone and long",
]
PROMPTS = [Prompt(f"p@{number}", text) for number, text in enumerate(TEXTS)]


def own(
    tokenizer: Words | None, prompts: list[Prompt], prompt_tokens: int | None = None, has_template: bool = False
) -> list[int | None]:
    records = [RequestRecord("r", prompt.id, 8, "ok", prompt_tokens=prompt_tokens) for prompt in prompts]
    OwnTokens(PROMPTS, tokenizer, has_template).write(records)
    return [record.own_tokens for record in records]


def test_with_a_tokenizer() -> None:
    assert own(Words(), PROMPTS) == [1, 0, 4, 3, 3]


def test_a_salt_changes_nothing() -> None:
    assert own(Words(), [salted(prompt, "place") for prompt in PROMPTS]) == own(Words(), PROMPTS)


@pytest.mark.parametrize("salt", [0, 9, 17])
@pytest.mark.parametrize("template", [0, 30])
def test_without_a_tokenizer_there_are_fewer(salt: int, template: int) -> None:
    prompts = [salted(prompt, "place") for prompt in PROMPTS] if salt else PROMPTS
    for prompt, words, exact in zip(prompts, [5, 4, 6, 3, 3], own(Words(), PROMPTS), strict=True):
        [estimate] = own(None, [prompt], words + salt + template, has_template=bool(template))
        assert estimate is not None and exact is not None and 0 <= estimate <= exact


def test_estimates_are_no_mere_zeros() -> None:
    assert own(None, PROMPTS[2:4], prompt_tokens=6) == [3, 4] and own(None, PROMPTS) == [None] * 5
    assert own(None, PROMPTS[2:4], prompt_tokens=60, has_template=True) == [2, 1]
