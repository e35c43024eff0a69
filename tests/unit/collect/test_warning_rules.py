"""Warnings at their thresholds, over loads that hold no more than the rules look at."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from servegrid.collect import warning_rules
from servegrid.collect.warning_rules import is_cold_start, is_host_shared, latency_drifts, throttle_warnings
from servegrid.metrics.request_metrics import Requests
from servegrid.records.schema import RequestRecord, requests_table
from servegrid.results.warnings import RowWarning

HEAT, POWER, BRAKE, IDLE = 0x20, 0x4, 0x80, 0x1
"""nvml.h: nvmlClocksEventReasonSwThermalSlowdown, SwPowerCap, HwPowerBrakeSlowdown, GpuIdle."""


def throttled(**counts: int) -> pd.DataFrame:
    """100 samples of each GPU, so many of them with the first reason and all with idleness beside it."""
    rows = [
        {"device": device, "throttle_reasons": float(IDLE | (reasons if place < count else 0))}
        for device, (reasons, count) in {
            "a": (HEAT, counts.get("a", 0)),
            "b": (POWER | BRAKE, counts.get("b", 0)),
        }.items()
        for place in range(100)
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("counts", "warnings"),
    [
        ({"a": 4, "b": 4}, []),
        ({"a": 5}, [RowWarning.THROTTLED_BY_HEAT]),
        ({"b": 5}, [RowWarning.SLOWED_BY_HARDWARE, RowWarning.POWER_CAPPED]),
    ],
)
def test_a_twentieth_of_a_gpu_s_samples_is_throttled(counts: dict[str, int], warnings: list[RowWarning]) -> None:
    assert throttle_warnings(throttled(**counts), ["a", "b"]) == warnings
    assert throttle_warnings(throttled(**counts), []) == [] == throttle_warnings(pd.DataFrame(), ["a"])


def test_samples_without_reasons_are_not_counted() -> None:
    """Four of 80 samples that say something are a twentieth; unknown is not `no`."""
    samples = throttled(a=4).assign(
        throttle_reasons=lambda rows: rows["throttle_reasons"].where(np.arange(200) % 100 < 80)
    )
    assert throttle_warnings(samples, ["a", "b"]) == [RowWarning.THROTTLED_BY_HEAT]


def load(host_percent: Any, server_percent: Any = 100.0, **changes: Any) -> Any:
    """A load of 10 s on 8 processors, of which the client used one and the server `server_percent` / 100."""
    frames = {
        "host": pd.DataFrame({"cpu_percent": [None, host_percent]}),
        "server": pd.DataFrame({"cpu_percent": [None, server_percent]}),
    }
    frames = {
        name: frame.astype(float) if changes.get("has", name) == name else frame[:0] for name, frame in frames.items()
    }
    window = SimpleNamespace(device_samples=lambda name: frames[name])
    record = {"start_s": 5.0, "end_s": changes.get("end_s", 15.0), "client_cpu_s": 10.0}
    return SimpleNamespace(window=window, session={"host": {"logical_cpus": changes.get("cpus", 8)}}, load=record)


def test_others_that_use_a_tenth_of_the_processors_share_the_host() -> None:
    assert is_host_shared(load(100 + 100 + 80)) and not is_host_shared(load(100 + 100 + 79))
    assert not is_host_shared(load(280, cpus=9)) and not is_host_shared(load(280, cpus=None))
    assert not is_host_shared(load(280, has="host")) and not is_host_shared(load(280, has="server"))
    assert not is_host_shared(load(280, end_s=5.0)) and not is_host_shared(load(float("nan")))


def sessions(*times_s: float | None, first: bool = True) -> list[Any]:
    """Loads of sessions launched one after the other, listed from the last."""
    return [
        SimpleNamespace(time_s=time, first_of_launch=first, launch={"anchor": {"unix_s": 1e9 + place}})
        for place, time in enumerate(times_s)
    ][::-1]


@pytest.mark.parametrize(
    ("times_s", "cold"),
    [
        ((12.1, 10.0, 10.0), True),
        ((12.0, 10.0, 10.0), False),  # no more than a fifth
        ((13.1, 10.0, 9.0), True),
        ((13.0, 10.0, 9.0), False),  # no more than three times their range
        ((10.0, 20.0, 10.0), False),  # not the first
        ((20.0,), False),
        ((None, 10.0), False),
        ((20.0, None, 10.0), True),
    ],
)
def test_a_cold_start_takes_longer_than_the_others_by_far(times_s: tuple[float | None, ...], cold: bool) -> None:
    assert is_cold_start(sessions(*times_s)) is cold
    assert not is_cold_start(sessions(*times_s, first=False))


def test_drift_is_looked_for_among_what_lies_within_the_steady_state() -> None:
    def requests(growth: float) -> Requests:
        records, sent = [], 0.0
        for number in range(400):
            took = 1 + growth * number / 400
            records.append(RequestRecord(f"r{number}", "p", 8, "ok", thread=number % 4, sent_s=sent, end_s=sent + took))
            sent += took / 4
        return Requests(requests_table(records))

    assert latency_drifts(requests(0.5)) and not latency_drifts(requests(0.0))
    together = [RequestRecord(f"r{n}", "p", 8, "ok", sent_s=0.0, end_s=1.0 + n) for n in range(9)]
    assert not latency_drifts(Requests(requests_table(together))), "there is no steady state"


def test_what_a_load_shows_is_said_of_its_point(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("throttle_warnings", "energy_warnings"):
        monkeypatch.setattr(warning_rules, name, lambda *_: [])
    monkeypatch.setattr(warning_rules, "latency_drifts", lambda requests: requests == "drifts")
    monkeypatch.setattr(warning_rules, "is_host_shared", lambda load: load.shared)

    def plain(**changes: Any) -> Any:
        calm = {
            "window": SimpleNamespace(device_samples=lambda *_: pd.DataFrame()),
            "gpus": [],
            "requests": "",
            "samples_damaged": False,
            "unasked_hit_rate": None,
            "is_held_back": False,
        }
        return SimpleNamespace(**calm | {"shared": False, "launch": {}} | changes)

    assert warning_rules.load_warnings(plain()) == []
    assert warning_rules.load_warnings(plain(requests="drifts")) == [RowWarning.LATENCY_DRIFTS]
    assert warning_rules.load_warnings(plain(samples_damaged=True)) == [RowWarning.SAMPLES_DAMAGED]
    assert warning_rules.load_warnings(plain(unasked_hit_rate=0.049)) == []
    assert warning_rules.load_warnings(plain(unasked_hit_rate=0.05)) == [RowWarning.PROMPTS_CACHED]
    assert warning_rules.load_warnings(plain(is_held_back=True)) == [RowWarning.HELD_BACK]
    assert warning_rules.load_warnings(plain(shared=True)) == [RowWarning.SHARED_HOST]
    assert warning_rules.load_warnings(plain(launch={"others_on_gpu": [7]})) == [RowWarning.SHARED_GPU]
    monkeypatch.setattr(warning_rules, "are_read_late", lambda loads: "late" in loads)
    monkeypatch.setattr(warning_rules, "is_cold_start", lambda measured: len(measured) == 2)
    assert warning_rules.point_warnings([plain(), plain(shared=True)], True) == [
        RowWarning.SHARED_HOST,
        RowWarning.CLIENT_BOUND,
        RowWarning.COLD_START,
    ]
    assert warning_rules.point_warnings([plain(requests="late")], None) == [RowWarning.READ_LATE]
    assert warning_rules.point_warnings([plain()], None) == [] == warning_rules.point_warnings([plain()], False)
