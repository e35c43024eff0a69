"""Identity is content: a name that a person can read, and a hash of everything that defines the thing."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import Field, field, fields, is_dataclass
from typing import Any

_LATER = "joined the definition later"
_ASIDE = "no part of the definition"


def later(default: Any) -> Any:
    """A dataclass field that joined a definition when things were measured already: at its default it does not count."""
    return field(default=default, metadata={_LATER: True})


def aside(default: Any) -> Any:
    """A dataclass field that is no part of the definition, and never counts."""
    return field(default=default, metadata={_ASIDE: True})


def digest(definition: Any, length: int = 10) -> str:
    """Hex digest of a definition made of mappings, lists, texts and numbers; the order of keys does not count."""
    text = json.dumps(definition, sort_keys=True, separators=(",", ":"), default=_plain, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def readable(*parts: object) -> str:
    """Parts joined for a folder's name: letters, digits, dot and hyphen; anything else becomes a hyphen."""
    words = (re.sub(r"[^A-Za-z0-9.]+", "-", str(part)).strip("-.") for part in parts)
    return "-".join(word for word in words if word)[:80]


def named(definition: Any, *parts: object) -> str:
    """A readable name that ends in the hash of `definition`."""
    return f"{readable(*parts)}-{digest(definition)}"


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: getattr(value, each.name) for each in fields(value) if _counts(each, value)}
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a definition cannot hold {value!r}")


def _counts(each: Field[Any], value: Any) -> bool:
    if _ASIDE in each.metadata:
        return False
    return _LATER not in each.metadata or getattr(value, each.name) != each.default
