"""Kinds of client: which loads each can run, and which programs it needs on this host."""

import shutil

from servegrid.client.shape import ClosedLoop, Kind, Shape
from servegrid.protocols.base import Transport

PROGRAMS = ("parallel", "curl", "sh")


def check_supported(kind: Kind, shape: Shape, workers: int = 1, transport: Transport = "http") -> None:
    """Check that this kind of client can run a load of this shape.

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


def missing_programs() -> str | None:
    """Reason why client `parallel` cannot run here: missing programs; None if it can."""
    lacking = " and ".join(name for name in PROGRAMS if shutil.which(name) is None)
    return (
        f"client parallel needs {lacking}, not installed here (Debian: apt-get install parallel curl)"
        if lacking
        else None
    )
