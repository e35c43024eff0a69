"""From a server of the grid to one that can be entered: ports, written files, the way of its runtime, its copies."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from servegrid import engines
from servegrid.config import Config
from servegrid.engines.base import Launch, ServerSpec
from servegrid.host.ports import free_ports
from servegrid.launch import layout
from servegrid.launch.balancer import Balancer
from servegrid.launch.command_line import command_line, described_balancer, environment, needed_files, visible
from servegrid.launch.container import described
from servegrid.launch.remote import RemoteServer, at_port, key_headers
from servegrid.launch.replicated import Part, ReplicatedServer
from servegrid.launch.server import Server, ServerError
from servegrid.util.hub import is_hub_name
from servegrid.util.secret_env import REFERENCE

BALANCER_GRACE_S = 2.0
AnyServer = Server | RemoteServer | ReplicatedServer


def prepared(spec: ServerSpec, resources: Path, folder: Path) -> list[Launch]:
    """A launch for each copy: ports that are free now, and in `folder` the files that the engine reads its settings from."""
    count = engines.get(spec.engine).port_count
    ports = free_ports(spec.copies * count)
    folders = [folder] if spec.copies == 1 else [Path(f"{folder}-{copy + 1}") for copy in range(spec.copies)]
    return [
        _prepared(spec, resources, folders[copy], ports[copy * count : (copy + 1) * count], layout.place(spec, copy))
        for copy in range(spec.copies)
    ]


def _prepared(spec: ServerSpec, resources: Path, folder: Path, ports: tuple[int, ...], copy: int) -> Launch:
    engine = engines.get(spec.engine)
    # a server may read them from a folder of its own; what is not here is a name on the hub
    files = {
        role: path if is_hub_name(path) else path.absolute() for role, path in needed_files(spec, resources).items()
    }
    launch = Launch(files, ports, folder.absolute(), copy=copy)
    for name, text in engine.written(spec, launch).items():
        path = launch.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return launch


def balancer_before(
    spec: ServerSpec, launches: Sequence[Launch], folder: Path, request_timeout_s: float
) -> Balancer | None:
    """The balancer in front of the copies, with its config written into `folder`; None where there is one copy."""
    if len(launches) < 2:
        return None
    taken = {port for launch in launches for port in launch.ports}
    port = next(port for port in free_ports(len(taken) + 1) if port not in taken)
    found = described_balancer(spec, launches, port, folder.absolute(), request_timeout_s)
    found.folder.mkdir(parents=True, exist_ok=True)
    found.file.write_text(found.config)
    return found


def whole(
    spec: ServerSpec,
    launches: Sequence[Launch],
    balancer: Balancer | None,
    gpus: Sequence[str],
    resources: Path,
    log: Path,
    grace_s: float,
) -> AnyServer:
    """The server with all its copies; `gpus` are the device's, and each copy has a log of its own beside `log`.

    Raises:
        ServerError: when the environment variable with its API key is not set.
    """
    parts = [layout.gpus_of(spec, gpus, copy) for copy in range(spec.copies)]
    if balancer is None:
        return server(spec, launches[0] if launches else None, parts[0], resources, log, grace_s)
    logs = [log.with_name(f"{log.stem}-{copy + 1}{log.suffix}") for copy in range(spec.copies)]
    copies = [
        cast(Part, server(spec, launch, own, resources, own_log, grace_s))
        for launch, own, own_log in zip(launches, parts, logs, strict=True)
    ]
    front = Server(balancer.command, log, balancer.port, grace_s=BALANCER_GRACE_S, headers=copies[0].headers)
    return ReplicatedServer(copies, logs, layout.rounds(spec), front, log)


def server(
    spec: ServerSpec,
    launch: Launch | None,
    gpus: Sequence[str],
    resources: Path,
    log: Path,
    grace_s: float,
) -> Server | RemoteServer:
    """The server, to be launched or (runtime url, no launch) there already.

    Raises:
        ServerError: when the environment variable with its API key is not set, or its image cannot be had.
    """
    headers = key_headers(spec.api_key_env, os.environ)
    engine = engines.get(spec.engine)
    api = engine.port_of("api", spec)
    if launch is None:
        return RemoteServer(at_port(spec.url or "", api), headers)
    port = launch.ports[api]
    variables = _told(environment(spec))
    if spec.runtime == "docker":
        return _container(spec, launch, variables, gpus, resources, log, port, grace_s, headers)
    variables = {**visible(gpus), **variables}
    return Server(command_line(spec, resources, launch), log, port, variables, grace_s=grace_s, headers=headers)


def _container(
    spec: ServerSpec,
    launch: Launch,
    variables: Mapping[str, str],
    gpus: Sequence[str],
    resources: Path,
    log: Path,
    port: int,
    stop_s: float,
    headers: Mapping[str, str],
) -> Server:
    from servegrid.launch.docker import ownership
    from servegrid.launch.docker.server import ContainerServer, usable

    image = usable(spec.image or "", resources)
    run = described(spec, launch, gpus, variables, image.name)
    run = replace(run, labels={ownership.SESSION: str(log.parent.absolute())})
    return ContainerServer(run, launch.folder, log, port, stop_s, headers)


def _told(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables with `${NAME}` replaced by what this process was told: so a config holds no secret."""
    return {name: _value(name, value) for name, value in variables.items()}


def _value(name: str, value: str) -> str:
    if not (reference := REFERENCE.fullmatch(value)):
        return value
    if reference[1] not in os.environ:
        raise ServerError("launch", f"env.{name} = {value}: there is no such environment variable")
    return os.environ[reference[1]]


def clear_away(config: Config) -> None:
    """Remove containers that a killed run of servegrid left behind; a config without containers asks no daemon."""
    if any(entry.runtime == "docker" for entry in config.engines.values()):
        from servegrid.launch.docker.server import clear_away

        clear_away()
