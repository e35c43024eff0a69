"""The layout of a server's copies: which GPUs each has, and in which order they start. Pure.

Copies are counted from 0. With `replicas` each has GPUs of its own; with `sharing` several are on the same ones: copies 0 and 1 of
`replicas: 2, sharing: 2` are on the first GPU, copies 2 and 3 on the second.
"""

from collections.abc import Sequence

from servegrid import engines
from servegrid.engines.base import ServerSpec


def position_on_device(spec: ServerSpec, copy: int) -> int:
    """Position of this copy among the servers that share its device, counted from 0."""
    return copy % spec.sharing


def start_rounds(spec: ServerSpec) -> list[list[int]]:
    """The copies by round of their start: those of a round start at once, a round starts when the one before is ready.

    Engines measure the free memory when they start, so two must not start on one device at the same time.
    """
    return [
        [copy for copy in range(spec.copies) if position_on_device(spec, copy) == first]
        for first in range(spec.sharing)
    ]


def gpus_of(spec: ServerSpec, gpus: Sequence[str], copy: int) -> list[str]:
    """The GPUs of this copy: `tensor_parallel` of the device's, whatever the engine would do with more, so that all have the same."""
    first = copy // spec.sharing * spec.tensor_parallel
    return list(gpus[first : first + spec.tensor_parallel])


def used_gpus(spec: ServerSpec, gpus: Sequence[str]) -> list[str]:
    """The GPUs of all copies; further GPUs of the device stay idle."""
    return list(dict.fromkeys(gpu for copy in range(spec.copies) for gpu in gpus_of(spec, gpus, copy)))


def unsupported(spec: ServerSpec, name: str, gpu_count: int) -> str | None:
    """Why this layout is impossible on the device `name` with `gpu_count` GPUs; None if it is possible."""
    needed_gpus = spec.replicas * spec.tensor_parallel
    if spec.kind in ("cuda", "npu") and needed_gpus > gpu_count:
        need = f"{spec.replicas} replicas x {spec.tensor_parallel} GPUs (tensor_parallel) are {needed_gpus}"
        return f"{need}, the device {name} has {gpu_count} (devices.{name}: uuids, ids or count)"
    if spec.copies > 1 and "grpc" in (spec.protocol or engines.get(spec.engine).protocols[0]):
        return "the balancers are set up for HTTP/1.1: servers that are spoken to by gRPC cannot stand behind them here"
    return None
