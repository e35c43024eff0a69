"""Prompts for a load that is run alone: from a JSON Lines file, or the few that are built in."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BUILT_IN = (
    "Explain to a ten-year-old why the sky is blue, in a few sentences.",
    "Write a short story about a lighthouse keeper who finds a message in a bottle.",
    "List the steps to change the tyre of a bicycle, with one sentence about each.",
    "Summarise how a steam engine turns heat into motion.",
    "Write a polite letter that declines an invitation to a wedding.",
    "Describe a street market in the early morning, with its sounds and smells.",
    "What is the difference between weather and climate? Give two examples.",
    "Write a Python function that merges two sorted lists, and explain how it works.",
    "Tell the history of the printing press in five sentences.",
    "Plan a three-day walk along a coast, with a meal for every evening.",
    "Compare trains and aeroplanes for a journey of eight hundred kilometres.",
    "Write a dialogue between a clock and a calendar about time.",
    "Explain how vaccines teach the body to defend itself.",
    "Give advice to somebody who plants a vegetable garden for the first time.",
    "Describe how a violin is made, from the tree to the first note.",
    "Write a news report about the opening of a small library.",
)
_KEYS = ("id", "prompt", "max_tokens")


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt; `max_tokens` None: as the load says."""

    id: str
    text: str
    max_tokens: int | None = None


def built_in() -> list[Prompt]:
    """The built-in prompts."""
    return [Prompt(f"built-in-{number}", text) for number, text in enumerate(BUILT_IN, 1)]


def read_prompts(path: Path) -> list[Prompt]:
    """Read a JSON Lines file: one object per line, with `prompt` and, if wanted, `id` and `max_tokens`.

    Raises:
        ValueError: when a line is something else, an id comes twice, or there are no prompts; says where.
        OSError: when the file cannot be read.
    """
    prompts: dict[str, Prompt] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8: {error}") from None
    for number, line in enumerate(lines, 1):
        if line.strip():
            prompt = _prompt(line, number, f"{path}, line {number}")
            if prompt.id in prompts:
                raise ValueError(f"{path}, line {number}: id {prompt.id!r} was used before")
            prompts[prompt.id] = prompt
    if not prompts:
        raise ValueError(f"{path}: no prompts in it")
    return list(prompts.values())


def _prompt(line: str, number: int, where: str) -> Prompt:
    try:
        found: Any = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{where}: not JSON: {error}") from None
    if not isinstance(found, dict) or not isinstance(found.get("prompt"), str):
        raise ValueError(
            f"{where}: expected an object with the keys {', '.join(_KEYS)}, of which prompt (text) is needed"
        )
    name, tokens = found.get("id", number), found.get("max_tokens")
    if isinstance(name, bool) or not isinstance(name, (str, int)):
        raise ValueError(f"{where}: id {name!r}: expected text or a number")
    if tokens is not None and (isinstance(tokens, bool) or not isinstance(tokens, int) or tokens < 1):
        raise ValueError(f"{where}: max_tokens {tokens!r}: expected a whole number from 1")
    return Prompt(str(name), found["prompt"], tokens)
