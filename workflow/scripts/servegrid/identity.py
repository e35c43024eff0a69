"""Identity is content: a name that a person can read, and a hash of everything that defines the thing."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any


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
        return asdict(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a definition cannot hold {value!r}")
