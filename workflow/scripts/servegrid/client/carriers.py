"""By which function each kind of client carries out a load. Loaded when it is needed, and not before."""

from importlib import import_module
from typing import Protocol

from servegrid.client.shape import Kind
from servegrid.client.stream_client import Carried, Job, Start, Watch, at_once
from servegrid.protocols.base import Transport

_MODULES: dict[Kind, str] = {"stream": "stream_client", "requests": "requests_client", "parallel": "parallel_client"}


class Carrier(Protocol):
    """Carries out a job. An exception from a signal handler ends it at once and is handed back with what was recorded."""

    def __call__(self, job: Job, watch: Watch, start: Start = at_once) -> Carried:
        """Carry `job` out; see `stream_client.carry_out`."""


def carrier(kind: Kind, transport: Transport = "http") -> Carrier:
    """The function of this kind; over gRPC there is one for all that `check` lets pass."""
    module = "grpc_client" if transport == "grpc" else _MODULES[kind]
    found: Carrier = import_module(f"servegrid.client.{module}").carry_out
    return found
