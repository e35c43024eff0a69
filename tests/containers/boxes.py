"""Containers for the tests: small programs, and the real server as an entry of `engines`."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from servegrid.engines.base import Container
from servegrid.host.ports import free_port
from servegrid.launch.container import ContainerRun
from servegrid.launch.docker import ownership
from servegrid.launch.docker.server import ContainerServer


def cannot(reason: str) -> None:
    """Skip, or fail where .ci/run has promised that nothing is skipped."""
    if os.environ.get("SERVEGRID_CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def engine(image: str, **more: Any) -> dict[str, Any]:
    """llama.cpp in a container, at the precision of the default config."""
    options = {"cache-type-k": "f32", "cache-type-v": "f32"}
    return {"engine": "llamacpp", "runtime": "docker", "image": image, "options": options, **more}


@contextmanager
def boxed(folder: Path, image: str, script: str, stop_timeout_s: float = 5, **more: Any) -> Iterator[ContainerServer]:
    """A shell script in a container."""
    port, settings = free_port(), {"environment": {}, "mounts": (), "gpus": (), "needs": Container()} | more
    settings["needs"] = Container(**{"entrypoint": ("sh", "-c"), **(more.get("needs") or {})})
    run = ContainerRun(image=image, words=(script,), ports={8000: port}, **settings)
    with ContainerServer(run, folder / "server", folder / "log", port, stop_timeout_s, {}) as server:
        yield server


def of(daemon: Any, folder: Path) -> list[Any]:
    """The containers of the sessions below `folder`."""
    found = daemon.containers.list(all=True, filters={"label": ownership.SESSION_LABEL}, ignore_removed=True)
    return [container for container in found if str(folder) in container.labels[ownership.SESSION_LABEL]]
