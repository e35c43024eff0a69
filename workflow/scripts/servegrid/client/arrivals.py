"""Plan arrivals: when each request is to be sent, in s after the start. Fixed lists, made from a seed before the load."""

import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

KINDS = ("constant", "poisson", "gamma", "burst", "ramp")


@dataclass(frozen=True, slots=True)
class ArrivalPlan:
    """Plan of arrivals at a mean rate, ended by a count, a duration, or both.

    constant: one every 1/rate. poisson: independent of each other. gamma: gaps of a gamma distribution with shape
    `burstiness`; 1 is poisson, less is burstier, more is steadier. burst: `burst_size` at a time, every burst_size/rate.
    ramp: the rate goes in a straight line from `rate` to `end_rate` over `duration_s`.

    Raises:
        ValueError: when a key is missing, not positive, or not one of this kind.
    """

    kind: str
    rate: float  # requests per second
    count: int | None = None
    duration_s: float | None = None
    seed: int = 0
    burstiness: float = 1.0
    burst_size: int = 1
    end_rate: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"arrival {self.kind!r}: expected one of {', '.join(KINDS)}")
        for name in ("rate", "count", "duration_s", "burstiness", "burst_size", "end_rate"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be greater than 0, not {value}")
        if self.count is None and self.duration_s is None:
            raise ValueError("an arrival plan needs an end: a number of requests or a duration")
        if self.kind == "ramp" and (self.end_rate is None or self.duration_s is None):
            raise ValueError("a ramp needs end_rate and a duration")

    def offsets_s(self) -> list[float]:
        """Planned times in s after the start; the same plan gives the same times on every machine."""
        arrivals = _OFFSETS_BY_KIND[self.kind](self)
        if self.duration_s is not None:
            arrivals = takewhile(lambda offset: offset < (self.duration_s or 0), arrivals)
        return [offset for _, offset in zip(range(self.count or 1 << 62), arrivals, strict=False)]


def _constant(plan: ArrivalPlan) -> Iterator[float]:
    number = 0
    while True:
        yield number / plan.rate
        number += 1


def _gamma(plan: ArrivalPlan) -> Iterator[float]:
    from random import Random  # only when it is needed

    draw = Random(plan.seed).gammavariate
    shape = plan.burstiness if plan.kind == "gamma" else 1.0
    offset_s = 0.0
    while True:
        offset_s += draw(shape, 1 / (plan.rate * shape))
        yield offset_s


def _burst(plan: ArrivalPlan) -> Iterator[float]:
    number = 0
    while True:
        yield number // plan.burst_size * plan.burst_size / plan.rate
        number += 1


def _ramp(plan: ArrivalPlan) -> Iterator[float]:
    """Yield arrival k where the integral of the rate, r0 t + (r1 - r0) t² / 2T, reaches k; after T the rate stays r1."""
    first_rate, last_rate, ramp_s = plan.rate, plan.end_rate or plan.rate, plan.duration_s or 1.0
    slope = (last_rate - first_rate) / ramp_s
    arrivals_in_ramp = (first_rate + last_rate) / 2 * ramp_s
    number = 0
    while True:
        if number > arrivals_in_ramp:
            yield ramp_s + (number - arrivals_in_ramp) / last_rate
        else:
            yield 2 * number / (first_rate + math.sqrt(first_rate * first_rate + 2 * slope * number))
        number += 1


_OFFSETS_BY_KIND: dict[str, Callable[[ArrivalPlan], Iterator[float]]] = {
    "constant": _constant,
    "poisson": _gamma,
    "gamma": _gamma,
    "burst": _burst,
    "ramp": _ramp,
}


def read_trace(path: Path, rate: float | None = None) -> list[float]:
    """Read the arrival times of a trace file, in s from its first.

    One arrival per line: a number of seconds, or a JSON object with `timestamp` or `arrival_s`. Lines that are empty or begin
    with # are passed over.

    Args:
        path: the file.
        rate: if given, time is stretched so that this is the mean rate.

    Raises:
        ValueError: when a line is neither; says which.
        OSError: when the file cannot be read.
    """
    times: list[float] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            times.append(_parse_arrival(line.strip(), f"{path}, line {number}"))
    if not times:
        raise ValueError(f"{path}: no arrivals in it")
    first = min(times)
    times = sorted(time - first for time in times)
    return times if rate is None else _stretched_to_rate(times, rate)


def _parse_arrival(line: str, where: str) -> float:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = line
    if isinstance(value, dict):
        value = value.get("timestamp", value.get("arrival_s"))
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < sys.float_info.max:
        raise ValueError(f"{where}: expected seconds, or an object with timestamp or arrival_s, not {line[:80]!r}")
    return float(value)


def _stretched_to_rate(times: Sequence[float], rate: float) -> list[float]:
    span_s = times[-1]
    if not span_s:
        raise ValueError("a trace whose arrivals are all at once has no rate")
    stretch = (len(times) - 1) / rate / span_s
    return [time * stretch for time in times]
