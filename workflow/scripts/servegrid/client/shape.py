"""Shape of a load: how many requests, when, and how long to wait for their answers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["stream", "requests", "parallel"]
"""Kind of client: this package's own core, threads with the `requests` library, or GNU parallel with curl."""

KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class ClosedLoop:
    """Closed loop: a number of threads of work; each sends its next request when its last one has ended.

    The load ends after `count` requests, or when `duration_s` is over (what is in flight then may end), whichever comes
    first; with neither, when every request was sent once. More requests than given: from the first again.

    Raises:
        ValueError: when a number is not positive.
    """

    threads: int
    count: int | None = None
    duration_s: float | None = None

    def __post_init__(self) -> None:
        _positive("threads", self.threads)
        _positive("count", self.count)
        _positive("duration_s", self.duration_s)


@dataclass(frozen=True, slots=True)
class OpenLoop:
    """Open loop: requests at planned times, in seconds after the start, whatever the answers do. See `arrivals` for plans.

    Raises:
        ValueError: when the plan is empty, not in order, or negative.
    """

    arrivals_s: Sequence[float]

    def __post_init__(self) -> None:
        if not self.arrivals_s:
            raise ValueError("the arrival plan has no arrivals")
        last = 0.0
        for arrival in self.arrivals_s:
            if not (math.isfinite(arrival) and arrival >= last):
                raise ValueError(f"arrival times must be in order and not negative: {arrival} after {last}")
            last = arrival


Shape = ClosedLoop | OpenLoop


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Time limits, in s. A request that runs into one is recorded as a timeout.

    Raises:
        ValueError: when a number is not positive.
    """

    connect_s: float = 10.0
    first_byte_s: float | None = None  # None: as `total_s`
    total_s: float = 600.0  # from sending to the end of the answer
    load_s: float | None = None  # from the start of the load; what is in flight then is a timeout, the rest is not sent

    def __post_init__(self) -> None:
        for name in ("connect_s", "first_byte_s", "total_s", "load_s"):
            _positive(name, getattr(self, name))


def _positive(name: str, value: float | None) -> None:
    if value is not None and not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be greater than 0, not {value}")
