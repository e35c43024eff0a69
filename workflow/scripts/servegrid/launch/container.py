"""A server in a container: all that the daemon is told, and the same as a `docker run` line. Nothing is started here."""

import glob
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from servegrid import engines
from servegrid.engines.base import CACHE, Container, Launch, ServerSpec
from servegrid.telemetry.npu import is_npu
from servegrid.util.hub import is_hub_name
from servegrid.util.identity import readable_name
from servegrid.util.secret_env import is_secret

INSIDE = "0.0.0.0"  # the daemon publishes the port on the host's 127.0.0.1 alone


@dataclass(frozen=True, slots=True)
class ContainerRun:
    """One container. `ports` maps ports inside to ports of 127.0.0.1; `mounts` are seen inside under the same path, read-only."""

    image: str
    words: tuple[str, ...]
    ports: Mapping[int, int]
    mounts: tuple[Path, ...]
    environment: Mapping[str, str | None]  # None: as it is where the container is started from
    gpus: tuple[str, ...]
    needs: Container
    cache_volume: str | None = None
    memory_limit: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


def described(
    spec: ServerSpec, launch: Launch, gpus: Sequence[str], variables: Mapping[str, str], image: str | None = None
) -> ContainerRun:
    """The container of this server; `image` names it by digest once that is known."""
    engine = engines.get(spec.engine)
    needs = engine.container(spec)
    inside = _inside(launch, needs)
    files = [path for path in inside.files.values() if not is_hub_name(path)]
    written = [inside.folder] if engine.written(spec, inside) else []
    return ContainerRun(
        image=image or spec.image or "",
        words=(*needs.program, *engine.arguments(spec, inside)),
        ports=dict(zip(inside.ports, launch.ports, strict=True)),
        mounts=tuple(dict.fromkeys([*(part for path in files for part in _with_parts(path)), *written])),
        environment=({"XDG_CACHE_HOME": CACHE} if needs.cache == CACHE else {}) | dict(variables),
        gpus=tuple(gpu for gpu in gpus if not is_npu(gpu)),
        needs=needs,
        cache_volume=f"servegrid-{readable_name(spec.engine)}-cache" if needs.cache else None,
        memory_limit=spec.memory_limit,
    )


def _inside(launch: Launch, needs: Container) -> Launch:
    """The launch as the server in the container sees it."""
    ports = tuple(range(needs.port, needs.port + len(launch.ports)))
    files = {role: path if is_hub_name(path) else path.absolute() for role, path in launch.files.items()}
    return replace(launch, files=files, ports=ports, host=INSIDE, folder=launch.folder.absolute())


def _with_parts(path: Path) -> list[Path]:
    """The path, with what it is incomplete without: further parts of a split file, and what links lead out of a folder to."""
    split = re.fullmatch(r"(.*)-\d{5}-of-(\d{5}\.gguf)", path.name)
    beside = sorted(path.parent.glob(f"{glob.escape(split[1])}-?????-of-{split[2]}")) if split else []
    links = sorted(one for one in path.rglob("*") if one.is_symlink()) if path.is_dir() else []
    outside = [target for one in links if not (target := one.resolve()).is_relative_to(path.resolve())]
    return [path, *beside, *outside]


def docker_run(run: ContainerRun) -> list[str]:
    """The container as the words of a `docker run` line; a secret is a name alone, which hands on the variable of the shell."""
    words = ["docker", "run", "--rm", *_resources(run.needs), *_gpus(run.gpus)]
    words += ["--memory", run.memory_limit, "--memory-swap", run.memory_limit] if run.memory_limit else []
    words += [word for inside, port in run.ports.items() for word in ("-p", f"127.0.0.1:{port}:{inside}")]
    words += [word for path in run.mounts for word in ("-v", f"{path}:{path}:ro")]
    words += ["-v", f"{run.cache_volume}:{run.needs.cache}"] if run.cache_volume else []
    words += [word for name, value in run.environment.items() for word in ("-e", _variable(name, value))]
    entrypoint = run.needs.entrypoint
    words += ["--entrypoint", entrypoint[0]] if entrypoint else []
    return [*words, run.image, *(entrypoint or ())[1:], *run.words]


def _variable(name: str, value: str | None) -> str:
    return name if is_secret(name) or value is None else f"{name}={value}"


def _resources(needs: Container) -> list[str]:
    words = ["--init"] if needs.init else []
    words += ["--shm-size", needs.shm_size] if needs.shm_size else []
    words += ["--ipc", needs.ipc] if needs.ipc else []
    words += [word for name, limit in needs.ulimits.items() for word in ("--ulimit", f"{name}={limit}")]
    words += [word for device in needs.devices for word in ("--device", device)]
    return [*words, "--privileged"] if needs.privileged else words


def _gpus(gpus: Sequence[str]) -> list[str]:
    """Never all of them by accident; the quotes within are docker's own, for a list."""
    return ["--gpus", f'"device={",".join(gpus)}"'] if gpus else []
