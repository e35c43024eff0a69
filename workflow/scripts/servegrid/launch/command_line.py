"""Build the command line and the environment that launch a server, from its ServerSpec."""

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from servegrid import engines
from servegrid.engines.base import Launch, ServerSpec
from servegrid.launch import balancer, layout
from servegrid.launch.container import describe_container, docker_run_command
from servegrid.telemetry.npu import is_npu
from servegrid.util.hub import is_hub_name
from servegrid.util.identity import digest, readable_name
from servegrid.util.secret_env import is_secret, secret_variable, shell_assignment

BALANCER_EXTRA_TIMEOUT_S = 60.0  # how much longer a balancer waits than the client
NOMINAL_PORT = 8080  # stands in a plan for the free ports that are chosen at launch


def environment_folder(spec: ServerSpec) -> str:
    """Folder of the engine's virtual environment, below the folder of resources; named by its lock file and that file's hash."""
    return f"envs/{readable_name(engines.get(spec.engine).lock(spec.kind))}-{digest(spec.version, 8)}"


def needed_files(spec: ServerSpec, resources: Path) -> dict[str, Path]:
    """Model files the server needs, by role; a hub name, which the engine itself fetches, stays as it is."""
    if spec.runtime == "url":
        return {}
    files = engines.get(spec.engine).files(spec)
    return {role: Path(path) if is_hub_name(path) else resources / path for role, path in files.items()}


def nominal_launch(spec: ServerSpec, resources: Path, folder: Path = Path("server"), copy: int = 0) -> Launch:
    """The launch of one copy as a plan shows it, with nominal ports in place of the free ones chosen at launch."""
    count = engines.get(spec.engine).port_count
    first = NOMINAL_PORT + copy * count
    return Launch(needed_files(spec, resources), tuple(range(first, first + count)), folder, copy=copy)


def nominal_launches(spec: ServerSpec, resources: Path) -> list[Launch]:
    """The launches of all copies of the server as a plan shows them."""
    if spec.copies == 1:
        return [nominal_launch(spec, resources)]
    launches = [nominal_launch(spec, resources, Path(f"server-{copy + 1}"), copy) for copy in range(spec.copies)]
    return [replace(launch, copy=layout.position_on_device(spec, copy)) for copy, launch in enumerate(launches)]


def nominal_balancer(spec: ServerSpec, launches: Sequence[Launch], request_timeout_s: float) -> balancer.Balancer:
    """The balancer as a plan shows it, on the port after the copies' nominal ones."""
    return make_balancer(spec, launches, launches[-1].ports[-1] + 1, Path("balancer"), request_timeout_s)


def make_balancer(
    spec: ServerSpec, launches: Sequence[Launch], port: int, folder: Path, request_timeout_s: float
) -> balancer.Balancer:
    """The balancer in front of these copies, with as many workers as this host's CPUs call for."""
    ports = tuple(launch.ports[engines.get(spec.engine).port_of("api", spec)] for launch in launches)
    workers = balancer.worker_count(len(os.sched_getaffinity(0)))
    return balancer.Balancer(
        spec.balancer or "", port, ports, folder, request_timeout_s + BALANCER_EXTRA_TIMEOUT_S, workers
    )


def command_line(
    spec: ServerSpec, resources: Path, launch: Launch, gpus: Sequence[str] = (), image: str | None = None
) -> list[str]:
    """The whole command line: the Python of the engine's environment or the user's command, with arguments; or `docker run`."""
    if spec.runtime == "docker":
        return docker_run_command(describe_container(spec, launch, gpus, server_environment(spec), image))
    engine = engines.get(spec.engine)
    arguments = engine.arguments(spec, launch)
    if spec.runtime == "command":
        return [*(spec.command or ()), *arguments]
    python = resources / environment_folder(spec) / "bin" / "python"
    return [str(python), *engine.python_arguments(), *arguments]


def shell_line(spec: ServerSpec, resources: Path, launch: Launch, gpus: Sequence[str] = ()) -> str:
    """One line for a shell that starts the server; secrets appear as references to the variables that hold them."""
    if spec.runtime == "url":
        return f"# runs already at {spec.url}"
    if spec.runtime == "docker":
        renamed_secrets = [
            shell_assignment(name, value)
            for name, value in server_environment(spec).items()
            if _is_renamed_secret(name, value)
        ]
        return " ".join([*renamed_secrets, shlex.join(command_line(spec, resources, launch, gpus))])
    variables = [
        shell_assignment(name, value) for name, value in {**gpu_environment(gpus), **server_environment(spec)}.items()
    ]
    return " ".join([*variables, shlex.join(command_line(spec, resources, launch))])


def configured_gpus(spec: ServerSpec) -> list[str]:
    """The GPUs as the config names them (UUIDs, numbers or a count), for a plan; the launch looks up their UUIDs."""
    if spec.kind != "cuda":
        return []
    selectors: Any = spec.device.get("uuids") or spec.device.get("ids") or range(int(str(spec.device.get("count", 1))))
    return [str(selector) for selector in selectors]


def gpu_environment(gpus: Sequence[str]) -> dict[str, str]:
    """CUDA_VISIBLE_DEVICES with these GPUs, for a server outside a container; of NPUs the engine sets its own variable."""
    cuda_gpus = [gpu for gpu in gpus if not is_npu(gpu)]
    return {"CUDA_VISIBLE_DEVICES": ",".join(cuda_gpus)} if cuda_gpus else {}


def _is_renamed_secret(name: str, value: str) -> bool:
    """Whether this is a secret that the shell holds under another name than the server reads."""
    return is_secret(name) and secret_variable(name, value) != name


def server_environment(spec: ServerSpec) -> Mapping[str, str]:
    """Environment variables that the server gets in addition to those of the run."""
    return engines.get(spec.engine).environment(spec)
