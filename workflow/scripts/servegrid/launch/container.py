"""A server in a container: all settings that the daemon is given, and the same as a `docker run` line. Nothing is started here."""

import glob
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from servegrid import engines
from servegrid.engines.base import CACHE_FOLDER, Container, Launch, ServerSpec
from servegrid.telemetry.npu import is_npu
from servegrid.util.hub import is_hub_name
from servegrid.util.identity import readable_name
from servegrid.util.secret_env import is_secret

ALL_INTERFACES = "0.0.0.0"  # the daemon publishes the port on the host's 127.0.0.1 alone


@dataclass(frozen=True, slots=True)
class ContainerRun:
    """Settings of one container. `ports` maps ports inside to ports of 127.0.0.1; `mounts` have the same path inside, read-only."""

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


def describe_container(
    spec: ServerSpec, launch: Launch, gpus: Sequence[str], variables: Mapping[str, str], image: str | None = None
) -> ContainerRun:
    """Settings of the container that runs this server; `image` is the image by digest, once that is known."""
    engine = engines.get(spec.engine)
    needs = engine.container(spec)
    launch_inside = _launch_inside(launch, needs)
    files = [path for path in launch_inside.files.values() if not is_hub_name(path)]
    settings_folders = [launch_inside.folder] if engine.settings_files(spec, launch_inside) else []
    return ContainerRun(
        image=image or spec.image or "",
        words=(*needs.program, *engine.arguments(spec, launch_inside)),
        ports=dict(zip(launch_inside.ports, launch.ports, strict=True)),
        mounts=tuple(
            dict.fromkeys([*(part for path in files for part in _with_linked_files(path)), *settings_folders])
        ),
        environment=({"XDG_CACHE_HOME": CACHE_FOLDER} if needs.cache == CACHE_FOLDER else {}) | dict(variables),
        gpus=tuple(gpu for gpu in gpus if not is_npu(gpu)),
        needs=needs,
        cache_volume=f"servegrid-{readable_name(spec.engine)}-cache" if needs.cache else None,
        memory_limit=spec.memory_limit,
    )


def _launch_inside(launch: Launch, needs: Container) -> Launch:
    """The launch as the server in the container sees it: absolute paths, the ports inside, all interfaces."""
    ports = tuple(range(needs.port, needs.port + len(launch.ports)))
    files = {role: path if is_hub_name(path) else path.absolute() for role, path in launch.files.items()}
    return replace(launch, files=files, ports=ports, host=ALL_INTERFACES, folder=launch.folder.absolute())


def _with_linked_files(path: Path) -> list[Path]:
    """The path, the other parts of a split GGUF file, and the targets of links that lead out of the folder."""
    split_name = re.fullmatch(r"(.*)-\d{5}-of-(\d{5}\.gguf)", path.name)
    other_parts = (
        sorted(path.parent.glob(f"{glob.escape(split_name[1])}-?????-of-{split_name[2]}")) if split_name else []
    )
    links = sorted(link for link in path.rglob("*") if link.is_symlink()) if path.is_dir() else []
    link_targets = [target for link in links if not (target := link.resolve()).is_relative_to(path.resolve())]
    return [path, *other_parts, *link_targets]


def docker_run_command(run: ContainerRun) -> list[str]:
    """Arguments of the `docker run` line that starts this container; of a secret only the name, so that the shell's variable is passed on."""
    arguments = ["docker", "run", "--rm", *_resource_options(run.needs), *_gpu_options(run.gpus)]
    arguments += ["--memory", run.memory_limit, "--memory-swap", run.memory_limit] if run.memory_limit else []
    arguments += [argument for inside, port in run.ports.items() for argument in ("-p", f"127.0.0.1:{port}:{inside}")]
    arguments += [argument for path in run.mounts for argument in ("-v", f"{path}:{path}:ro")]
    arguments += ["-v", f"{run.cache_volume}:{run.needs.cache}"] if run.cache_volume else []
    arguments += [
        argument for name, value in run.environment.items() for argument in ("-e", _environment_option(name, value))
    ]
    entrypoint = run.needs.entrypoint
    arguments += ["--entrypoint", entrypoint[0]] if entrypoint else []
    return [*arguments, run.image, *(entrypoint or ())[1:], *run.words]


def _environment_option(name: str, value: str | None) -> str:
    return name if is_secret(name) or value is None else f"{name}={value}"


def _resource_options(needs: Container) -> list[str]:
    options = ["--init"] if needs.init else []
    options += ["--shm-size", needs.shm_size] if needs.shm_size else []
    options += ["--ipc", needs.ipc] if needs.ipc else []
    options += [option for name, limit in needs.ulimits.items() for option in ("--ulimit", f"{name}={limit}")]
    options += [option for device in needs.devices for option in ("--device", device)]
    return [*options, "--privileged"] if needs.privileged else options


def _gpu_options(gpus: Sequence[str]) -> list[str]:
    """`--gpus` with exactly these GPUs, or nothing: docker would give all. The inner quotes are docker's syntax for a list."""
    return ["--gpus", f'"device={",".join(gpus)}"'] if gpus else []
