"""From the config's load options to the shape that the client carries out."""

from pathlib import Path
from typing import Any

from servegrid.client import arrivals
from servegrid.client.kinds import check_supported
from servegrid.client.shape import ClosedLoop, OpenLoop, Shape
from servegrid.config.measuring import Load
from servegrid.protocols.base import Transport

SEED = 1  # the same plan in every session
_PLAN_KEYS = {"gamma": ("burstiness",), "burst": ("burst_size",), "ramp": ("end_rate",), "trace": ("trace",)}
_OF_PLANS = ("rate", *(key for keys in _PLAN_KEYS.values() for key in keys))


def shape(options: Load, threads: int, prompts: int) -> Shape:
    """When to send how many requests; `prompts`: how many there are, each sent once where nothing else ends the load.

    Raises:
        ValueError: when a key is missing or contradicts another; says which.
        OSError: when the trace cannot be read.
    """
    if options.arrival == "closed":
        return ClosedLoop(threads, options.requests, options.duration_s)
    if options.arrival == "trace":
        return OpenLoop(_trace(options))
    assert options.rate is not None
    count = options.requests or (None if options.duration_s else prompts)
    extra = {key: getattr(options, key) for key in _PLAN_KEYS.get(options.arrival, ())}
    plan = arrivals.ArrivalPlan(options.arrival, options.rate, count, options.duration_s, SEED, **extra)
    return OpenLoop(plan.offsets_s())


def requests(options: Load, prompts: int) -> int | None:
    """How many requests a load sends; None where its duration or a trace says so."""
    return options.requests or (None if options.duration_s or options.arrival == "trace" else prompts)


def _trace(options: Load) -> list[float]:
    assert options.trace is not None
    offsets = arrivals.read_trace(Path(options.trace), options.rate)
    return [at for at in offsets if options.duration_s is None or at < options.duration_s][: options.requests]


def unsupported(options: Load, transport: Transport = "http") -> str | None:
    """Why this kind of client cannot carry these options out over what carries the protocol; None if it can."""
    sample = ClosedLoop(1, options.requests, options.duration_s) if options.arrival == "closed" else OpenLoop([0.0])
    try:
        check_supported(options.client, sample, options.workers, transport)
    except ValueError as error:
        return str(error)
    return None


def definition(options: Load) -> dict[str, Any]:
    """The options that make a difference to what is sent, for the load's identity: those not used do not name it."""
    used = set(_PLAN_KEYS.get(options.arrival, ())) | ({"rate"} if options.arrival != "closed" else set())
    limits = {"request_timeout_s", "time_limit_s"}
    fields = options.model_dump(exclude=limits | (set(_OF_PLANS) - used))
    return {name: value for name, value in fields.items() if value is not None and (name, value) != ("workers", 1)}


def shown(options: Load, threads: int | None) -> str:
    """The readable part of a load's name."""
    if threads is not None:
        name = f"threads-{threads}"
    elif options.arrival == "trace":
        name = f"trace-{Path(options.trace or '').stem}"
    else:
        name = f"{options.arrival}-{options.rate:g}"
    return name if options.client == "stream" else f"{name}-{options.client}"
