"""Copies behind a balancer as one server, with members whose ends and answers are scripted."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from servegrid.launch import replicated
from servegrid.launch.replicated import ReplicatedServer
from servegrid.launch.server import ServerError, StartUp


class FakeMember:
    """A member that does what its test says, and tells `said` about it."""

    def __init__(
        self, name: str, said: list[str], fails: ServerError | None = None, ready: ServerError | None = None
    ) -> None:
        self.name, self.said, self.fails, self.ready = name, said, fails, ready
        self.start_up = StartUp(1.0)
        self.url, self.headers = f"http://{name}", {"Authorization": name}
        self.pid: int | None = None
        self.end: Mapping[str, Any] | None = None
        self.dies_when_asked = False

    @property
    def ended(self) -> Mapping[str, Any] | None:
        return self.end

    @property
    def alive(self) -> bool:
        return self.end is None

    def __enter__(self) -> Any:
        if self.fails:
            raise self.fails
        self.pid = len(self.said) + 100
        self.said.append(f"start {self.name}")
        return self

    def __exit__(self, *_: object) -> None:
        self.said.append(f"stop {self.name}")
        self.end = self.end or {"signal": 15}

    def wait_ready(self, health_url: str, limit_s: float, tick: Callable[[], None]) -> None:
        if self.dies_when_asked:
            self.end = {"exit": 3}
        tick()
        if self.ready:
            raise self.ready
        self.said.append(f"ready {health_url} {limit_s:g}")
        self.start_up.listening_s, self.start_up.ready_s = 2.0, 3.0

    def answers(self, paths: Iterable[str], base: str | None = None) -> dict[str, Any]:
        return dict.fromkeys(paths, (self.name, base))


@pytest.fixture
def said() -> list[str]:
    return []


def server_of(said: list[str], folder: Path, rounds: list[list[int]]) -> tuple[ReplicatedServer, list[FakeMember]]:
    members = [FakeMember(name, said) for name in ("a", "b", "balancer")]
    logs = [folder / "a.log", folder / "b.log"]
    for log in logs:
        log.write_text(f"words of {log.stem}\n")
    return ReplicatedServer(members[:2], logs, rounds, members[2], folder / "log"), members


def test_copies_that_start_one_after_the_other(said: list[str], tmp_path: Path) -> None:
    server, _ = server_of(said, tmp_path, [[0], [1]])
    ticks: list[int] = []
    with server as entered:
        assert entered is server and said == ["start a"] and server.pids == (100,)
        server.wait_ready("http://balancer/health", 60, lambda: ticks.append(1))
        assert said[1:] == [
            "ready http://a/health 60",
            "start b",
            "ready http://b/health 60",
            "start balancer",
            "ready http://balancer/health 60",
        ]
        assert server.alive and server.pids == (100, 102) and len(ticks) == 3
        assert (server.start_up.listening_s, server.start_up.ready_s) == (2.0, 3.0)
        assert server.answers(["/v"], "x") == {"/v": ("a", "x")}
        assert (server.url, server.headers) == ("http://balancer", {"Authorization": "a"})
    assert sorted(said[-3:]) == ["stop a", "stop b", "stop balancer"]
    assert server.ended == {"signal": 15}


def test_copies_that_start_at_once(said: list[str], tmp_path: Path) -> None:
    with server_of(said, tmp_path, [[0, 1]])[0]:
        assert said == ["start a", "start b"]


def test_one_that_cannot_start_stops_the_others(said: list[str], tmp_path: Path) -> None:
    server, members = server_of(said, tmp_path, [[0, 1]])
    members[1].fails = ServerError("launch", "no such file")
    with pytest.raises(ServerError) as caught, server:
        pass
    assert (caught.value.kind, str(caught.value)) == ("launch", "copy 2 of 2: no such file")
    assert said == ["start a", "stop a"]


def test_a_death_while_waiting_says_whose(said: list[str], tmp_path: Path) -> None:
    server, members = server_of(said, tmp_path, [[0, 1]])
    members[1].dies_when_asked = True
    with server, pytest.raises(ServerError) as caught:
        server.wait_ready("http://balancer/health", 60)
    assert (caught.value.kind, str(caught.value)) == (
        "crashed",
        "ended before all were ready: copy 2 of 2: exit status 3",
    )
    assert server.ended == {"exit": 3, "who": "copy 2 of 2"}
    assert (tmp_path / "log").read_text() == "copy 2 of 2: words of b\n"


@pytest.mark.parametrize(
    ("late", "name", "log"), [(0, "copy 1 of 2", "copy 1 of 2: words of a\n"), (2, "the balancer", None)]
)
def test_one_that_is_not_ready_in_time_is_named(
    said: list[str], tmp_path: Path, late: int, name: str, log: str | None
) -> None:
    server, members = server_of(said, tmp_path, [[0, 1]])
    members[late].ready = ServerError("start-timeout", "was not ready")
    with server, pytest.raises(ServerError) as caught:
        server.wait_ready("http://balancer/health", 60)
    assert (caught.value.kind, str(caught.value)) == ("start-timeout", f"{name}: was not ready")
    assert ((tmp_path / "log").read_text() if (tmp_path / "log").exists() else None) == log


def test_a_death_is_waited_for_in_sleep(said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s, pauses = [10.0], []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        now_s[0] += seconds
        if now_s[0] > 11.9:
            members[0].end = {"exit": 1}

    monkeypatch.setattr(replicated, "now_s", lambda: now_s[0])
    monkeypatch.setattr(replicated.time, "sleep", sleep)
    server, members = server_of(said, tmp_path, [[0, 1]])
    with server:
        assert not server.dies_within(1.0) and len(pauses) in (20, 21) and set(pauses) == {0.05}
        assert server.dies_within(1.0) and server.ended == {"exit": 1, "who": "copy 1 of 2"}
