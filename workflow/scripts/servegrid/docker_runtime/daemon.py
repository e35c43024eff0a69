"""The daemon that DOCKER_HOST names, or the host's own: Docker, rootless Docker, or Podman's Docker-compatible socket."""

import os
from typing import Any
from urllib.parse import urlsplit

import docker
from docker.errors import DockerException

_OWN = "unix:///var/run/docker.sock"


class Unreachable(Exception):
    """There is no talking to the daemon; the text says why, `remedy` how to mend it."""

    def __init__(self, reason: str, remedy: str) -> None:
        self.remedy = remedy
        super().__init__(reason)


def address() -> str:
    """Where the daemon is looked for."""
    return os.environ.get("DOCKER_HOST") or _OWN


def connect(timeout_s: int = 60) -> Any:
    """A client of the daemon (`docker.DockerClient`); every call but waits and streams ends within `timeout_s` seconds.

    Raises:
        Unreachable: when nobody answers there, or not this user, or when it is another machine's.
    """
    if elsewhere():
        raise Unreachable(
            f"DOCKER_HOST = {address()} is another machine's daemon: its servers cannot be reached or watched from here",
            "run servegrid there, or measure a server that runs there with runtime url",
        )
    try:
        return docker.from_env(timeout=timeout_s)
    except (DockerException, ValueError) as error:
        raise _unreachable(str(error)) from error


def elsewhere() -> bool:
    """Whether DOCKER_HOST names another machine."""
    parts = urlsplit(address())
    return parts.scheme in ("ssh", "tcp", "http", "https") and parts.hostname not in ("localhost", "127.0.0.1", "::1")


def _unreachable(said: str) -> Unreachable:
    if "PermissionError" in said:
        remedy = "add your user to the group docker and log in again, or use a rootless daemon: export DOCKER_HOST=unix://$XDG_RUNTIME_DIR/docker.sock"
        return Unreachable(f"this user may not use the daemon's socket {address()}", remedy)
    if any(kind in said for kind in ("FileNotFoundError", "ConnectionRefusedError", "NewConnectionError")):
        remedy = "start it (systemctl start docker), or set DOCKER_HOST to the socket of a rootless daemon or of Podman"
        return Unreachable(f"no daemon answers at {address()}", remedy)
    return Unreachable(f"the daemon at {address()} cannot be used: {said}", "correct DOCKER_HOST")
