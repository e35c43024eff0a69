"""A server in a container. Its keeper, scripts/run_container.py, runs under the guard as any server process does."""

import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from docker.errors import DockerException
from requests.exceptions import RequestException

from servegrid.launch.container import ContainerRun
from servegrid.launch.docker.daemon import DaemonUnreachable, docker_client
from servegrid.launch.docker.image_record import ImageRecord, read_image_record, record_path
from servegrid.launch.docker.images import ImageAbsent, ensure_present
from servegrid.launch.docker.keeper import ENDED_FILE, RUN_ADAPTER, RUN_FILE, STARTED_FILE
from servegrid.launch.docker.ownership import remove_orphans
from servegrid.launch.server import POLL_S, Server, ServerError
from servegrid.util.clock import now_s
from servegrid.util.files import read_json, write_atomic
from servegrid.util.secret_env import is_secret

_KEEPER_SCRIPT = Path(__file__).parents[3] / "run_container.py"
_DAEMON_TIMEOUT_S = 20.0  # for what the daemon does beyond waiting for the server: kill, remove
_SIGNAL_OFFSET = 128  # exit statuses above it are signals, to the daemon as to a shell


class ContainerServer(Server):
    """A `Server` in a container; `pid` is the container's first process, or None where that is not visible on this host."""

    def __init__(
        self, run: ContainerRun, folder: Path, log: Path, port: int, stop_timeout_s: float, headers: Mapping[str, str]
    ) -> None:
        secrets = {name: value for name, value in run.environment.items() if is_secret(name) and value is not None}
        command = [sys.executable, str(_KEEPER_SCRIPT), str(folder), str(stop_timeout_s)]
        super().__init__(
            command, log, port, secrets, stop_timeout_s=stop_timeout_s + _DAEMON_TIMEOUT_S, headers=headers
        )
        self._folder = folder
        self._run = replace(run, environment={**run.environment, **dict.fromkeys(secrets)})

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        for name in (STARTED_FILE, ENDED_FILE):
            (self._folder / name).unlink(missing_ok=True)
        write_atomic(self._folder / RUN_FILE, RUN_ADAPTER.dump_json(self._run, indent=1))
        super().__enter__()
        try:
            self.pid = self._wait_until_started()["pid"]
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _wait_until_started(self) -> dict[str, Any]:
        """Wait for started.json and return its content; the daemon's own time limits end this wait."""
        while not (self._folder / STARTED_FILE).exists():
            if not self.alive:
                ended = self.ended or {}
                raise ServerError(
                    ended.get("kind", "launch"), f"could not be launched: {ended.get('error', 'its keeper died')}"
                )
            time.sleep(POLL_S)
        started: dict[str, Any] = read_json(self._folder / STARTED_FILE)
        return started

    @property
    def alive(self) -> bool:
        """Whether the container runs; its end is known before it is removed and its keeper is gone."""
        if self.ended is None:
            self.ended = self._read_outcome()
        return super().alive

    def dies_within(self, limit_s: float) -> bool:
        """Whether the container has ended, or ends within `limit_s` seconds."""
        deadline_s = now_s() + limit_s
        while self.alive and now_s() < deadline_s:
            time.sleep(POLL_S)
        return not self.alive

    def _read_exit(self) -> dict[str, Any]:
        ended = super()._read_exit()
        return self._read_outcome() or ended

    def _read_outcome(self) -> dict[str, Any] | None:
        """How the container ended, from ended.json; None while there is none. An exit status above 128 becomes a signal."""
        path = self._folder / ENDED_FILE
        if not path.exists():
            return None
        outcome: dict[str, Any] = read_json(path)
        status = outcome["exit"]
        exit_state = {"signal": status - _SIGNAL_OFFSET} if status > _SIGNAL_OFFSET else {"exit": status}
        return {**outcome, **exit_state, "memory_limit": self._run.memory_limit}


def require_image(reference: str, resources: Path) -> ImageRecord:
    """Make sure that the recorded image is on this host, and return its record.

    Raises:
        ServerError: `image` when it cannot be had, `launch` when the daemon does not answer.
    """
    path = resources / record_path(reference)
    image = read_image_record(reference, resources)
    if image is None or image.error:
        reason = image.error if image else f"was not looked up ({path} is missing)"
        raise ServerError("image", f"no image {reference}: {reason}")
    try:
        with docker_client() as client:
            ensure_present(client, image)
    except ImageAbsent as error:
        raise ServerError("image", f"no image {reference}: {error}; remove {path} to look the name up anew") from error
    except (DaemonUnreachable, DockerException, RequestException) as error:
        raise ServerError("launch", f"no container: {error}") from error
    return image


def remove_orphaned_containers() -> list[str]:
    """Remove containers that a killed run left behind, and return their sessions; none if the daemon does not answer."""
    try:
        with docker_client() as client:
            return remove_orphans(client)
    except (DaemonUnreachable, DockerException, RequestException):
        return []
