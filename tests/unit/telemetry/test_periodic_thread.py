"""A periodic thread by a clock of the test's own: periods that a slow call skips, pauses after failures, and no waiting in circles."""

from collections.abc import Callable

import pytest

from servegrid.telemetry import periodic_thread
from servegrid.telemetry.periodic_thread import PeriodicThread


class Clock:
    """A clock that only waiting and slow calls move; the thread is asked to stop once it is past `end_s`."""

    def __init__(self, end_s: float) -> None:
        self.now_s, self._end_s = 100.0, 100.0 + end_s
        self.waits: list[float] = []

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.now_s += max(seconds, 0)
        return self.now_s > self._end_s

    def is_set(self) -> bool:
        return False


def run(
    monkeypatch: pytest.MonkeyPatch, action: Callable[[Clock], None], end_s: float, once_more: bool = False
) -> tuple[list[float], list[str], PeriodicThread, Clock]:
    """Instants of the calls after the first in s, what was logged, the thread (which was run here), and its clock."""
    clock, calls, said = Clock(end_s), [], []
    monkeypatch.setattr(periodic_thread, "now_s", lambda: clock.now_s)

    def call() -> None:
        calls.append(round(clock.now_s - 100, 6))
        action(clock)

    thread = PeriodicThread("meter", call, 1.0, said.append)
    thread._stopping, thread._once_more = clock, once_more  # type: ignore[assignment]
    thread._run()
    return calls, said, thread, clock


def test_a_call_that_takes_no_time_comes_every_period(monkeypatch: pytest.MonkeyPatch) -> None:
    calls, said, thread, clock = run(monkeypatch, lambda _: None, 3)
    assert calls == [0, 1, 2, 3] and clock.waits == [1, 1, 1, 1]
    assert thread.first_call_done.is_set() and not said and thread.failures == 0
    calls, *_ = run(monkeypatch, lambda _: None, 3, once_more=True)
    assert calls == [0, 1, 2, 3, 4]


def test_a_call_of_five_periods_skips_them_and_shifts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow_once(clock: Clock) -> None:
        clock.now_s += 5.25 if clock.now_s == 101 else 0

    calls, _, _, clock = run(monkeypatch, slow_once, 8)
    assert calls == [0, 1, 7, 8] and clock.waits == [1, 0.75, 1, 1]


def test_a_failure_costs_one_call_and_half_a_second_at_least(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails_for_a_while(clock: Clock) -> None:
        clock.now_s += 0.75
        if clock.now_s < 103:
            raise OSError("no answer")

    calls, said, thread, clock = run(monkeypatch, fails_for_a_while, 4.5)
    assert said == ["meter: no answer", "meter: works again after 2 failures"] and thread.failures == 2
    assert calls == [0, 1.25, 2.5, 4] and clock.waits == [0.5, 0.5, 0.75, 0.25]


def test_an_exception_without_words_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Clock) -> None:
        raise KeyError

    assert run(monkeypatch, fail, 1)[1] == ["meter: KeyError"]


def test_a_thread_ends_when_it_is_asked_to_and_calls_once_more_if_so() -> None:
    calls: list[str] = []
    thread = PeriodicThread("meter", lambda: calls.append("call"), 3600.0, pytest.fail).start()
    assert thread.first_call_done.wait(60)
    assert not thread.join(0.0)
    thread.stop(once_more=True)
    assert thread.join(60) and calls == ["call", "call"]
    thread = PeriodicThread("meter", lambda: calls.append("call"), 3600.0, pytest.fail).start()
    thread.stop()
    assert thread.join(60) and len(calls) == 3


def test_a_failure_while_it_ends_is_nobody_s_business() -> None:
    thread = PeriodicThread("meter", lambda: 1 / 0, 1.0, pytest.fail)
    thread.stop()
    thread._call()
    assert thread.failures == 0
