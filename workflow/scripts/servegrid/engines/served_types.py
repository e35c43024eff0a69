"""The number types that a server really took, from what it said and from its command line."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

_SPELLINGS = {"f32": "float32", "f16": "float16", "bf16": "bfloat16", "half": "float16", "float": "float32"}
AUTO = "auto"


class ServedTypes(NamedTuple):
    """Type of the weights, or that the engine computes in, and of the KV cache, in one spelling for all engines; None if unknown."""

    compute: str | None = None
    kv_cache: str | None = None


@dataclass(frozen=True, slots=True)
class TypeSources:
    """Where an engine says its types, besides its JSON answers: pattern in its log, then the flag of its command line.

    Attributes:
        compute: pattern whose first group is the type.
        kv_cache: the same of the KV cache; AUTO there is the type that is computed in.
        compute_flags, kv_cache_flags: flags, in all spellings.
        kv_cache_default: what the cache has without its flag; None: not known.
    """

    compute: str | None = None
    kv_cache: str | None = None
    compute_flags: tuple[str, ...] = ("--dtype",)
    kv_cache_flags: tuple[str, ...] = ("--kv-cache-dtype",)
    kv_cache_default: str | None = None

    def read(self, answered: ServedTypes, log: str, command: Sequence[str]) -> ServedTypes:
        """Types by what the server answered, else by its log, else by its command line (empty where it was not launched)."""
        compute = answered.compute or _in_log(self.compute, log) or _after_flag(self.compute_flags, command)
        default = self.kv_cache_default if command else None
        asked = _after_flag(self.kv_cache_flags, command) or default
        kv_cache = answered.kv_cache or _in_log(self.kv_cache, log) or asked
        compute, kv_cache = one_spelling(compute), one_spelling(kv_cache)
        known = None if compute == AUTO else compute
        return ServedTypes(known, known if kv_cache == AUTO else kv_cache)


def one_spelling(name: str | None) -> str | None:
    """The type's name as all engines are shown: `torch.bfloat16`, `BF16` and `all F32` -> `bfloat16`, `bfloat16`, `float32`."""
    if not name:
        return None
    plain = name.lower().removeprefix("torch.").removeprefix("all ").removesuffix("(guessed)").strip()
    return _SPELLINGS.get(plain, plain)


def float_part(compute_type: str | None) -> str | None:
    """The type that activations, and so the cache, have with a library's compute type: `int8_float32` -> `float32`."""
    part = (compute_type or "").rpartition("_")[2]
    return part if "float" in part else None


def _in_log(pattern: str | None, log: str) -> str | None:
    found = re.search(pattern, log) if pattern else None
    return found[1] if found else None


def _after_flag(flags: Sequence[str], command: Sequence[str]) -> str | None:
    """Value of the last of these flags, as two words or one with `=`."""
    values = [word.partition("=")[2] for word in command if word.partition("=")[0] in flags and "=" in word]
    values += [value for flag, value in pairwise(command) if flag in flags]
    return values[-1] if values else None


def from_info(info: object, compute: str, kv_cache: str = "") -> ServedTypes:
    """Types under these keys of a server's JSON answer, where they are texts; AUTO says nothing."""
    texts = (info.get(key) if isinstance(info, Mapping) else None for key in (compute, kv_cache))
    return ServedTypes(*(text if isinstance(text, str) and text != AUTO else None for text in texts))
