"""Arrival plans: pure, fixed by their seed, and of the rate they promise."""

from itertools import pairwise
from pathlib import Path
from statistics import mean, pstdev
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from servegrid.client.arrivals import KINDS, ArrivalPlan, read_trace
from servegrid.client.shape import ClosedLoop, OpenLoop, Timeouts


def gaps(offsets: list[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(offsets)]


def plan(kind: str, **keys: Any) -> list[float]:
    return ArrivalPlan(kind, **{"rate": 50.0, "count": 20_000, "seed": 4, **keys}).offsets_s()


def test_constant_never_drifts() -> None:
    offsets = plan("constant", rate=3.0, count=30_001)
    assert offsets[0] == 0.0 and offsets[30_000] == 10_000.0


@pytest.mark.parametrize(
    ("kind", "keys", "spread"),
    [("poisson", {}, 1.0), ("gamma", {"burstiness": 0.25}, 2.0), ("gamma", {"burstiness": 4.0}, 0.5)],
)
def test_random_gaps_have_the_rate_and_the_spread(kind: str, keys: dict[str, Any], spread: float) -> None:
    """The gaps' standard deviation over their mean is 1 / sqrt(burstiness)."""
    gaps_s = gaps(plan(kind, **keys))
    assert mean(gaps_s) == pytest.approx(1 / 50, rel=0.05)
    assert pstdev(gaps_s) / mean(gaps_s) == pytest.approx(spread, rel=0.05)


def test_gamma_with_burstiness_one_is_poisson() -> None:
    assert plan("gamma", count=100) == plan("poisson", count=100)


def test_burst() -> None:
    assert plan("burst", rate=4.0, burst_size=2, count=5) == [0.0, 0.0, 0.5, 0.5, 1.0]


def test_ramp_follows_the_line() -> None:
    offsets = plan("ramp", rate=10.0, end_rate=30.0, duration_s=10.0, count=None)
    assert len(offsets) == pytest.approx(200, abs=1)  # the area under the line
    assert len([at for at in offsets if at < 5]) == pytest.approx(75, abs=1)
    falling = plan("ramp", rate=30.0, end_rate=10.0, duration_s=10.0, count=None)
    assert len([at for at in falling if at < 5]) == pytest.approx(125, abs=1)


@given(st.sampled_from(KINDS), st.floats(0.5, 500), st.integers(1, 300), st.floats(0.5, 20), st.integers(0, 2**31))
@settings(deadline=None)
def test_every_plan_is_in_order_ends_in_time_and_repeats(
    kind: str, rate: float, count: int, duration_s: float, seed: int
) -> None:
    plan = ArrivalPlan(kind, rate, count, duration_s, seed, burstiness=0.5, burst_size=3, end_rate=rate * 2)
    offsets = plan.offsets_s()
    assert offsets == plan.offsets_s() and len(offsets) <= count
    assert all(gap >= 0 for gap in gaps(offsets)) and all(0 <= at < duration_s for at in offsets)


def test_another_seed_is_another_plan() -> None:
    assert plan("poisson", seed=1, count=10) != plan("poisson", seed=2, count=10)


@pytest.mark.parametrize(
    ("kind", "keys", "message"),
    [
        ("uniform", {}, "arrival 'uniform': expected one of constant, poisson"),
        ("constant", {"rate": 0}, "rate must be greater than 0, not 0"),
        ("gamma", {"burstiness": -1}, "burstiness must be greater than 0"),
        ("constant", {"count": None}, "needs an end"),
        ("ramp", {"duration_s": 5}, "a ramp needs end_rate"),
    ],
)
def test_plans_that_make_no_sense(kind: str, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan(kind, **keys)


def test_trace(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    trace.write_text('# seconds\n100.5\n{"timestamp": 100}\n\n{"arrival_s": 102}\n')
    assert read_trace(trace) == [0.0, 0.5, 2.0]
    assert read_trace(trace, rate=10.0) == pytest.approx([0.0, 0.05, 0.2])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1\nsoon\n", "line 2: expected seconds"),
        ("1\n1" + "0" * 400 + "\n", "line 2: expected seconds"),
        ("1\n" + "[" * 200_000 + "\n", "line 2: expected seconds"),
        ("{}", "line 1"),
        ("NaN", "line 1"),
        ("true", "line 1"),
        ("#\n", "no arrivals"),
    ],
)
def test_traces_that_make_no_sense(tmp_path: Path, text: str, message: str) -> None:
    trace = tmp_path / "trace"
    trace.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_trace(trace)


def test_a_long_trace_is_read_in_time_that_grows_with_its_lines(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    trace.write_text("\n".join(map(str, range(300_000, 0, -1))))  # would take an hour at a pass per line
    assert read_trace(trace) == [float(n) for n in range(300_000)]


def test_a_trace_at_one_instant_cannot_be_stretched(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    trace.write_text("5\n5\n")
    assert read_trace(trace) == [0.0, 0.0]
    with pytest.raises(ValueError, match="has no rate"):
        read_trace(trace, rate=1.0)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (lambda: ClosedLoop(0), "threads must be greater than 0, not 0"),
        (lambda: ClosedLoop(1, count=-1), "count"),
        (lambda: ClosedLoop(1, duration_s=float("inf")), "duration_s"),
        (lambda: OpenLoop([]), "no arrivals"),
        (lambda: OpenLoop([1.0, 0.5]), "0.5 after 1.0"),
        (lambda: OpenLoop([-1.0]), "not negative"),
        (lambda: Timeouts(connect_s=0), "connect_s"),
        (lambda: Timeouts(load_s=-5), "load_s"),
    ],
)
def test_shapes_that_make_no_sense(shape: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        shape()
