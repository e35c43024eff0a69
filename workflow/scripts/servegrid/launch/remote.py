"""A server that runs already, at a URL: it is only asked whether it is ready, never started or stopped."""

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

from servegrid.launch.probe import get_json, get_text
from servegrid.launch.server import ServerError, StartUp
from servegrid.protocols.server_url import join, shown
from servegrid.util.clock import now_s

POLL_S = 0.5
NOT_YET = (408, 425, 429, 500, 502, 503, 504)
"""Answers of a server that is not ready, or of a proxy whose server is not."""


class RemoteServer:
    """The counterpart of `server.Server` for a server that runs already: a context manager that starts and stops nothing."""

    pids: tuple[int, ...] = ()
    alive = True  # as far as can be known from here; requests that fail are recorded as such
    ended: Mapping[str, Any] | None = None

    def __init__(self, url: str, headers: Mapping[str, str], ca_file: Path | None = None) -> None:
        self.url, self.headers, self.ca_file = url, dict(headers), ca_file
        self.start_up = StartUp()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def dies_within(self, _limit_s: float) -> bool:
        """False: the death of a remote server cannot be seen from here."""
        return False

    def wait_ready(self, health_url: str, limit_s: float, tick: Callable[[], None] = lambda: None) -> None:
        """Wait until it answers at `health_url`: 200, or that there is no such page, which says as well that somebody is there.

        Raises:
            ServerError: `refused` at once when it refuses the API key or is not trusted, `unreachable` after `limit_s` seconds.
        """
        url, answer = shown(health_url), "no answer"
        while now_s() - self.start_up.launched_s < limit_s:
            status, answer = get_text(health_url, self.headers, self.ca_file)
            if status in (401, 403):
                raise ServerError("refused", f"{url} refuses the API key: {answer} (health_path: none asks nothing)")
            if status is not None and status not in NOT_YET:
                self.start_up.ready_s = now_s()
                return
            if answer.startswith("TLS: "):
                raise ServerError("refused", f"{url}: {answer}")
            tick()
            time.sleep(POLL_S)
        raise ServerError("unreachable", f"{url} did not answer 200 within {limit_s:g} s: {answer}")

    def first_model(self) -> str | None:
        """The first model that the server lists at /v1/models; None if it lists none."""
        try:
            return str(get_json(join(self.url, "/v1/models"), self.headers, self.ca_file)["data"][0]["id"])
        except (LookupError, TypeError):
            return None

    def answers(self, paths: Iterable[str], base: str | None = None) -> dict[str, Any]:
        """The server's JSON answers by path (below `base`, else below its API); None where it answers no JSON."""
        return {path: get_json(join(base or self.url, path), self.headers, self.ca_file) for path in paths}


def url_at_port(url: str, number: int) -> str:
    """The URL with its port raised by `number`: a server with several ports has them in a row."""
    parts = urlsplit(url)
    if not number or parts.port is None:
        return url
    return urlunsplit(parts._replace(netloc=f"{parts.netloc.rpartition(':')[0]}:{parts.port + number}"))


def api_key_headers(variable: str | None, environment: Mapping[str, str]) -> dict[str, str]:
    """The header field that carries the API key, taken from the environment variable `variable`; empty if that is None.

    Raises:
        ServerError: when the variable is not set.
    """
    if variable is None:
        return {}
    key = environment.get(variable, "").strip()
    if not key:
        raise ServerError("refused", f"api_key_env = {variable}: no such environment variable, or it is empty")
    if not key.isascii() or not key.isprintable():
        raise ServerError("refused", f"api_key_env = {variable}: its value cannot stand in a header field")
    return {"Authorization": f"Bearer {key}"}
