"""Look up the function that runs a job for each kind of client; its module is imported only when needed."""

from importlib import import_module
from typing import Protocol

from servegrid.client.shape import Kind
from servegrid.client.stream_client import Job, JobResult, Start, Watch, start_now
from servegrid.protocols.base import Transport

_MODULES: dict[Kind, str] = {"stream": "stream_client", "requests": "requests_client", "parallel": "parallel_client"}


class JobRunner(Protocol):
    """Runs a job. An exception from a signal handler ends it at once and is returned with what was recorded."""

    def __call__(self, job: Job, watch: Watch, start: Start = start_now) -> JobResult:
        """Run `job`; see `stream_client.run_job`."""


def job_runner(kind: Kind, transport: Transport = "http") -> JobRunner:
    """Runner of this kind; over gRPC there is one for all kinds that `check_supported` allows."""
    module = "grpc_client" if transport == "grpc" else _MODULES[kind]
    run_job: JobRunner = import_module(f"servegrid.client.{module}").run_job
    return run_job
