"""A server process from launch to stop, under a guard that kills it if this process dies."""

import http.client
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from servegrid.launch.exit_reason import describe_exit, failure_kind
from servegrid.launch.probe import get_json
from servegrid.util import guard
from servegrid.util.clock import now_s

POLL_S = 0.05


class ServerError(Exception):
    """The server could not be started, or is dead. `kind` classifies the failure, the text is the readable reason."""

    def __init__(self, kind: str, reason: str) -> None:
        self.kind = kind
        super().__init__(reason)


@dataclass(slots=True)
class StartUp:
    """Times of a launch in seconds of the host's monotonic clock; None until reached."""

    launched_s: float = field(default_factory=now_s)
    listening_s: float | None = None
    ready_s: float | None = None


class Server:
    """A server process as a context manager: entering launches it, leaving stops it and waits until all its processes are gone."""

    ca_file: None = None  # it is not asked over TLS

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        port: int,
        env: Mapping[str, str] | None = None,
        stop_timeout_s: float = 10.0,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.command = list(command)
        self.start_up = StartUp()
        self.ended: dict[str, Any] | None = None
        self.pid: int | None = None
        self.url, self.headers = f"http://127.0.0.1:{port}", dict(headers or {})
        self._log, self._env, self._stop_timeout_s = log, env, stop_timeout_s

    def __enter__(self) -> Self:
        status_read, status_write = os.pipe()
        program = [
            sys.executable,
            "-I",
            "-S",
            guard.__file__,
            str(self._stop_timeout_s),
            str(status_write),
            "--",
            *self.command,
        ]
        with self._log.open("ab") as log:
            self.start_up = StartUp()
            self._guard = subprocess.Popen(
                program,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=[status_write],
                start_new_session=True,
                env={**os.environ, **(self._env or {})},
            )
        os.close(status_write)
        self._status = os.fdopen(status_read)
        started = json.loads(self._status.readline() or '{"error": "the guard died"}')
        if "error" in started:
            self.__exit__(None, None, None)
            raise ServerError("launch", f"could not be launched: {started['error']}")
        self.pid = started["pid"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._guard.stdin
        self._guard.stdin.close()
        if self.ended is None:
            self.ended = self._read_exit()
        self._guard.wait()
        self._status.close()

    @property
    def alive(self) -> bool:
        """Whether the server's process still runs; never blocks."""
        if self.ended is None and select.select([self._status], [], [], 0)[0]:
            self.ended = self._read_exit()
        return self.ended is None

    def _read_exit(self) -> dict[str, Any]:
        """Exit status or signal, as the guard reports it; a guard that reports nothing was killed, and its server with it."""
        line = self._status.readline()
        ended: dict[str, Any] = json.loads(line) if line else {"signal": 9}
        return ended

    @property
    def pids(self) -> tuple[int, ...]:
        """Roots of the server's process trees; none before the launch."""
        return () if self.pid is None else (self.pid,)

    def dies_within(self, limit_s: float) -> bool:
        """Whether the process is gone, or goes within `limit_s` seconds: its sockets close before it is reaped."""
        if self.alive:
            select.select([self._status], [], [], limit_s)
        return not self.alive

    def wait_ready(self, health_url: str, limit_s: float, tick: Callable[[], None] = lambda: None) -> None:
        """Wait until the health endpoint answers 200.

        Raises:
            ServerError: `crashed` at once when the process ends, `start-timeout` after `limit_s` seconds.
        """
        while now_s() - self.start_up.launched_s < limit_s:
            if not self.alive:
                raise ServerError(
                    failure_kind(self.ended, self._log),
                    f"ended before it was ready: {describe_exit(self.ended, self._log)}",
                )
            if self._healthy(health_url):
                self.start_up.ready_s = now_s()
                return
            tick()
            time.sleep(POLL_S)
        raise ServerError("start-timeout", f"was not ready within {limit_s:g} s (server.start_timeout_s)")

    def answers(self, paths: Iterable[str], base: str | None = None) -> dict[str, Any]:
        """The server's JSON answers by path (below `base`, else below its API); None where it answers no JSON."""
        return {path: get_json((base or self.url) + path, self.headers) for path in paths}

    def _healthy(self, url: str) -> bool:
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=5)
        try:
            connection.connect()
            self.start_up.listening_s = self.start_up.listening_s or now_s()
            connection.request("GET", parts.path)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
