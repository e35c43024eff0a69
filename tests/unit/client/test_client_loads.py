"""The shapes of a load against servers on real sockets: threads of work, planned arrivals, endings, workers."""

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from servegrid.client.run import LoadProgress
from servegrid.client.shape import ClosedLoop, OpenLoop, Timeouts
from servegrid.host.ports import free_port
from servegrid.records.request import RequestRecord
from standins.answers import END, HEAD, chunk, events
from standins.loads import GOOD, TOKENS, load
from standins.scripted import HOLD, READ, ScriptedServer, Seen, Step

pytestmark = pytest.mark.slow


def test_threads_of_work_share_one_queue() -> None:
    def slow_to_the_first(seen: Seen) -> Iterator[Step]:
        if seen.headers["x-request-id"] == "r0":
            until_seen(server, 30)
        yield GOOD

    with ScriptedServer(slow_to_the_first) as server:
        records = load(server, ClosedLoop(3), number=30).records
    by_thread = Counter(record.thread for record in records)
    assert set(by_thread) == {0, 1, 2} and sum(by_thread.values()) == 30
    assert by_thread[records[0].thread] == 1  # the others did what was left while it waited
    assert [record.request_id for record in records] == [f"r{n}" for n in range(30)]
    assert server.connections == 3


def until_seen(server: ScriptedServer, number: int) -> None:
    """Wait until the server has seen so many requests; not for ever."""
    end_s = time.monotonic() + 60
    while len(server.seen) < number and time.monotonic() < end_s:
        time.sleep(0.001)


def in_flight(records: list[RequestRecord]) -> int:
    """The most at once."""
    edges = sorted([(r.sent_s, 1) for r in records] + [(r.end_s, -1) for r in records])  # type: ignore[type-var]
    now = most = 0
    for _, step in edges:
        now += step
        most = max(most, now)
    return most


def test_never_more_in_flight_than_threads() -> None:
    with ScriptedServer([0.005, GOOD]) as server:
        assert in_flight(load(server, ClosedLoop(4), number=40).records) == 4


def test_more_requests_than_given_go_round_under_new_ids() -> None:
    with ScriptedServer([GOOD]) as server:
        records = load(server, ClosedLoop(2, count=5), number=2).records
    assert [(r.request_id, r.prompt_id) for r in records] == [
        ("r0", "p0"),
        ("r1", "p1"),
        ("r0.1", "p0"),
        ("r1.1", "p1"),
        ("r0.2", "p0"),
    ]


def test_fewer_requests_than_given() -> None:
    with ScriptedServer([GOOD]) as server:
        assert len(load(server, ClosedLoop(8, count=2), number=9).records) == 2
    assert server.connections == 2


def test_a_duration_ends_the_sending_and_lets_the_rest_finish() -> None:
    begun_s = time.monotonic()
    with ScriptedServer([0.05, GOOD]) as server:
        result = load(server, ClosedLoop(2, duration_s=0.3), number=1)
    assert time.monotonic() - begun_s > 0.3
    assert 2 <= len(result.records) <= 16 and {record.status for record in result.records} == {"ok"}
    assert result.last_sent_s - result.start_s < 0.3


def test_a_refusing_server_does_not_spin_a_duration() -> None:
    result = load(f"http://127.0.0.1:{free_port()}", ClosedLoop(1, duration_s=0.5), number=1)
    assert 1 <= len(result.records) < 50


def test_planned_arrivals() -> None:
    plan = [0.0, 0.01, 0.01, 0.05, 0.3]

    def none_before_the_fourth(_seen: Seen) -> Iterator[Step]:
        until_seen(server, 4)
        yield GOOD

    with ScriptedServer(none_before_the_fourth) as server:
        result = load(server, OpenLoop(plan), number=5)
    planned = [record.planned_s for record in result.records]
    assert [at - planned[0] for at in planned] == pytest.approx(plan)  # type: ignore[operator]
    assert all(record.thread is None and record.sent_s >= record.planned_s for record in result.records)  # type: ignore[operator]
    assert {record.status for record in result.records} == {"ok"} and in_flight(result.records[:4]) == 4
    assert result.lateness is not None and 0 <= result.lateness.p50_s <= result.lateness.p99_s
    late = max(record.sent_s - record.planned_s for record in result.records)  # type: ignore[operator]
    assert result.lateness.p99_s == pytest.approx(late), "the last of five"


def test_planned_arrivals_do_not_wait_for_a_server_that_is_stuck() -> None:
    with ScriptedServer([HOLD]) as server:
        result = load(server, OpenLoop([n * 0.01 for n in range(20)]), number=20, timeouts=Timeouts(total_s=3.0))
    assert Counter(record.status for record in result.records) == {"timeout": 20}
    assert in_flight(result.records) == 20


