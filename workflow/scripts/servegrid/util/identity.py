"""Identity is content: a name that a person can read, and a hash of everything that defines the thing."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import Field, fields, is_dataclass
from dataclasses import field as dataclass_field
from typing import Any

_ADDED = "added after a release"
_UNHASHED = "not hashed"


def added_field(default: Any) -> Any:
    """Field added after a release: left out of the hash while at its default, so old ids stay valid."""
    return dataclass_field(default=default, metadata={_ADDED: True})


def unhashed_field(default: Any) -> Any:
    """Field that is never part of the hash."""
    return dataclass_field(default=default, metadata={_UNHASHED: True})


def digest(definition: Any, length: int = 10) -> str:
    """First `length` hex digits of the SHA-256 of a definition: mappings (in any order), lists, dataclasses, texts and numbers."""
    text = json.dumps(definition, sort_keys=True, separators=(",", ":"), default=_as_json, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def readable_name(*parts: object) -> str:
    """Folder name of the joined parts, 80 characters at most: letters, digits, dot and hyphen; the rest becomes hyphens."""
    cleaned = (re.sub(r"[^A-Za-z0-9.]+", "-", str(part)).strip("-.") for part in parts)
    return "-".join(part for part in cleaned if part)[:80]


def hashed_name(definition: Any, *parts: object) -> str:
    """Readable name of the parts that ends in the hash of `definition`."""
    return f"{readable_name(*parts)}-{digest(definition)}"


def _as_json(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value) if _is_hashed(field, value)}
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a definition cannot hold {value!r}")


def _is_hashed(field: Field[Any], value: Any) -> bool:
    if _UNHASHED in field.metadata:
        return False
    return _ADDED not in field.metadata or getattr(value, field.name) != field.default
