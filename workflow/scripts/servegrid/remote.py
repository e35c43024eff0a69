"""A server that runs already: asked whether it is there, and otherwise left alone."""

import json
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

import requests

from servegrid.clock import now_s
from servegrid.server import ServerError, StartUp

POLL_S = 0.5
_ANSWER_S = 10.0


class RemoteServer:
    """What `server.Server` is for a server that is launched here: a context manager, which here starts and stops nothing."""

    pid = None
    alive = True  # as far as can be known from here; requests that fail are recorded as such
    ended: Mapping[str, Any] | None = None

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self.url = url.rstrip("/").removesuffix("/v1")
        self.headers = dict(headers)
        self.start_up = StartUp()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def dies_within(self, _limit_s: float) -> bool:
        """Its death cannot be seen from here."""
        return False

    def wait_ready(self, health_path: str, limit_s: float, tick: Callable[[], None] = lambda: None) -> None:
        """Wait until it answers 200 at `health_path`.

        Raises:
            ServerError: `refused` at once when it refuses the API key, `unreachable` after `limit_s` seconds.
        """
        said = "no answer"
        while now_s() - self.start_up.launched_s < limit_s:
            status, said = self._ask(health_path)
            if status == 200:
                self.start_up.ready_s = now_s()
                return
            if status in (401, 403):
                raise ServerError("refused", f"{self.url} refuses the API key: {said}")
            tick()
            time.sleep(POLL_S)
        raise ServerError("unreachable", f"{self.url}{health_path} did not answer 200 within {limit_s:g} s: {said}")

    def first_model(self) -> str | None:
        """The first model that it lists at /v1/models; None if it does not say."""
        status, text = self._ask("/v1/models")
        try:
            return str(json.loads(text)["data"][0]["id"]) if status == 200 else None
        except (ValueError, LookupError, TypeError):
            return None

    def _ask(self, path: str) -> tuple[int | None, str]:
        try:
            with requests.Session() as session:
                session.trust_env = False  # straight to the server, as the load client goes
                answer = session.get(self.url + path, headers=self.headers, timeout=_ANSWER_S, allow_redirects=False)
                return answer.status_code, answer.text if answer.ok else f"HTTP {answer.status_code}"
        except requests.RequestException as error:
            return None, _words(error)


def _words(error: Exception) -> str:
    """What went wrong, without what was sent: a header field holds the key."""
    text = str(error)
    return "connection refused" if "refused" in text else type(error).__name__


def key_headers(variable: str | None, environment: Mapping[str, str]) -> dict[str, str]:
    """The header field that carries the API key, from the environment variable of that name.

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
