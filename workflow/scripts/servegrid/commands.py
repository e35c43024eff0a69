"""From a server of the grid to the command line that launches it."""

from collections.abc import Mapping
from pathlib import Path

from servegrid import engines
from servegrid.engines.base import ServerSpec
from servegrid.facts import REPOSITORY
from servegrid.identity import digest, readable


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
