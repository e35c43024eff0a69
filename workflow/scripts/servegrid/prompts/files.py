"""Read and write prompt sets as JSONL: one object a line, keys `id`, `prompt`, `max_tokens`; only `prompt` is required."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from servegrid.util.files import write_atomic

_ALLOWED_KEYS = ("id", "prompt", "max_tokens")
_MOST_TOKENS = 2**31 - 1  # the records hold 32 bits


@dataclass(frozen=True)
class Prompt:
    """The prompt of one request.

    Attributes:
        id: Unique in its set.
        text: The prompt.
        max_tokens: Output tokens to ask for; None: the config's number.
    """

    id: str
    text: str
    max_tokens: int | None = None


class PromptFileError(ValueError):
    """A prompt file that cannot be used; says file, line, key, value, and what is allowed."""


def read_prompts(path: Path) -> list[Prompt]:
    """Read a prompt set in the file's order; a prompt without `id` gets its line number.

    Raises:
        PromptFileError: The file is missing, empty or not as described above.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError:
        raise PromptFileError(f"{path}: there is no such prompt file") from None
    except UnicodeDecodeError as error:
        raise PromptFileError(f"{path}: byte {error.start} is not UTF-8; allowed: UTF-8 text") from None
    prompts = [_parse(line, f"{path}, line {number}", number) for number, line in enumerate(lines, 1) if line.strip()]
    if not prompts:
        raise PromptFileError(f"{path}: the file holds no prompt; allowed: one JSON object a line, at least one")
    _check_ids_unique(path, prompts)
    return prompts


def write_prompts(path: Path, prompts: Iterable[Prompt]) -> None:
    """Write a prompt set in the form that `read_prompts` reads, whole or not at all."""
    write_atomic(path, "".join(f"{line}\n" for line in _lines(prompts)))


def _lines(prompts: Iterable[Prompt]) -> Iterator[str]:
    for prompt in prompts:
        row: dict[str, Any] = {"id": prompt.id, "prompt": prompt.text}
        if prompt.max_tokens is not None:
            row["max_tokens"] = prompt.max_tokens
        yield json.dumps(row, ensure_ascii=False)


def _parse(line: str, where: str, number: int) -> Prompt:
    row = _json(line, where)
    if not isinstance(row, dict):
        raise PromptFileError(f"{where}: {_shortened(row)} is no object; allowed: an object with {_ALLOWED_KEYS}")
    for key in row:
        if key not in _ALLOWED_KEYS:
            raise _wrong(where, key, row[key], f"the keys {', '.join(_ALLOWED_KEYS)}")
    if "prompt" not in row:
        raise PromptFileError(f"{where}: key 'prompt' is missing; allowed: a text that is not empty")
    return Prompt(_id(row, where, number), _text(row, where), _max_tokens(row, where))


def _json(line: str, where: str) -> Any:
    """The value that a line holds."""
    allowed = "one JSON object a line, each key once"
    try:
        return json.loads(line, object_pairs_hook=_object)
    except RecursionError:
        raise PromptFileError(f"{where}: not JSON that can be read (nested too deep); allowed: {allowed}") from None
    except json.JSONDecodeError as error:
        raise PromptFileError(f"{where}: not JSON ({error}); allowed: {allowed}") from None
    except ValueError as error:  # a key twice, or a number of thousands of digits
        raise PromptFileError(f"{where}: {error}; allowed: {allowed}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Object of these keys and values, none of which hides another."""
    row = dict(pairs)
    if len(row) < len(pairs):
        [(key, _)] = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"key {_shortened(key)} is there more than once")
    return row


def _id(row: dict[str, Any], where: str, number: int) -> str:
    value = row.get("id", str(number))
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.strip():
        raise _wrong(where, "id", value, "a text that is not empty, or a whole number")
    return value


def _text(row: dict[str, Any], where: str) -> str:
    value = row["prompt"]
    if not isinstance(value, str) or not value.strip():
        raise _wrong(where, "prompt", value, "a text that is not empty")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise _wrong(where, "prompt", "...", "Unicode text; half of a surrogate pair is none")
    return value


def _max_tokens(row: dict[str, Any], where: str) -> int | None:
    value = row.get("max_tokens")
    if value is not None and (type(value) is not int or not 1 <= value <= _MOST_TOKENS):
        raise _wrong(where, "max_tokens", value, f"a whole number from 1 to {_MOST_TOKENS}")
    return value


def _check_ids_unique(path: Path, prompts: list[Prompt]) -> None:
    seen: set[str] = set()
    for prompt in prompts:
        if prompt.id in seen:
            raise PromptFileError(f"{path}: the id {_shortened(prompt.id)} stands on two lines; allowed: each id once")
        seen.add(prompt.id)


def _wrong(where: str, key: str, value: Any, allowed: str) -> PromptFileError:
    return PromptFileError(f"{where}: key {key!r} is {_shortened(value)}; allowed: {allowed}")


def _shortened(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."
