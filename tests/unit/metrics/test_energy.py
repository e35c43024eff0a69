"""Energy from made-up samples whose answer can be worked out by hand. No GPU was there to take real ones."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from servegrid.collect.aggregate import energy_per_token
from servegrid.metrics.energy import energy_columns, energy_warnings, idle_power_w
from servegrid.metrics.telemetry import Samples, Window
from servegrid.records.schema import TELEMETRY
from servegrid.results.warnings import RowWarning, disqualifying_warning, join_warnings

Value = float | None | Callable[[float], float | None]


def samples(device: str, times: list[float], **columns: Value) -> pd.DataFrame:
    rows = [
        dict.fromkeys(TELEMETRY.names)
        | {"t_s": t, "device": device}
        | {name: value(t) if callable(value) else value for name, value in columns.items()}
        for t in times
    ]
    return pd.DataFrame(rows).astype({"power_w": float, "energy_j": float})


def window(start_s: float, end_s: float, *frames: pd.DataFrame) -> Window:
    return by_device(*frames).window(start_s, end_s)


def by_device(*frames: pd.DataFrame) -> Samples:
    return Samples({str(frame["device"].iloc[0]): frame for frame in frames if len(frame)}, {})


TIMES = [n / 2 for n in range(100)]
STEADY = samples("A", TIMES, power_w=100.0, energy_j=lambda t: 5000 + 100 * t)


def test_the_counter_is_interpolated_at_both_edges() -> None:
    columns = energy_columns(window(4.25, 24.1, STEADY), ["A"], None)
    assert columns["energy_j"] == pytest.approx(1985.0)
    assert columns["energy_above_idle_j"] is None


def test_a_counter_that_stands_still_is_none_and_the_power_counts() -> None:
    stuck = samples("A", TIMES, power_w=100.0, energy_j=5000.0)
    load_window = window(10, 30, stuck)
    assert energy_columns(load_window, ["A"], None)["energy_j"] == pytest.approx(2000)
    assert energy_warnings(load_window, ["A"]) == [RowWarning.ENERGY_FROM_POWER]


def session(energy_j: float | None, above_j: float | None, tokens: float | None) -> Any:
    load_columns = {"energy_j": energy_j, "idle_power_w": 30.0, "energy_above_idle_j": above_j}
    return SimpleNamespace(load_columns=load_columns, counts={"output_tokens": tokens})


def test_energy_per_token_is_that_of_the_sessions_that_know_it() -> None:
    columns = energy_per_token([session(4500.0, 1500.0, 480.0), session(None, None, 1440.0)])
    assert columns == {"j_per_output_token": 4500 / 480, "j_per_output_token_above_idle": 1500 / 480}
    both = energy_per_token([session(4500.0, 1500.0, 480.0), session(1500.0, 100.0, 1440.0)])
    assert both["j_per_output_token"] == 6000 / 1920
    assert "j_per_output_token" not in energy_per_token([session(4500.0, None, None)])


def test_above_idle_is_unknown_where_one_session_has_nothing_above() -> None:
    columns = energy_per_token([session(4500.0, 1500.0, 480.0), session(4000.0, None, 480.0)])
    assert columns == {"energy_above_idle_j": None, "j_per_output_token": 8500 / 960}


def test_idle_is_subtracted() -> None:
    columns = energy_columns(window(10, 30, STEADY), ["A"], 30.0)
    assert columns == {
        "energy_j": pytest.approx(2000),
        "idle_power_w": 30.0,
        "energy_above_idle_j": pytest.approx(1400),
    }


def test_less_than_idle_is_not_known() -> None:
    assert energy_columns(window(10, 30, STEADY), ["A"], 130.0)["energy_above_idle_j"] is None


def test_a_counter_that_begins_anew_is_not_believed() -> None:
    anew = samples("A", TIMES, power_w=100.0, energy_j=lambda t: 5000 + 100 * t if t < 20 else 100 * t - 1000)
    load_window = window(10, 30, anew)
    assert energy_columns(load_window, ["A"], None)["energy_j"] == pytest.approx(2000), "by the power"
    assert energy_warnings(load_window, ["A"]) == [RowWarning.ENERGY_FROM_POWER]


def test_gpus_are_summed_and_one_unknown_makes_all_unknown() -> None:
    other = samples("B", TIMES, power_w=50.0, energy_j=lambda t: 50 * t)
    assert energy_columns(window(10, 30, STEADY, other), ["A", "B"], None)["energy_j"] == pytest.approx(3000)
    assert energy_columns(window(10, 30, STEADY), ["A", "B"], None)["energy_j"] is None
    assert energy_columns(window(10, 30, STEADY), [], None) == {}


def test_without_a_counter_power_is_integrated() -> None:
    ramp = samples("A", TIMES, power_w=lambda t: 10 * t, energy_j=None)
    load_window = window(10.25, 30, ramp)
    assert energy_columns(load_window, ["A"], None)["energy_j"] == pytest.approx(5 * (30**2 - 10.25**2))
    assert energy_warnings(load_window, ["A"]) == [RowWarning.ENERGY_FROM_POWER]


@pytest.mark.parametrize(
    ("start_s", "end_s", "frame", "warnings"),
    [
        (10, 30, STEADY, []),
        (10, 15, STEADY, [RowWarning.ENERGY_WINDOW_SHORT]),
        (30, 60, STEADY, [RowWarning.ENERGY_SAMPLES_MISSING]),
        (10, 30, STEADY[(STEADY["t_s"] < 15) | (STEADY["t_s"] > 25)], [RowWarning.ENERGY_SAMPLES_MISSING]),
        (10, 30, STEADY[STEADY["t_s"] < 5], [RowWarning.ENERGY_SAMPLES_MISSING]),
        (10, 30, STEADY.assign(power_w=150.0), [RowWarning.ENERGY_DIFFERS]),
        (10, 30, STEADY.assign(power_w=None, energy_j=None).astype({"power_w": float, "energy_j": float}), [RowWarning.ENERGY_SAMPLES_MISSING]),
    ],
)  # fmt: skip
def test_what_the_samples_do_not_carry_is_said(
    start_s: float, end_s: float, frame: pd.DataFrame, warnings: list[RowWarning]
) -> None:
    assert energy_warnings(window(start_s, end_s, frame), ["A"]) == warnings
    assert energy_warnings(window(start_s, end_s, frame), []) == []


def test_idle_power_is_the_median_before_the_launch() -> None:
    before = samples("A", [0, 1, 2, 3], power_w=lambda t: [20, 20, 80, 24][int(t)])
    after = samples("A", [4, 5, 6], power_w=300.0)
    both = by_device(pd.concat([before, after]))
    assert idle_power_w(both, ["A"], 3.5) == 22
    assert idle_power_w(both, ["A"], 1.5) is None, "two samples are too few"
    assert idle_power_w(both, ["A", "B"], 3.5) is None
    assert idle_power_w(both, ["A"], None) is None and idle_power_w(both, [], 3.5) is None


def stepping(
    busy: tuple[float, float], idle_w: float, busy_w: float, interval_s: float, shift_s: float
) -> pd.DataFrame:
    """A GPU that draws `busy_w` over the load and `idle_w` before and after it; counter and power are what they truly were."""
    times = [shift_s + interval_s * n for n in range(round(40 / interval_s))]

    def drawn_j(t: float) -> float:
        return idle_w * t + (busy_w - idle_w) * (min(max(t, busy[0]), busy[1]) - busy[0])

    return samples("A", times, power_w=lambda t: busy_w if busy[0] <= t <= busy[1] else idle_w, energy_j=drawn_j)


@pytest.mark.parametrize("idle_w", [30.0, 300.0])
@pytest.mark.parametrize("shift_s", [0.0, 0.1, 0.25, 0.49])
@pytest.mark.parametrize("seconds", [0.3, 1.0, 1.7, 3.0, 30.0])
def test_a_short_load_reads_what_it_drew(idle_w: float, shift_s: float, seconds: float) -> None:
    start_s = 5.2
    frame = stepping((start_s, start_s + seconds), idle_w, 300.0, 0.5, shift_s)
    load_window = window(start_s, start_s + seconds, frame)
    assert energy_columns(load_window, ["A"], None)["energy_j"] == pytest.approx(300 * seconds)
    without = window(start_s, start_s + seconds, frame.assign(energy_j=float("nan")))
    by_power = energy_columns(without, ["A"], None)["energy_j"]
    assert by_power == pytest.approx(300 * seconds) if seconds >= 1 else by_power is None, "too few samples inside"


def test_the_energy_of_a_short_load_is_no_evidence() -> None:
    short = join_warnings(energy_warnings(window(10, 11, STEADY), ["A"]))
    for metric in ("energy_j", "j_per_output_token", "j_per_output_token_above_idle"):
        assert disqualifying_warning(short, metric) == RowWarning.ENERGY_WINDOW_SHORT
    assert disqualifying_warning(short, "time_s") is None