def test_planned_arrivals_at_a_server_that_is_not_there() -> None:
    result = load(f"http://127.0.0.1:{free_port()}", OpenLoop([0.0, 0.02]), number=2)
    assert [record.status for record in result.records] == ["disconnected"] * 2


def test_the_time_limit_of_a_load() -> None:
    with ScriptedServer(lambda seen: [GOOD] if seen.number < 2 else [HOLD]) as server:
        result = load(server, ClosedLoop(2), number=9, timeouts=Timeouts(load_s=3.0))
    assert Counter((r.status, r.error) for r in result.records) == {
        ("ok", None): 2,
        ("timeout", "the load's time limit of 3 s was over"): 2,
    }
    assert result.unsent == 5


def when_seen(server: ScriptedServer, number: int, act: Callable[[], Any]) -> threading.Thread:
    """Act as soon as the server has seen so many requests."""

    def wait() -> None:
        while len(server.seen) < number:
            time.sleep(0.01)
        act()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def test_stop() -> None:
    """Both answers at work have been read in part by then."""
    stop, both_read = threading.Event(), threading.Barrier(2, timeout=60)

    def script(seen: Seen) -> Iterator[Step]:
        if seen.number < 2:
            yield GOOD
        else:
            yield from (HEAD, chunk(events(3)[0]), READ)
            both_read.wait()
            stop.set()
            yield HOLD

    with ScriptedServer(script) as server:
        result = load(server, ClosedLoop(2), number=9, stop=stop)
    assert Counter((r.status, r.error, r.output_tokens) for r in result.records) == {
        ("ok", None, 3): 2,
        ("cancelled", "the load was broken off", 1): 2,
    }
    assert result.unsent == 5 and result.interrupted_by is None


def test_stop_while_connecting_and_in_an_open_loop() -> None:
    stop = threading.Event()
    with ScriptedServer([HOLD]) as server:
        when_seen(server, 2, stop.set)
        result = load(server, OpenLoop([0.0, 0.05, 60.0]), number=3, stop=stop)
    assert [record.status for record in result.records] == ["cancelled"] * 2 and result.unsent == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, RuntimeError])
def test_an_exception_from_a_signal_handler_keeps_what_was_recorded(error: type[BaseException]) -> None:
    def handler(_number: int, _frame: Any) -> None:
        raise error("now")

    before = signal.signal(signal.SIGUSR1, handler)
    main = threading.main_thread().ident
    assert main is not None
    try:
        with ScriptedServer(lambda seen: [GOOD] if seen.number < 2 else [HOLD]) as server:
            when_seen(server, 4, lambda: signal.pthread_kill(main, signal.SIGUSR1))
            result = load(server, ClosedLoop(2), number=9)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert isinstance(result.interrupted_by, error)
    assert Counter(record.status for record in result.records) == {"ok": 2, "cancelled": 2}


def test_progress_is_told() -> None:
    reports: list[LoadProgress] = []
    with ScriptedServer([0.1, GOOD]) as server:
        load(server, number=8, on_progress=reports.append)
    assert reports and reports[-1].total == 8 and 0 < reports[-1].sent <= 8 and reports[-1].failed == 0


@pytest.mark.parametrize("workers", [2, 3])
def test_workers_share_the_requests(workers: int) -> None:
    with ScriptedServer([0.01, GOOD]) as server:
        result = load(server, ClosedLoop(4), number=17, workers=workers)
    assert [record.request_id for record in result.records] == [f"r{n}" for n in range(17)]
    assert Counter(record.status for record in result.records) == {"ok": 17}
    assert {r.thread % workers for r in result.records[::workers]} == {0}  # type: ignore[operator]
    assert in_flight(result.records) <= 4 and server.connections == 4 and result.client_cpu_s > 0


def test_workers_keep_one_plan_and_one_clock() -> None:
    plan = [n * 0.02 for n in range(10)]
    with ScriptedServer([GOOD]) as server:
        result = load(server, OpenLoop(plan), number=10, workers=2)
    planned = [record.planned_s for record in result.records]
    assert [at - planned[0] for at in planned] == pytest.approx(plan)  # type: ignore[operator]
    assert all(record.sent_s >= record.planned_s for record in result.records)  # type: ignore[operator]
    assert {seen.headers["x-request-id"] for seen in server.seen} == {f"r{n}" for n in range(10)}


def test_workers_stop() -> None:
    stop = threading.Event()
    with ScriptedServer(lambda seen: [GOOD] if seen.number < 2 else [HOLD]) as server:
        when_seen(server, 4, stop.set)
        result = load(server, ClosedLoop(2), number=9, stop=stop, workers=2)
    assert Counter(record.status for record in result.records)["cancelled"] == 2


def test_a_thousand_connections() -> None:
    with ScriptedServer([HEAD, *(chunk(event_bytes) for event_bytes in events(TOKENS)), END]) as server:
        result = load(server, ClosedLoop(500), number=1000)
    assert Counter(record.status for record in result.records) == {"ok": 1000}
