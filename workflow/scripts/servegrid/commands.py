"""From a server of the grid to the command line that launches it."""

import shlex
from collections.abc import Mapping
from pathlib import Path

from servegrid import engines
from servegrid.engines.base import ServerSpec
from servegrid.facts import REPOSITORY
from servegrid.identity import digest, readable
from servegrid.secrets import is_secret

NOMINAL_PORT = 8080
"""Stands for the free port that is chosen at launch."""


def environment_folder(spec: ServerSpec) -> str:
    """Folder of the engine's own environment, below the folder of resources; named by engine and lock file."""
    return f"envs/{readable(spec.engine)}-{digest(spec.version, 8)}"


def needed_files(spec: ServerSpec, resources: Path) -> dict[str, Path]:
    """Model files the server needs, by role."""
    if spec.runtime == "url":
        return {}
    return {role: resources / path for role, path in engines.get(spec.engine).files(spec).items()}


def command_line(spec: ServerSpec, resources: Path, port: int) -> list[str]:
    """The whole command line: the engine's program in its environment, or the user's command, and the arguments."""
    engine = engines.get(spec.engine)
    arguments = engine.arguments(spec, needed_files(spec, resources), port)
    if spec.runtime == "command":
        return [*(spec.command or ()), *arguments]
    python = resources / environment_folder(spec) / "bin" / "python"
    return [str(python), str(REPOSITORY / "workflow" / "scripts" / engine.program), *arguments]


def environment(spec: ServerSpec) -> Mapping[str, str]:
    """Environment variables of the server beyond those of the run."""
    return engines.get(spec.engine).environment(spec)


def shell_line(spec: ServerSpec, resources: Path, port: int = NOMINAL_PORT) -> str:
    """One line for a shell that starts the server; a comment if it is one that runs already. Secrets stay in their variables."""
    if spec.runtime == "url":
        return f"# runs already at {spec.url}"
    variables = [_assignment(name, value) for name, value in environment(spec).items()]
    return " ".join([*variables, shlex.join(command_line(spec, resources, port))])


def _assignment(name: str, value: str) -> str:
    """`NAME=value` for a shell; a secret is taken from the variable of that name."""
    return f'{name}="${name}"' if is_secret(name) else f"{name}={shlex.quote(value)}"
