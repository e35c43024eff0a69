"""Build the context manager that starts a server (process, container, remote URL, replicas) from its ServerSpec."""

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
from servegrid.launch.command_line import command_line, gpu_environment, make_balancer, needed_files, server_environment
from servegrid.launch.container import describe_container
from servegrid.launch.remote import RemoteServer, api_key_headers, url_at_port
from servegrid.launch.replicated import Member, ReplicatedServer
from servegrid.launch.server import Server, ServerError
from servegrid.util.hub import is_hub_name
from servegrid.util.secret_env import REFERENCE

BALANCER_STOP_TIMEOUT_S = 2.0
AnyServer = Server | RemoteServer | ReplicatedServer


def prepare_launches(spec: ServerSpec, resources: Path, folder: Path) -> list[Launch]:
    """Choose free ports for each copy and write the engine's settings files into `folder`; return a launch for each copy."""
    count = engines.get(spec.engine).port_count
    ports = free_ports(spec.copies * count)
    folders = [folder] if spec.copies == 1 else [Path(f"{folder}-{copy + 1}") for copy in range(spec.copies)]
    return [
        _prepare_launch(
            spec,
            resources,
            folders[copy],
            ports[copy * count : (copy + 1) * count],
            layout.position_on_device(spec, copy),
        )
        for copy in range(spec.copies)
    ]


def _prepare_launch(spec: ServerSpec, resources: Path, folder: Path, ports: tuple[int, ...], copy: int) -> Launch:
    engine = engines.get(spec.engine)
    # a server may read them from a folder of its own; what is not here is a name on the hub
    files = {
        role: path if is_hub_name(path) else path.absolute() for role, path in needed_files(spec, resources).items()
    }
    launch = Launch(files, ports, folder.absolute(), copy=copy)
    for name, text in engine.settings_files(spec, launch).items():
        path = launch.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return launch


def prepare_balancer(
    spec: ServerSpec, launches: Sequence[Launch], folder: Path, request_timeout_s: float
) -> Balancer | None:
    """Write the config of the balancer in front of the copies into `folder` and return the balancer; None for a single copy."""
    if len(launches) < 2:
        return None
    taken = {port for launch in launches for port in launch.ports}
    port = next(port for port in free_ports(len(taken) + 1) if port not in taken)
    balancer = make_balancer(spec, launches, port, folder.absolute(), request_timeout_s)
    balancer.folder.mkdir(parents=True, exist_ok=True)
    balancer.config_file.write_text(balancer.config)
    return balancer


def build_server(
    spec: ServerSpec,
    launches: Sequence[Launch],
    balancer: Balancer | None,
    gpus: Sequence[str],
    resources: Path,
    log: Path,
    stop_timeout_s: float,
) -> AnyServer:
    """Build the server with all its copies; `gpus` are the device's, and each of several copies has its own log beside `log`.

    Raises:
        ServerError: when the environment variable with its API key is not set.
    """
    gpus_by_copy = [layout.gpus_of(spec, gpus, copy) for copy in range(spec.copies)]
    if balancer is None:
        return build_copy(spec, launches[0] if launches else None, gpus_by_copy[0], resources, log, stop_timeout_s)
    logs = [log.with_name(f"{log.stem}-{copy + 1}{log.suffix}") for copy in range(spec.copies)]
    copies = [
        cast(Member, build_copy(spec, launch, gpus_of_copy, resources, copy_log, stop_timeout_s))
        for launch, gpus_of_copy, copy_log in zip(launches, gpus_by_copy, logs, strict=True)
    ]
    front = Server(
        balancer.command, log, balancer.port, stop_timeout_s=BALANCER_STOP_TIMEOUT_S, headers=copies[0].headers
    )
    return ReplicatedServer(copies, logs, layout.start_rounds(spec), front, log)


def build_copy(
    spec: ServerSpec,
    launch: Launch | None,
    gpus: Sequence[str],
    resources: Path,
    log: Path,
    stop_timeout_s: float,
) -> Server | RemoteServer:
    """Build one copy of the server: a process, a container, or (runtime url, no launch) a server that runs already.

    Raises:
        ServerError: when the environment variable with its API key is not set, or its image cannot be had.
    """
    headers = api_key_headers(spec.api_key_env, os.environ)
    engine = engines.get(spec.engine)
    api = engine.port_of("api", spec)
    if launch is None:
        return RemoteServer(url_at_port(spec.url or "", api), headers, spec.trusted_file)
    port = launch.ports[api]
    variables = _expand_variables(server_environment(spec))
    if spec.runtime == "docker":
        return _build_container_server(spec, launch, variables, gpus, resources, log, port, stop_timeout_s, headers)
    variables = {**gpu_environment(gpus), **variables}
    return Server(
        command_line(spec, resources, launch), log, port, variables, stop_timeout_s=stop_timeout_s, headers=headers
    )


def _build_container_server(
    spec: ServerSpec,
    launch: Launch,
    variables: Mapping[str, str],
    gpus: Sequence[str],
    resources: Path,
    log: Path,
    port: int,
    stop_timeout_s: float,
    headers: Mapping[str, str],
) -> Server:
    from servegrid.launch.docker import ownership
    from servegrid.launch.docker.server import ContainerServer, require_image

    image = require_image(spec.image or "", resources)
    run = describe_container(spec, launch, gpus, variables, image.name)
    run = replace(run, labels={ownership.SESSION_LABEL: str(log.parent.absolute())})
    return ContainerServer(run, launch.folder, log, port, stop_timeout_s, headers)


def _expand_variables(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables with each `${NAME}` replaced by this process's variable of that name, so that a config holds no secret."""
    return {name: _expand_variable(name, value) for name, value in variables.items()}


def _expand_variable(name: str, value: str) -> str:
    if not (reference := REFERENCE.fullmatch(value)):
        return value
    if reference[1] not in os.environ:
        raise ServerError("launch", f"env.{name} = {value}: there is no such environment variable")
    return os.environ[reference[1]]


def remove_orphaned_containers(config: Config) -> None:
    """Remove containers that a killed run of servegrid left behind; without containers in the config no daemon is asked."""
    if any(entry.runtime == "docker" for entry in config.engines.values()):
        from servegrid.launch.docker.server import remove_orphaned_containers

        remove_orphaned_containers()
