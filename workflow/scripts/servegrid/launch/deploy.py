"""The ways to start a server by hand, as it was measured: a line for a shell, a Compose file, the engine's own words."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from servegrid import engines
from servegrid.engines.base import Launch, ServerSpec
from servegrid.launch import layout
from servegrid.launch.command_line import (
    chosen_gpus,
    described_balancer,
    environment,
    nominal_launch,
    nominal_launches,
    shown,
)
from servegrid.launch.container import ContainerRun, described
from servegrid.util.secret_env import is_secret, secret_variable

REQUEST_TIMEOUT_S = 600.0  # what a balancer lets a request take


@dataclass(frozen=True)
class Form:
    """One way: what it is called, and what is typed or saved."""

    title: str
    text: str


def forms(spec: ServerSpec, resources: Path, folder: Path = Path("/srv/servegrid")) -> list[Form]:
    """All ways that this server's runtime has; the first is the one it was measured with.

    Files that the engine reads its settings from are written to `folder` by the first lines.
    """
    if spec.runtime == "url":
        return [Form("It runs already", shown(spec, resources, nominal_launch(spec, resources)))]
    if spec.copies > 1:
        return [Form(f"{spec.copies} servers behind {spec.balancer}", _several(spec, resources, folder))]
    launch, gpus = nominal_launch(spec, resources, folder), layout.gpus_of(spec, chosen_gpus(spec), 0)
    line = "\n".join([*_files(spec, launch), shown(spec, resources, launch, gpus)])
    if spec.runtime != "docker":
        return [Form("Command", line)]
    run = described(spec, launch, gpus, environment(spec))
    return [
        Form("docker run", line),
        Form("docker compose", compose(run)),
        Form("The engine's own command, in its image", shlex.join(run.words)),
    ]


def _several(spec: ServerSpec, resources: Path, folder: Path) -> str:
    """Every copy in the background, then the balancer before them."""
    launches = [replace(one, folder=folder / one.folder) for one in nominal_launches(spec, resources)]
    port = launches[-1].ports[-1] + 1
    balancer = described_balancer(spec, launches, port, folder / "balancer", REQUEST_TIMEOUT_S)
    lines: list[str] = []
    for copy, launch in enumerate(launches):
        gpus = layout.gpus_of(spec, chosen_gpus(spec), copy)
        lines += [*_files(spec, launch), f"{shown(spec, resources, launch, gpus)} &"]
    # two on one device must not measure its free memory at the same time
    lines.insert(0, "# start each server when the one before it is ready") if spec.sharing > 1 else None
    return "\n".join([*lines, *_written(balancer.file, balancer.config), shlex.join(balancer.command)])


def _files(spec: ServerSpec, launch: Launch) -> list[str]:
    """Shell lines that write the engine's files."""
    lines: list[str] = []
    for name, text in engines.get(spec.engine).written(spec, launch).items():
        lines += _written(launch.folder / name, text)
    return lines


def _written(path: Path, text: str) -> list[str]:
    begin = [f"mkdir -p {shlex.quote(str(path.parent))}", f"cat > {shlex.quote(str(path))} <<'EOF'"]
    return [*begin, text.rstrip("\n"), "EOF"]


def compose(run: ContainerRun) -> str:
    """A Compose file (Compose Specification) with this one service; secrets are taken from the shell's variables."""
    needs = run.needs
    service = {
        "image": run.image,
        "command": _literal(run.words),
        "entrypoint": _literal(needs.entrypoint or ()),
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
        "deploy": _gpus(run),
    }
    document: dict[str, object] = {"services": {"server": {name: value for name, value in service.items() if value}}}
    if run.cache_volume:
        document["volumes"] = {run.cache_volume: {"name": run.cache_volume}}
    return yaml.safe_dump(document, sort_keys=False, width=1000)


def _literal(words: Sequence[str]) -> list[str]:
    """Compose would put variables of the shell in for `$`."""
    return [word.replace("$", "$$") for word in words]


def _gpus(run: ContainerRun) -> dict[str, object] | None:
    if not run.gpus:
        return None
    device = {"driver": "nvidia", "device_ids": list(run.gpus), "capabilities": ["gpu"]}
    return {"resources": {"reservations": {"devices": [device]}}}
