"""Connect to the container daemon: the one in DOCKER_HOST or the host's own (Docker, rootless Docker, or Podman's socket)."""

import os
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import urlsplit

import docker
from docker.errors import DockerException

_DEFAULT_ADDRESS = "unix:///var/run/docker.sock"
_LOCAL_HOSTS, _DEFAULT_PORT = ("localhost", "127.0.0.1", "::1"), 2375


class DaemonUnreachable(Exception):
    """The daemon cannot be reached or used; the text says why, `remedy` how to mend it."""

    def __init__(self, reason: str, remedy: str) -> None:
        self.remedy = remedy
        super().__init__(reason)


def daemon_address() -> str:
    """Address of the daemon: DOCKER_HOST, else Docker's default socket."""
    return os.environ.get("DOCKER_HOST") or _DEFAULT_ADDRESS


@contextmanager
def docker_client(timeout_s: int = 60) -> Iterator[Any]:
    """Connect to the daemon and give a `docker.DockerClient`; every call but waits and streams ends within `timeout_s` seconds.

    Raises:
        DaemonUnreachable: when nobody answers there, or not this user, or when it is another machine's.
    """
    _check_reachable(daemon_address())
    try:
        client = docker.from_env(timeout=timeout_s)
    except (DockerException, ValueError) as error:
        raise DaemonUnreachable(
            f"the daemon at {daemon_address()} cannot be used: {error}", "correct DOCKER_HOST"
        ) from error
    with closing(client):
        yield client


def _check_reachable(address: str) -> None:
    """Check that a daemon listens at `address`; the client's own errors do not say what is wrong."""
    parts = urlsplit(address)
    try:
        if parts.scheme == "unix":
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(parts.path)
        elif parts.hostname in _LOCAL_HOSTS:
            socket.create_connection((parts.hostname, parts.port or _DEFAULT_PORT), timeout=5).close()
        elif parts.hostname:
            reason = f"DOCKER_HOST = {address} is another machine's daemon: its servers cannot be reached or watched from here"
            raise DaemonUnreachable(reason, "run servegrid there, or measure a server that runs there with runtime url")
    except PermissionError as error:
        remedy = (
            "add your user to the group docker and log in again, or use a rootless daemon: "
            "export DOCKER_HOST=unix://$XDG_RUNTIME_DIR/docker.sock"
        )
        raise DaemonUnreachable(f"this user may not use the daemon's socket {address}", remedy) from error
    except OSError as error:
        remedy = "start it (systemctl start docker), or set DOCKER_HOST to the socket of a rootless daemon or of Podman"
        raise DaemonUnreachable(f"no daemon answers at {address}: {error.strerror or error}", remedy) from error
