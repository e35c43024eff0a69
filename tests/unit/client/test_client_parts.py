"""Parts of the client on their own: the event loop, what keeps logs, the JSON lines."""

import json
import os
import select
import socket
import time
from time import monotonic
from typing import Any

import pytest

from servegrid.client import loop as loops
from servegrid.client import pacing as pacings
from servegrid.client.exchange import Exchange, Request, Spool
from servegrid.client.json_lines import json_lines
from servegrid.client.loop import READ, WRITE, Loop
from servegrid.client.pacing import ClosedPacing
from servegrid.client.shape import ClosedLoop
from servegrid.records.request import RequestRecord


@pytest.fixture(params=["epoll", "poll"])
def loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Loop:
    if request.param == "poll":
        monkeypatch.delattr(select, "epoll", raising=False)
    elif not hasattr(select, "epoll"):
        pytest.skip("no epoll on this system")
    return Loop()


def test_timers_are_called_in_order_and_never_early(loop: Loop) -> None:
    now, called = monotonic(), []
    for delay in (0.03, 0.0, 0.0105, 0.01):
        loop.call_at(now + delay, lambda delay=delay: called.append((delay, monotonic() - now)))
    loop.call_at(now + 0.04, loop.stop)
    loop.run()
    loop.close()
    assert [delay for delay, _ in called] == [0.0, 0.01, 0.0105, 0.03]
    assert all(after >= delay for delay, after in called)


def test_a_timer_that_sets_itself_again_leaves_descriptors_their_turn(loop: Loop) -> None:
    here, there = socket.socketpair()

    def again() -> None:
        loop.call_soon(again)

    loop.watch(here.fileno(), READ, lambda mask: loop.stop())
    again()
    there.send(b"x")
    loop.run()
    loop.close()
    here.close()
    there.close()


def test_descriptors(loop: Loop) -> None:
    here, there = socket.socketpair()
    seen: list[object] = []

    def readable(mask: int) -> None:
        data = os.read(here.fileno(), 10)
        seen.append(data)
        if not data:
            loop.unwatch(here.fileno())
            loop.unwatch(here.fileno())
            loop.stop()

    def writable(mask: int) -> None:
        seen.append(bool(mask & WRITE))
        loop.watch(here.fileno(), READ, readable)
        there.send(b"a")
        there.close()

    loop.watch(here.fileno(), WRITE, writable)
    loop.run()
    loop.close()
    here.close()
    assert seen == [True, b"a", b""]


def test_a_handler_may_take_away_another_of_the_same_round(loop: Loop) -> None:
    pairs = [socket.socketpair() for _ in range(2)]
    called = []

    def handler(this: int) -> None:
        called.append(this)
        loop.unwatch(pairs[1 - this][0].fileno())
        loop.call_soon(loop.stop)

    for number, (here, there) in enumerate(pairs):
        loop.watch(here.fileno(), READ, lambda mask, number=number: handler(number))
        there.send(b"x")
    loop.run()
    loop.close()
    assert len(called) >= 1 and len(set(called)) == 1
    for pair in pairs:
        for end in pair:
            end.close()


def test_pauses_come_with_many_reads_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left of the pause is that it ends: the rest is a matter of time."""
    monkeypatch.setattr(loops, "PAUSE_FROM", 0.0)
    loop, (here, there) = Loop(), socket.socketpair()
    reads: list[bytes] = []

    def readable(mask: int) -> None:
        reads.append(os.read(here.fileno(), 1))
        loop.count_reads(time.monotonic())
        loop.set_pause(0.001)
        if len(reads) == 20:
            loop.stop()

    loop.set_pause(0.001)
    assert not loop.pause_s
    there.send(bytes(20))
    loop.watch(here.fileno(), READ, readable)
    loop.run()
    assert loop.pause_s == 0.001 and len(reads) == 20
    loop.set_pause(0.00001)
    assert not loop.pause_s, "not worth a pause"
    loop.count_reads(time.monotonic())
    loop.count_reads(time.monotonic())
    loop.set_pause(0.001)
    assert not loop.pause_s, "nothing was read since"
    loop.close()
    here.close()
    there.close()


def exchange(number: int, data: bytes) -> Exchange:
    return Exchange(number, str(number), Request(str(number), "p", b"", 1), log=[1.0, data])


def test_logs_are_kept_in_memory_first_and_in_a_file_beyond() -> None:
    spool = Spool(hold_bytes=100)
    kept = [exchange(number, bytes([number]) * 40) for number in range(5)]
    for kept_exchange in kept:
        spool.keep(kept_exchange, 40)
    assert [kept_exchange.log == [] for kept_exchange in kept] == [False, False, True, True, True]
    assert [spool.log(kept_exchange) for kept_exchange in reversed(kept)] == [
        [1.0, bytes([n]) * 40] for n in (4, 3, 2, 1, 0)
    ]
    spool.close()


def test_json_lines() -> None:
    good = RequestRecord(
        "a", "p", 3, "ok", sent_s=1.0, first_token_s=1.5, end_s=3.0, chunk_offsets_s=[0.5, 0.75, 2.0], output_tokens=3
    )
    unsent = RequestRecord("b", "q", 3, "disconnected", error="no connection: connection refused", end_s=2.0)
    first, second = (json.loads(line) for line in json_lines([good, unsent]).splitlines())
    expected = {"id": "a", "start": 1.0, "ttft": 0.5, "itl": [0.25, 1.25], "e2e": 2.0, "tokens": 3, "status": "ok"}
    assert {key: first[key] for key in expected} == expected
    expected = {
        "id": "b",
        "start": None,
        "ttft": None,
        "itl": [],
        "e2e": None,
        "tokens": None,
        "status": "disconnected",
    }
    assert {key: second[key] for key in expected} == expected
    assert second["error"] == "no connection: connection refused"


class Refusing:
    """Stands for the driver, which gets no connection: it keeps what a pacing would do later."""

    def __init__(self) -> None:
        self.loop = self
        self.waiting: list[tuple[float, Any]] = []
        self.sent: list[Exchange] = []

    def call_soon(self, call: Any) -> None:
        self.call_at(0.0, call)

    def call_at(self, at_s: float, call: Any) -> None:
        self.waiting.append((at_s, call))

    def dial(self, exchange: Exchange | None) -> None:
        pass

    def dispatch(self, exchange: Exchange, _connection: object) -> None:
        self.sent.append(exchange)


def test_a_server_that_refuses_for_hours_is_asked_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacings, "monotonic", lambda: 0.0)
    pacing = ClosedPacing(ClosedLoop(1, duration_s=86_400), [Request("a", "p", b"{}", 4)], 0, 1)
    driver: Any = Refusing()
    pacing.prepare(driver)
    pacing.start(0.0)
    pauses = []
    for _ in range(1100):
        pacing.ended(driver.sent.pop(), None)
        at_s, go_on = driver.waiting.pop()
        pauses.append(at_s)
        go_on()
    assert pauses == [0.02, 0.04, 0.08, 0.16, 0.32, 0.64, *[1.0] * 1094]
