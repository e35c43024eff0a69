"""How to start a measured server by hand: a line for a shell, a Compose file, the engine's own command."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from servegrid import engines
from servegrid.engines.base import Launch, ServerSpec
from servegrid.launch import layout
from servegrid.launch.command_line import (
    configured_gpus,
    make_balancer,
    nominal_launch,
    nominal_launches,
    server_environment,
    shell_line,
)
from servegrid.launch.container import ContainerRun, describe_container
from servegrid.util.secret_env import is_secret, secret_variable

REQUEST_TIMEOUT_S = 600.0  # what a balancer lets a request take


@dataclass(frozen=True)
class DeploymentForm:
    """One way to start a server: its title, and the text to run or save."""

    title: str
    text: str


def deployment_forms(spec: ServerSpec, resources: Path, folder: Path = Path("/srv/servegrid")) -> list[DeploymentForm]:
    """All ways to start this server with its runtime; the first is the one it was measured with.

    The first lines write the engine's settings files to `folder`.
    """
    if spec.runtime == "url":
        return [DeploymentForm("It runs already", shell_line(spec, resources, nominal_launch(spec, resources)))]
    if spec.copies > 1:
        return [
            DeploymentForm(f"{spec.copies} servers behind {spec.balancer}", _replicated_script(spec, resources, folder))
        ]
    launch, gpus = nominal_launch(spec, resources, folder), layout.gpus_of(spec, configured_gpus(spec), 0)
    line = "\n".join([*_settings_file_lines(spec, launch), shell_line(spec, resources, launch, gpus)])
    if spec.runtime != "docker":
        return [DeploymentForm("Command", line)]
    run = describe_container(spec, launch, gpus, server_environment(spec))
    return [
        DeploymentForm("docker run", line),
        DeploymentForm("docker compose", compose_file(run)),
        DeploymentForm("The engine's own command, in its image", shlex.join(run.words)),
    ]


def _replicated_script(spec: ServerSpec, resources: Path, folder: Path) -> str:
    """Shell script that starts every copy in the background, then the balancer in front of them."""
    launches = [replace(launch, folder=folder / launch.folder) for launch in nominal_launches(spec, resources)]
    port = launches[-1].ports[-1] + 1
    balancer = make_balancer(spec, launches, port, folder / "balancer", REQUEST_TIMEOUT_S)
    lines: list[str] = []
    for copy, launch in enumerate(launches):
        gpus = layout.gpus_of(spec, configured_gpus(spec), copy)
        lines += [*_settings_file_lines(spec, launch), f"{shell_line(spec, resources, launch, gpus)} &"]
    # two on one device must not measure its free memory at the same time
    lines.insert(0, "# start each server when the one before it is ready") if spec.sharing > 1 else None
    return "\n".join([*lines, *_write_file_lines(balancer.config_file, balancer.config), shlex.join(balancer.command)])


def _settings_file_lines(spec: ServerSpec, launch: Launch) -> list[str]:
    """Shell lines that write the engine's settings files."""
    lines: list[str] = []
    for name, text in engines.get(spec.engine).settings_files(spec, launch).items():
        lines += _write_file_lines(launch.folder / name, text)
    return lines


def _write_file_lines(path: Path, text: str) -> list[str]:
    head = [f"mkdir -p {shlex.quote(str(path.parent))}", f"cat > {shlex.quote(str(path))} <<'EOF'"]
    return [*head, text.rstrip("\n"), "EOF"]


def compose_file(run: ContainerRun) -> str:
    """A Compose file (Compose Specification) with this single service; secrets are taken from the shell's variables."""
    needs = run.needs
    service = {
        "image": run.image,
        "command": _escape_dollars(run.words),
        "entrypoint": _escape_dollars(needs.entrypoint or ()),
        "ports": [f"127.0.0.1:{port}:{inside}" for inside, port in run.ports.items()],
        "volumes": [f"{path}:{path}:ro" for path in run.mounts]
        + ([f"{run.cache_volume}:{needs.cache}"] if run.cache_volume else []),
        "environment": {
            name: f"${{{secret_variable(name, value)}}}"
            if value is None or is_secret(name)
            else value.replace("$", "$$")
            for name, value in run.environment.items()
        },
        "init": True,
        "mem_limit": run.memory_limit,
        "memswap_limit": run.memory_limit,
        "shm_size": needs.shm_size,
        "ipc": needs.ipc,
        "ulimits": dict(needs.ulimits),
        "privileged": needs.privileged,
        "devices": list(needs.devices),
        "deploy": _gpu_reservation(run),
    }
    document: dict[str, object] = {"services": {"server": {name: value for name, value in service.items() if value}}}
    if run.cache_volume:
        document["volumes"] = {run.cache_volume: {"name": run.cache_volume}}
    return yaml.safe_dump(document, sort_keys=False, width=1000)


def _escape_dollars(arguments: Sequence[str]) -> list[str]:
    """The arguments with `$` doubled, since Compose would replace it by variables of the shell."""
    return [argument.replace("$", "$$") for argument in arguments]


def _gpu_reservation(run: ContainerRun) -> dict[str, object] | None:
    if not run.gpus:
        return None
    device = {"driver": "nvidia", "device_ids": list(run.gpus), "capabilities": ["gpu"]}
    return {"resources": {"reservations": {"devices": [device]}}}
