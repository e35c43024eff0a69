"""From a server of the grid to one that can be entered: ports, written files, and the way of its runtime."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from servegrid import engines
from servegrid.commands import command_line, environment, needed_files, visible
from servegrid.config import Config, EngineConfig
from servegrid.containers import described
from servegrid.engines.base import Launch, ServerSpec
from servegrid.remote import RemoteServer, key_headers
from servegrid.server import Server, free_ports

AnyServer = Server | RemoteServer


def prepared(spec: ServerSpec, resources: Path, folder: Path) -> Launch:
    """Ports that are free now, and in `folder` the files that the engine reads its settings from."""
    engine = engines.get(spec.engine)
    launch = Launch(needed_files(spec, resources), free_ports(engine.port_count), folder.absolute())
    for name, text in engine.written(spec, launch).items():
        path = launch.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return launch


def server(
    spec: ServerSpec,
    launch: Launch | None,
    entry: EngineConfig,
    gpus: Sequence[str],
    resources: Path,
    log: Path,
    grace_s: float,
) -> AnyServer:
    """The server, to be launched or (runtime url, no launch) there already.

    Raises:
        ServerError: when the environment variable with its API key is not set, or its image cannot be had.
    """
    headers = key_headers(entry.api_key_env, os.environ)
    if launch is None:
        return RemoteServer(spec.url or "", headers)
    engine = engines.get(spec.engine)
    port = launch.ports[engine.port_of("api", spec)]
    variables = {**environment(spec), **_key(engine.key_variable, entry.api_key_env)}
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
    from servegrid.docker_runtime import owner
    from servegrid.docker_runtime.server import ContainerServer, usable

    image = usable(spec.image or "", resources)
    run = described(spec, launch, gpus, variables, image.name)
    run = replace(run, labels={owner.SESSION: str(log.parent.absolute())})
    return ContainerServer(run, launch.folder, log, port, stop_s, headers)


def _key(variable: str | None, from_variable: str | None) -> dict[str, str]:
    """The API key under the name that the engine looks for it; it never stands on a command line."""
    return {variable: os.environ[from_variable]} if variable and from_variable else {}


def clear_away(config: Config) -> None:
    """Remove containers that a killed run of servegrid left behind; a config without containers asks no daemon."""
    if any(entry.runtime == "docker" for entry in config.engines.values()):
        from servegrid.docker_runtime.server import clear_away

        clear_away()
