"""The kinds of client: what each can carry out, and by which function. Loaded when it is needed, and not before."""

from importlib import import_module
from typing import Protocol

from servegrid.client.process import Carried, Job, Start, Watch, at_once
from servegrid.client.shape import ClosedLoop, Kind, Shape
from servegrid.protocols.base import Transport

_MODULES: dict[Kind, str] = {"stream": "process", "requests": "threads", "parallel": "parallel"}


class Carrier(Protocol):
    """Carries out a job. An exception from a signal handler ends it at once and is handed back with what was recorded."""

    def __call__(self, job: Job, watch: Watch, start: Start = at_once) -> Carried:
        """Carry `job` out; see `process.carry_out`."""


def carrier(kind: Kind, transport: Transport = "http") -> Carrier:
    """The function of this kind; over gRPC there is one for all that `check` lets pass."""
    module = "grpc_stream" if transport == "grpc" else _MODULES[kind]
    found: Carrier = import_module(f"servegrid.client.{module}").carry_out
    return found


def check(kind: Kind, shape: Shape, workers: int = 1, transport: Transport = "http") -> None:
    """Nothing, if this kind can carry out the shape.

    Raises:
        ValueError: if it cannot; says why.
    """
    if transport == "grpc" and kind != "stream":
        raise ValueError(f"client {kind} speaks HTTP alone; a protocol over gRPC needs client stream")
    if kind == "stream":
        return
    if not isinstance(shape, ClosedLoop):
        raise ValueError(f"client {kind} carries out closed loops only; planned arrivals need client stream")
    if workers > 1:
        raise ValueError(f"client {kind} has no workers; they belong to client stream")
    if kind == "parallel" and shape.duration_s is not None:
        raise ValueError("client parallel ends by a number of requests, not by a duration")
