"""Values of the speculation axis: a kind and the number of tokens drafted per step."""

from dataclasses import dataclass

KINDS = ("ngram", "draft", "suffix", "eagle", "eagle3", "medusa", "mlp", "mtp")
TRAINED = ("eagle", "eagle3", "medusa", "mlp")
"""Kinds with weights of their own, trained for the model: `model.speculators` names them."""
FIXED_LENGTH = ("medusa", "mlp", "mtp")
"""Kinds that need no length: the model's heads have theirs."""


@dataclass(frozen=True, slots=True)
class Speculation:
    """`none` with length 0, or a kind and the number of tokens drafted per step (0: as many as the model has heads)."""

    kind: str = "none"
    length: int = 0

    def __str__(self) -> str:
        return f"{self.kind}:{self.length}" if self.length else self.kind


def parse_speculation(value: str | int, default_kind: str) -> Speculation:
    """Parse a value of the axis: `none`, `ngram:2`, `medusa`, or a bare length (0 is none), which means `default_kind`.

    Raises:
        ValueError: naming what is allowed.
    """
    if str(value) in ("none", "0"):
        return Speculation()
    if value in FIXED_LENGTH:
        return Speculation(str(value))
    kind, _, length = str(value).rpartition(":")
    if (kind and kind not in KINDS) or not length.isdigit() or int(length) < 1:
        allowed = ", ".join([*(f"{kind}:N" for kind in KINDS), *FIXED_LENGTH])
        raise ValueError(f"none, a whole number, or one of {allowed}")
    return Speculation(kind or default_kind, int(length))
