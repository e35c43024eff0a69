"""The kinds of client: what each can carry out, and what it needs on this host."""

import shutil

from servegrid.client.shape import ClosedLoop, Kind, Shape
from servegrid.protocols.base import Transport

PROGRAMS = ("parallel", "curl", "sh")


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


def missing() -> str | None:
    """Why this kind cannot run here; None if it can."""
    lacking = " and ".join(name for name in PROGRAMS if shutil.which(name) is None)
    return (
        f"client parallel needs {lacking}, not installed here (Debian: apt-get install parallel curl)"
        if lacking
        else None
    )
