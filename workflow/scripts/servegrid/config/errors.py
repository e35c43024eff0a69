"""Error messages of the config: the key, the value, what is allowed, and the YAML pitfall behind it where there is one."""

import difflib
import re
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ValidationError

from servegrid.config.judging import Claim
from servegrid.config.models import Config
from servegrid.config.serving import Device, EngineConfig

_USER_INFO = re.compile(r"(?<=://).*@", re.DOTALL)


class ConfigError(Exception):
    """The config cannot be used. The text has one line per mistake."""

    def __init__(self, mistakes: Iterable[str]) -> None:
        self.mistakes = list(mistakes)
        super().__init__("config cannot be used:\n" + "\n".join(f"  - {mistake}" for mistake in self.mistakes))


def from_validation(error: ValidationError) -> ConfigError:
    """Convert pydantic's errors into a ConfigError; errors about one key become one line."""
    by_key: dict[str, dict[str, Any]] = {}
    for details in error.errors():
        by_key.setdefault(key_of(details["loc"]), dict(details))
    return ConfigError(_mistake(key, details) for key, details in by_key.items())


def key_of(location: Iterable[str | int]) -> str:
    """Key of a pydantic error location: `('grid', 'threads', 2, 'int')` -> `grid.threads[2]`; names of union members are dropped."""
    key = ""
    for part in location:
        if isinstance(part, int):
            key += f"[{part}]"
        elif part not in _UNION_MEMBERS and not part.startswith(("constrained-", "function-", "list[", "dict[")):
            key += f".{part}" if key else part
    return key


_UNION_MEMBERS = {"str", "int", "float", "bool", "none"}


def _mistake(key: str, finding: dict[str, Any]) -> str:
    if finding["type"] == "extra_forbidden":
        return unknown_key(key, _allowed_keys(finding["loc"]))
    if finding["type"] == "missing":
        return f"{key}: is missing and has no default; servegrid's own config/config.yaml has one, to start from a copy of it"
    value = finding["input"]
    message = (
        finding["msg"]
        .removeprefix("Value error, ")
        .replace("Input should be", "must be")
        .replace("List should", "must")
    )
    return f"{key} = {yaml_text(value)}: {message}{yaml_hint(value)}"


def unknown_key(key: str, allowed: Iterable[str]) -> str:
    """Error message for a key that does not exist, with the nearest one that does."""
    allowed = sorted(allowed)
    closest = difflib.get_close_matches(key.rpartition(".")[2], allowed, n=1)
    hint = f"; did you mean {closest[0]}?" if closest else ""
    return f"{key}: there is no such key{hint} (allowed: {', '.join(allowed)})"


def yaml_text(value: Any) -> str:
    """The value as written in YAML, cut to 80 characters, without user and password of a URL."""
    literals = {None: "null", True: "true", False: "false"}
    text = literals[value] if value is None or isinstance(value, bool) else _USER_INFO.sub("***@", repr(value))
    return text if len(text) <= 80 else text[:77] + "..."


def yaml_hint(value: Any) -> str:
    """Hint that YAML may have changed what was written (bare off/no/on/yes, 0.10, 1e3); empty if it cannot have."""
    if isinstance(value, bool):
        word = "on, yes or true" if value else "off, no or false"
        return f" (YAML reads a bare {word} as {str(value).lower()}; put quotes around a word)"
    if isinstance(value, float):
        return " (YAML drops a trailing zero: 0.10 is read as 0.1; put quotes around a version)"
    if isinstance(value, str) and _is_number(value):
        return f" (this is text, not a number; YAML reads 1e3 and quoted numbers as text: write {float(value):g})"
    return ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _allowed_keys(location: tuple[str | int, ...]) -> list[str]:
    """Keys that are allowed in the section of the unknown key at `location`."""
    section: Any = Config
    for part in location[:-1]:
        if isinstance(section, type) and issubclass(section, BaseModel) and isinstance(part, str):
            section = section.model_fields[part].annotation
            entries = {"engines": EngineConfig, "devices": Device, "claims": Claim}
            section = entries.get(part, section)
    return list(section.model_fields) if isinstance(section, type) and issubclass(section, BaseModel) else []
