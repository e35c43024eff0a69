"""Levels of client threads held against the requests of their loads: a level with fewer requests than threads is none."""

from collections.abc import Iterable
from dataclasses import dataclass

from servegrid.config.measuring import LoadConfig
from servegrid.plan import load_shape

ENOUGH = 4
"""Requests for each thread from which filling and draining no longer rule a load's numbers. A convention."""


@dataclass(frozen=True)
class Shortage:
    """Levels whose loads have fewer than ENOUGH requests for each thread.

    Attributes:
        requests: of each of these loads.
        levels: threads, ascending.
        on_purpose: whether the key `requests` gives their number, rather than the number of prompts.
    """

    requests: int
    levels: tuple[int, ...]
    on_purpose: bool

    @property
    def fact(self) -> str:
        """What is short, with its numbers."""
        levels = ", ".join(map(str, self.levels))
        return f"at {levels} threads a load has {_counted(self.requests)}: fewer than {ENOUGH} for each thread"

    @property
    def remedy(self) -> str:
        """Which key to raise, and to what."""
        keys = "load.requests" if self.on_purpose else "prompts.count or load.requests"
        return f"raise {keys} to {ENOUGH * self.levels[-1]}"


def shortages(loads: Iterable[tuple[int | None, LoadConfig]], prompts: int) -> list[Shortage]:
    """The shortages of loads (threads, None with planned arrivals; options), each number of requests once."""
    levels_by_requests: dict[tuple[int, bool], set[int]] = {}
    for threads, options in loads:
        requests = load_shape.request_count(options, prompts)
        if threads is not None and requests is not None and requests < ENOUGH * threads:
            levels_by_requests.setdefault((requests, options.requests is not None), set()).add(threads)
    return [Shortage(requests, tuple(sorted(levels)), own) for (requests, own), levels in levels_by_requests.items()]


def _counted(requests: int) -> str:
    return f"{requests} request{'' if requests == 1 else 's'}"
