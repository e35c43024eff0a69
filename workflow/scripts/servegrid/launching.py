"""From a server of the grid to one that can be entered: ports, written files, and the way of its runtime."""

import os
from collections.abc import Sequence
from pathlib import Path

from servegrid import engines
from servegrid.commands import command_line, environment, needed_files, visible
from servegrid.config import EngineConfig
from servegrid.engines.base import Launch, ServerSpec
from servegrid.remote import RemoteServer, at_port, key_headers
from servegrid.server import Server, free_ports

AnyServer = Server | RemoteServer


def prepared(spec: ServerSpec, resources: Path, folder: Path) -> Launch:
    """Ports that are free now, and in `folder` the files that the engine reads its settings from."""
    engine = engines.get(spec.engine)
    # a server may read them from a folder of its own; what is not here is a name on the hub
    files = {role: path.absolute() if path.exists() else path for role, path in needed_files(spec, resources).items()}
    launch = Launch(files, free_ports(engine.port_count), folder.absolute())
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
        ServerError: when the environment variable with its API key is not set.
    """
    headers = key_headers(entry.api_key_env, os.environ)
    engine = engines.get(spec.engine)
    api = engine.port_of("api", spec)
    if launch is None:
        return RemoteServer(at_port(spec.url or "", api), headers)
    port = launch.ports[api]
    variables = {**visible(gpus), **environment(spec), **_key(engine.key_variable, entry.api_key_env)}
    return Server(command_line(spec, resources, launch), log, port, variables, grace_s=grace_s, headers=headers)


def _key(variable: str | None, from_variable: str | None) -> dict[str, str]:
    """The API key under the name that the engine looks for it; it never stands on a command line."""
    return {variable: os.environ[from_variable]} if variable and from_variable else {}
