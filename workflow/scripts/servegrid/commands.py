"""From a server of the grid to the command line that launches it."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from servegrid import engines
from servegrid.containers import described, docker_run
from servegrid.engines.base import Launch, ServerSpec
from servegrid.identity import digest, readable
from servegrid.secrets import is_secret
from servegrid.telemetry.npu import is_npu

NOMINAL_PORT = 8080  # stands in a plan for the free ports that are chosen at launch


def environment_folder(spec: ServerSpec) -> str:
    """Folder of the engine's own environment, below the folder of resources; named by lock and its content."""
    return f"envs/{readable(engines.get(spec.engine).lock(spec.kind))}-{digest(spec.version, 8)}"


def needed_files(spec: ServerSpec, resources: Path) -> dict[str, Path]:
    """Model files the server needs, by role; a hub name, which the engine itself fetches, is none."""
    if spec.runtime == "url":
        return {}
    return {role: resources / path for role, path in engines.get(spec.engine).files(spec).items()}


def nominal_launch(spec: ServerSpec, resources: Path, folder: Path = Path("server"), copy: int = 0) -> Launch:
    """The launch as a plan shows it, before ports are chosen."""
    count = engines.get(spec.engine).port_count
    first = NOMINAL_PORT + copy * count
    return Launch(needed_files(spec, resources), tuple(range(first, first + count)), folder, copy=copy)


def command_line(spec: ServerSpec, resources: Path, launch: Launch) -> list[str]:
    """The whole command line: the engine's program in its environment, or the user's command, and the arguments."""
    engine = engines.get(spec.engine)
    arguments = engine.arguments(spec, launch)
    if spec.runtime == "command":
        return [*(spec.command or ()), *arguments]
    python = resources / environment_folder(spec) / "bin" / "python"
    return [str(python), *engine.started_by(), *arguments]


def shown(spec: ServerSpec, resources: Path, launch: Launch, gpus: Sequence[str] = ()) -> str:
    """The server as one line for a shell: what is run, secrets as the variables that hold them."""
    if spec.runtime == "docker":
        return docker_run(described(spec, launch, gpus, environment(spec)))
    variables = [_assignment(name, value) for name, value in {**visible(gpus), **environment(spec)}.items()]
    return " ".join([*variables, shlex.join(command_line(spec, resources, launch))])


def chosen_gpus(spec: ServerSpec) -> list[str]:
    """The GPUs as the config names them, for a plan; the launch finds their UUIDs."""
    if spec.kind != "cuda":
        return []
    named: Any = spec.device.get("uuids") or spec.device.get("ids") or ["0"]
    return [str(name) for name in named]


def visible(gpus: Sequence[str]) -> dict[str, str]:
    """A server outside a container sees the device's GPUs, by UUID, and no others; its NPUs are its engine's to name."""
    named = [gpu for gpu in gpus if not is_npu(gpu)]
    return {"CUDA_VISIBLE_DEVICES": ",".join(named)} if named else {}


def _assignment(name: str, value: str) -> str:
    """`NAME=value`; a secret is taken from the variable of that name."""
    return f'{name}="${name}"' if is_secret(name) else f"{name}={shlex.quote(value)}"


def environment(spec: ServerSpec) -> Mapping[str, str]:
    """Environment variables of the server beyond those of the run."""
    return engines.get(spec.engine).environment(spec)
