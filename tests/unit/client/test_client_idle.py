"""Connections that wait: what a server says on an idle one ends no load, no more are opened than are needed, and waiting takes no CPU."""

import threading
from collections.abc import Iterator

import pytest

from servegrid.client.shape import ClosedLoop, OpenLoop
from standins.loads import GOOD, load
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


def test_a_plan_opens_as_many_connections_as_it_needs() -> None:
    """Answers come at once, arrivals 20 ms apart: those a quarter of a second ahead, and no more for each tick of the clock."""
    arrivals = [0.02 * number for number in range(60)]
    with ScriptedServer([GOOD]) as server:
        records = load(server, OpenLoop(arrivals), 60).records
    assert [record.status for record in records] == ["ok"] * 60
    assert server.connections <= 14


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


def test_waiting_for_an_arrival_takes_no_cpu() -> None:
    with ScriptedServer([GOOD]) as server:
        result = load(server, OpenLoop([0.0, 2.0]), 2)
    assert result.client_cpu_s < 0.25 * (result.end_s - result.start_s)
