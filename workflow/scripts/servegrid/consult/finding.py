"""The result of one check of the host."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """Result of one check. `miss` stops a sweep, `note` can falsify it, `good` is fine."""

    state: Literal["good", "note", "miss"]
    subject: str
    detail: str
    remedy: str = ""

    def __str__(self) -> str:
        sign = {"good": "ok  ", "note": "note", "miss": "MISS"}[self.state]
        return f"{sign}  {self.subject}: {self.detail}" + (f"\n      -> {self.remedy}" if self.remedy else "")
