"""Several servers behind a load balancer, which together are one server: ready when all are, dead when one is."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from servegrid.launch.exit_reason import describe_exit, failure_kind
from servegrid.launch.server import POLL_S, ServerError, StartUp
from servegrid.launch.server_log import tail
from servegrid.util.clock import now_s


class Member(Protocol):
    """A copy or the balancer: the interface of `server.Server` that ReplicatedServer needs."""

    start_up: StartUp
    url: str
    headers: dict[str, str]

    @property
    def ended(self) -> Mapping[str, Any] | None:
        """Exit status or signal; None while it runs."""

    @property
    def pid(self) -> int | None:
        """Process id; None before the launch."""

    @property
    def alive(self) -> bool:
        """Whether it still runs."""

    def __enter__(self) -> Any: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def wait_ready(self, health_url: str, limit_s: float, tick: Callable[[], None]) -> None:
        """As `Server.wait_ready`."""

    def answers(self, paths: Iterable[str], base: str | None = None) -> dict[str, Any]:
        """As `Server.answers`."""


class ReplicatedServer:
    """Several servers and their balancer as one context manager: entering launches the first copies, leaving stops all.

    Attributes:
        copies: the servers, each with a log of its own.
        ended: how the member ended that died first; `who` says which it was.
    """

    ca_file: None = None  # as of `Server`

    def __init__(
        self,
        copies: Sequence[Member],
        logs: Sequence[Path],
        rounds: Sequence[Sequence[int]],
        balancer: Member,
        log: Path,
    ) -> None:
        """Take the members; `rounds` are the copies that start together (see `layout.start_rounds`), `log` is the balancer's."""
        self.copies, self._balancer = list(copies), balancer
        self._rounds, self._logs, self._log = rounds, list(logs), log
        self.start_up = StartUp()
        self.ended: dict[str, Any] | None = None
        self.url, self.headers = balancer.url, dict(copies[0].headers)
        self._started: list[tuple[str, Path | None, Member]] = []

    def __enter__(self) -> Self:
        self.start_up = StartUp()
        try:
            self._start_round(self._rounds[0])
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._started:
            return
        _ = self.alive  # who died first is known only before all are stopped
        with ThreadPoolExecutor(len(self._started)) as pool:
            list(pool.map(lambda started: started[2].__exit__(None, None, None), reversed(self._started)))
        self.ended = self.ended or dict(self._started[0][2].ended or {})

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the launched copies; the balancer's is left out, for it is not the server."""
        return tuple(copy.pid for copy in self.copies if copy.pid is not None)

    @property
    def alive(self) -> bool:
        """Whether all started members still run; never blocks. The log tail of the first dead copy goes to the common log."""
        if self.ended is None:
            dead = next((started for started in self._started if not started[2].alive), None)
            if dead:
                name, log, member = dead
                self.ended = {**(member.ended or {}), "who": name}
                self._append_log_tail(name, log)
        return self.ended is None

    def dies_within(self, limit_s: float) -> bool:
        """Whether a member is gone, or goes within `limit_s` seconds."""
        deadline_s = now_s() + limit_s
        while self.alive and now_s() < deadline_s:
            time.sleep(POLL_S)
        return not self.alive

    def wait_ready(self, health_url: str, limit_s: float, tick: Callable[[], None] = lambda: None) -> None:
        """Start what is still to be started and wait until every copy, and then the balancer, answers 200.

        Args:
            health_url: at the balancer; the copies are asked at the same path.
            limit_s: from a copy's own launch, in s.
            tick: called again and again meanwhile.

        Raises:
            ServerError: `crashed` at once when a member ends, `start-timeout` after `limit_s` seconds; says which.
        """
        path = health_url.removeprefix(self.url)

        def check_alive() -> None:
            tick()
            if not self.alive:
                raise self._crash_error()

        for number, round_copies in enumerate(self._rounds):
            if number:
                self._start_round(round_copies)
            for copy in round_copies:
                self._wait_until_ready(copy, path, limit_s, check_alive)
        self._start("the balancer", None, self._balancer)
        self._wait_until_ready(None, path, limit_s, check_alive)
        self.start_up.listening_s = self._balancer.start_up.listening_s
        self.start_up.ready_s = self._balancer.start_up.ready_s

    def answers(self, paths: Iterable[str], base: str | None = None) -> dict[str, Any]:
        """The first copy's JSON answers by path; see `copies` for the others."""
        return self.copies[0].answers(paths, base)

    def _start_round(self, round_copies: Sequence[int]) -> None:
        for copy in round_copies:
            self._start(self._copy_name(copy), self._logs[copy], self.copies[copy])

    def _start(self, name: str, log: Path | None, member: Member) -> None:
        try:
            member.__enter__()
        except ServerError as error:
            raise ServerError(error.kind, f"{name}: {error}") from error
        self._started.append((name, log, member))

    def _wait_until_ready(self, copy: int | None, path: str, limit_s: float, check_alive: Callable[[], None]) -> None:
        """Wait until this copy (None: the balancer) answers 200 at `path`, and name it in errors."""
        member = self._balancer if copy is None else self.copies[copy]
        try:
            member.wait_ready(member.url + path, limit_s, check_alive)
        except ServerError as error:
            if not self.alive:
                raise self._crash_error() from error
            name, log = ("the balancer", None) if copy is None else (self._copy_name(copy), self._logs[copy])
            self._append_log_tail(name, log)
            raise ServerError(error.kind, f"{name}: {error}") from error

    def _crash_error(self) -> ServerError:
        return ServerError(
            failure_kind(self.ended, self._log), f"ended before all were ready: {describe_exit(self.ended, self._log)}"
        )

    def _copy_name(self, copy: int) -> str:
        return f"copy {copy + 1} of {len(self.copies)}"

    def _append_log_tail(self, name: str, log: Path | None) -> None:
        """Append the tail of a copy's log to the common log, where reasons and reports look; the balancer logs there itself."""
        if log:
            with suppress(OSError), self._log.open("a") as common_log:
                common_log.writelines(f"{name}: {line}\n" for line in tail(log))
