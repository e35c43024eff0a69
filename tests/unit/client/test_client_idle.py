"""Connections that wait: what a server says on an idle one ends no load, no more are opened than are needed, and waiting takes no CPU."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from servegrid.client import pacing as pacings
from servegrid.client.connection import Connection
from servegrid.client.exchange import Exchange, Request
from servegrid.client.pacing import OpenPacing
from servegrid.client.shape import ClosedLoop, OpenLoop
from servegrid.protocols.base import GenerationSettings
from standins.loads import GOOD, PROTOCOL, load
from standins.scripted import CLOSE, ScriptedServer, Seen, Step

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "later",
    [
        b"rubbish",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        b"\x00" * 5000,
        b"HTTP/1.1 408 Request Timeout\r\n\r\n",
    ],
    ids=["rubbish", "answer", "zeros", "time-out"],
)
@pytest.mark.parametrize("ends", [True, False])
def test_what_comes_on_an_idle_connection_ends_no_load(later: bytes, ends: bool) -> None:
    """50 ms after a whole answer, when the next request is a while away; the request goes over another connection then."""

    def script(seen: Seen) -> Iterator[Step]:
        yield GOOD
        if seen.number == 0:
            yield 0.05
            yield later
            if ends:
                yield CLOSE

    with ScriptedServer(script) as server:
        records = load(server, OpenLoop([0.0, 0.6, 0.7]), 3).records
    assert [record.status for record in records] == ["ok"] * 3
    assert server.seen[1].connection != server.seen[0].connection


class Dialling:
    """Stands for the driver: every dial succeeds at the next tick, and every answer is there before it."""

    def __init__(self) -> None:
        self.loop = self
        self.dialled: list[float] = []
        self.reused: list[bool] = []
        self.now_s = 0.0
        self.due: list[tuple[float, Any]] = []
        self.is_finished = False

    def dial(self, exchange: Exchange | None) -> None:
        assert exchange is None
        self.dialled.append(self.now_s)

    def dispatch(self, exchange: Exchange, connection: Any) -> None:
        self.reused.append(connection is not None)

    def call_at(self, at_s: float, call: Any) -> None:
        self.due.append((at_s, call))

    def prepared(self) -> None:
        """A load may start."""

    def finish(self) -> None:
        self.is_finished = True


def test_a_plan_opens_as_many_connections_as_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrivals 20 ms apart, answers after 100 ms: those of the next quarter of a second and of what is under way, and no more by any tick."""
    driver: Any = Dialling()
    monkeypatch.setattr(pacings, "monotonic", lambda: driver.now_s)
    pacing = OpenPacing(OpenLoop([0.02 * number for number in range(1, 101)]), [Request("a", "p", b"{}", 4)], 0, 1)
    pacing.prepare(driver)
    assert len(driver.dialled) == 12, "those that are due within a quarter of a second"
    pacing.start(0.0)
    connected = ended = 0
    for step in range(450):
        driver.now_s = 0.005 * step
        for _ in range(len(driver.dialled) - connected):
            connected += 1
            pacing.connected(object())  # type: ignore[arg-type]
        for at_s, call in [timer for timer in driver.due if timer[0] <= driver.now_s]:
            driver.due.remove((at_s, call))
            call()
        while ended < len(driver.reused) and 0.02 * (ended + 1) + 0.1 <= driver.now_s:
            ended += 1
            pacing.ended(Exchange(ended, "r", Request("a", "p", b"{}", 4)), object())  # type: ignore[arg-type]
        pacing.tick(driver.now_s)
    assert len(driver.reused) == 100 and all(driver.reused), "each found a connection"
    assert ended == 100 and driver.is_finished
    assert 12 <= len(driver.dialled) <= 19


def test_connections_ahead_are_there_before_a_burst() -> None:
    """Eight at once after a pause find eight connections, opened while nothing was sent."""
    together = threading.Barrier(8, timeout=60)

    def script(seen: Seen) -> Iterator[Step]:
        together.wait()
        yield GOOD

    with ScriptedServer(script) as server:
        result = load(server, OpenLoop([0.5] * 8), 8)
    assert [record.status for record in result.records] == ["ok"] * 8 and server.connections == 8
    assert max(record.sent_s or 0 for record in result.records) - result.start_s < 60


def test_a_closed_loop_keeps_a_connection_for_each_thread() -> None:
    with ScriptedServer([GOOD]) as server:
        records = load(server, ClosedLoop(3), 60).records
    assert [record.status for record in records] == ["ok"] * 60 and server.connections == 3


@pytest.mark.parametrize("kind", ["stream", "requests"])
def test_waiting_for_an_answer_takes_no_cpu(kind: str) -> None:
    with ScriptedServer([2.0, GOOD]) as server:
        result = load(server, ClosedLoop(4), 4, kind=kind)
    assert [record.status for record in result.records] == ["ok"] * 4
    assert result.client_cpu_s < 0.25 * (result.end_s - result.start_s)


def test_a_long_request_waits_for_the_socket_only_until_it_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The socket takes it in parts. A socket that can be written is ready at once, again and again."""
    calls: list[int] = []
    on_ready = Connection._on_ready
    monkeypatch.setattr(
        Connection, "_on_ready", lambda connection, mask: calls.append(mask) or on_ready(connection, mask)
    )
    todo = [Request("r0", "p0", PROTOCOL.body("x" * 16_000_000, GenerationSettings(max_tokens=3)), 3)]
    with ScriptedServer([0.5, GOOD]) as server:
        result = load(server, ClosedLoop(1), todo=todo)
    assert [record.status for record in result.records] == ["ok"]
    assert 1 <= len(calls) < 1000


def test_waiting_for_an_arrival_takes_no_cpu() -> None:
    with ScriptedServer([GOOD]) as server:
        result = load(server, OpenLoop([0.0, 2.0]), 2)
    assert result.client_cpu_s < 0.25 * (result.end_s - result.start_s)
