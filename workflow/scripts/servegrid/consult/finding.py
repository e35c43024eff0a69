"""What a check of the host found."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One check's result. `miss` stops a sweep, `note` can falsify it, `good` is fine."""

    state: Literal["good", "note", "miss"]
    subject: str
    found: str
    remedy: str = ""

    def __str__(self) -> str:
        sign = {"good": "ok  ", "note": "note", "miss": "MISS"}[self.state]
        return f"{sign}  {self.subject}: {self.found}" + (f"\n      -> {self.remedy}" if self.remedy else "")
