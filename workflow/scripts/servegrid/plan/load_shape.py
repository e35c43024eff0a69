"""Turn the config's load options into the load shape that the client carries out."""

from pathlib import Path
from typing import Any

from servegrid.client import arrivals
from servegrid.client.kinds import check_supported
from servegrid.client.shape import ClosedLoop, OpenLoop, Shape
from servegrid.config.measuring import LoadConfig
from servegrid.protocols.base import Transport

ARRIVAL_SEED = 1  # the same arrival times in every session
_PLAN_KEYS = {"gamma": ("burstiness",), "burst": ("burst_size",), "ramp": ("end_rate",), "trace": ("trace",)}
_LATER_DEFAULTS = (
    ("workers", 1),
    ("cache", "cold"),
    ("stop", "exact"),
)  # left out of the identity, so that old ids stay
_ALL_PLAN_KEYS = ("rate", *(key for keys in _PLAN_KEYS.values() for key in keys))


def shape(options: LoadConfig, threads: int, prompts: int) -> Shape:
    """The load shape: when to send how many requests. `prompts` is their number; each is sent once where nothing else ends the load.

    Raises:
        ValueError: when a key is missing or contradicts another; the text says which.
        OSError: when the trace cannot be read.
    """
    if options.arrival == "closed":
        return ClosedLoop(threads, options.requests, options.duration_s)
    if options.arrival == "trace":
        return OpenLoop(_trace_offsets_s(options))
    assert options.rate is not None
    count = options.requests or (None if options.duration_s else prompts)
    extra = {key: getattr(options, key) for key in _PLAN_KEYS.get(options.arrival, ())}
    plan = arrivals.ArrivalPlan(options.arrival, options.rate, count, options.duration_s, ARRIVAL_SEED, **extra)
    return OpenLoop(plan.offsets_s())


def request_count(options: LoadConfig, prompts: int) -> int | None:
    """Number of requests of a load; None where its duration or a trace decides it."""
    return options.requests or (None if options.duration_s or options.arrival == "trace" else prompts)


def _trace_offsets_s(options: LoadConfig) -> list[float]:
    assert options.trace is not None
    offsets_s = arrivals.read_trace(Path(options.trace), options.rate)
    if options.duration_s is not None:
        offsets_s = [offset_s for offset_s in offsets_s if offset_s < options.duration_s]
    return offsets_s[: options.requests]


def unsupported(options: LoadConfig, transport: Transport = "http") -> str | None:
    """Why this kind of client cannot carry these options out over the protocol's transport; None if it can."""
    is_closed = options.arrival == "closed"
    sample_shape = ClosedLoop(1, options.requests, options.duration_s) if is_closed else OpenLoop([0.0])
    try:
        check_supported(options.client, sample_shape, options.workers, transport)
    except ValueError as error:
        return str(error)
    return None


def definition(options: LoadConfig) -> dict[str, Any]:
    """The options that change what is sent, for the load's identity; unused ones are left out."""
    used = set(_PLAN_KEYS.get(options.arrival, ())) | ({"rate"} if options.arrival != "closed" else set())
    limits = {"request_timeout_s", "time_limit_s"}
    fields = options.model_dump(exclude=limits | (set(_ALL_PLAN_KEYS) - used))
    return {name: value for name, value in fields.items() if value is not None and (name, value) not in _LATER_DEFAULTS}


def readable_name(options: LoadConfig, threads: int | None) -> str:
    """The readable part of a load's id."""
    if threads is not None:
        name = f"threads-{threads}"
    elif options.arrival == "trace":
        name = f"trace-{Path(options.trace or '').stem}"
    else:
        name = f"{options.arrival}-{options.rate:g}"
    name = name if options.client == "stream" else f"{name}-{options.client}"
    return name if options.cache == "cold" else f"{name}-{options.cache}"
