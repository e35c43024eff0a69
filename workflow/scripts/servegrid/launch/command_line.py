"""From a server of the grid to the command line that launches it."""

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from servegrid import engines
from servegrid.engines.base import Launch, ServerSpec
from servegrid.launch import balancer, layout
from servegrid.launch.container import described, docker_run
from servegrid.telemetry.npu import is_npu
from servegrid.util.hub import is_hub_name
from servegrid.util.identity import digest, readable_name
from servegrid.util.secret_env import is_secret, secret_variable, shell_assignment

BEYOND_S = 60.0  # that a balancer waits longer than the client
NOMINAL_PORT = 8080  # stands in a plan for the free ports that are chosen at launch


def environment_folder(spec: ServerSpec) -> str:
    """Folder of the engine's own environment, below the folder of resources; named by lock and its content."""
    return f"envs/{readable_name(engines.get(spec.engine).lock(spec.kind))}-{digest(spec.version, 8)}"


def needed_files(spec: ServerSpec, resources: Path) -> dict[str, Path]:
    """Model files the server needs, by role; a hub name, which the engine itself fetches, stays as it is."""
    if spec.runtime == "url":
        return {}
    files = engines.get(spec.engine).files(spec)
    return {role: Path(path) if is_hub_name(path) else resources / path for role, path in files.items()}


def nominal_launch(spec: ServerSpec, resources: Path, folder: Path = Path("server"), copy: int = 0) -> Launch:
    """The launch as a plan shows it, before ports are chosen."""
    count = engines.get(spec.engine).port_count
    first = NOMINAL_PORT + copy * count
    return Launch(needed_files(spec, resources), tuple(range(first, first + count)), folder, copy=copy)


def nominal_launches(spec: ServerSpec, resources: Path) -> list[Launch]:
    """The launches of all its copies as a plan shows them."""
    if spec.copies == 1:
        return [nominal_launch(spec, resources)]
    launches = [nominal_launch(spec, resources, Path(f"server-{copy + 1}"), copy) for copy in range(spec.copies)]
    return [replace(launch, copy=layout.place(spec, copy)) for copy, launch in enumerate(launches)]


def nominal_balancer(spec: ServerSpec, launches: Sequence[Launch], request_timeout_s: float) -> balancer.Balancer:
    """The balancer as a plan shows it."""
    return described_balancer(spec, launches, launches[-1].ports[-1] + 1, Path("balancer"), request_timeout_s)


def described_balancer(
    spec: ServerSpec, launches: Sequence[Launch], port: int, folder: Path, request_timeout_s: float
) -> balancer.Balancer:
    """The balancer in front of these copies, on this host."""
    ports = tuple(launch.ports[engines.get(spec.engine).port_of("api", spec)] for launch in launches)
    workers = balancer.workers(len(os.sched_getaffinity(0)))
    return balancer.Balancer(spec.balancer or "", port, ports, folder, request_timeout_s + BEYOND_S, workers)


def command_line(
    spec: ServerSpec, resources: Path, launch: Launch, gpus: Sequence[str] = (), image: str | None = None
) -> list[str]:
    """The whole command line: the engine's program in its environment, or the user's command, and the arguments; a container's as `docker run`."""
    if spec.runtime == "docker":
        return docker_run(described(spec, launch, gpus, environment(spec), image))
    engine = engines.get(spec.engine)
    arguments = engine.arguments(spec, launch)
    if spec.runtime == "command":
        return [*(spec.command or ()), *arguments]
    python = resources / environment_folder(spec) / "bin" / "python"
    return [str(python), *engine.started_by(), *arguments]


def shown(spec: ServerSpec, resources: Path, launch: Launch, gpus: Sequence[str] = ()) -> str:
    """The server as one line for a shell: what is run, secrets as the variables that hold them."""
    if spec.runtime == "url":
        return f"# runs already at {spec.url}"
    if spec.runtime == "docker":
        elsewhere = [
            shell_assignment(name, value) for name, value in environment(spec).items() if _is_elsewhere(name, value)
        ]
        return " ".join([*elsewhere, shlex.join(command_line(spec, resources, launch, gpus))])
    variables = [shell_assignment(name, value) for name, value in {**visible(gpus), **environment(spec)}.items()]
    return " ".join([*variables, shlex.join(command_line(spec, resources, launch))])


def chosen_gpus(spec: ServerSpec) -> list[str]:
    """The GPUs as the config names them, for a plan; the launch finds their UUIDs."""
    if spec.kind != "cuda":
        return []
    named: Any = spec.device.get("uuids") or spec.device.get("ids") or range(int(str(spec.device.get("count", 1))))
    return [str(name) for name in named]


def visible(gpus: Sequence[str]) -> dict[str, str]:
    """A server outside a container sees the device's GPUs, by UUID, and no others; its NPUs are its engine's to name."""
    named = [gpu for gpu in gpus if not is_npu(gpu)]
    return {"CUDA_VISIBLE_DEVICES": ",".join(named)} if named else {}


def _is_elsewhere(name: str, value: str) -> bool:
    """A secret that the shell holds under another name than the server looks for."""
    return is_secret(name) and secret_variable(name, value) != name


def environment(spec: ServerSpec) -> Mapping[str, str]:
    """Environment variables of the server beyond those of the run."""
    return engines.get(spec.engine).environment(spec)
