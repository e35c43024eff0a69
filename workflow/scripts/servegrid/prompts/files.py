"""Prompt sets as JSON Lines: one object a line, `prompt`, and optionally `id` and `max_tokens`."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from servegrid.files import write_atomic

KEYS = ("id", "prompt", "max_tokens")


class PromptError(ValueError):
    """A prompt file cannot be used; the text names file, line, key, value and what is allowed."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt. `max_tokens` is how many tokens to ask for, None for the number that goes for all."""

    id: str
    text: str
    max_tokens: int | None = None


def read_prompts(path: Path) -> list[Prompt]:
    """Read a JSON Lines file; empty lines are passed over, a missing id is the line's number.

    Raises:
        PromptError: at the first line that cannot be used, or when there is no prompt at all, or an id stands twice.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise PromptError(f"{path}: {error}") from None
    prompts = [_prompt(f"{path}, line {number}", number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not prompts:
        raise PromptError(f"{path}: holds no prompt; expected one JSON object per line with the key prompt")
    seen: set[str] = set()
    for prompt in prompts:
        if prompt.id in seen:
            raise PromptError(f"{path}: id {prompt.id!r} stands twice; each prompt needs one of its own")
        seen.add(prompt.id)
    return prompts


def write_prompts(path: Path, prompts: Iterable[Prompt]) -> None:
    """Write prompts in the form that `read_prompts` reads, whole or not at all."""
    lines = [json.dumps(_fields(prompt), ensure_ascii=False) for prompt in prompts]
    write_atomic(path, "\n".join(lines) + "\n")


def _fields(prompt: Prompt) -> dict[str, Any]:
    fields: dict[str, Any] = {"id": prompt.id, "prompt": prompt.text}
    return fields if prompt.max_tokens is None else fields | {"max_tokens": prompt.max_tokens}


def _prompt(where: str, number: int, line: str) -> Prompt:
    try:
        fields = json.loads(line)
    except ValueError as error:
        raise PromptError(f"{where}: not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise PromptError(f"{where}: {line[:60]} is not an object with the key prompt")
    if unknown := sorted(set(fields) - set(KEYS)):
        raise PromptError(f"{where}: key {unknown[0]!r} is unknown (allowed: {', '.join(KEYS)})")
    return Prompt(_id(where, number, fields), _text(where, fields), _max_tokens(where, fields))


def _id(where: str, number: int, fields: dict[str, Any]) -> str:
    value = fields.get("id", str(number))
    if not isinstance(value, str | int) or isinstance(value, bool) or value == "":
        raise PromptError(f"{where}: id = {value!r}: must be text or a whole number")
    return str(value)


def _text(where: str, fields: dict[str, Any]) -> str:
    value = fields.get("prompt")
    if not isinstance(value, str) or not value:
        raise PromptError(f"{where}: prompt = {value!r}: must be text, not empty")
    return value


def _max_tokens(where: str, fields: dict[str, Any]) -> int | None:
    value = fields.get("max_tokens")
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise PromptError(f"{where}: max_tokens = {value!r}: must be a whole number, at least 1")
    return value
