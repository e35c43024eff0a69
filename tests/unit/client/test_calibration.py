"""What the client costs here, measured on the project's server with scheduled sends."""

import platform
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from servegrid.client import calibration
from servegrid.client.calibration import Calibration, LoadSizes, calibrate, calibration_file, stamp_lateness_ms
from servegrid.client.kinds import missing_programs
from servegrid.client.run import LoadResult
from servegrid.client.shape import KINDS, Kind
from servegrid.records.request import RequestRecord
from servegrid.util.identity import readable_name

pytestmark = pytest.mark.slow

SMALL = LoadSizes(8, 16, 8, 4)


def test_a_loads_share_of_the_ceiling() -> None:
    calibrated = Calibration(
        "stream", "here", request_s=0.001, chunk_s=0.0001, stamp_late_ms_p50=0, stamp_late_ms_p99=0
    )
    assert calibrated.ceiling_share(requests=100, chunks=1000, seconds=2.0) == pytest.approx(0.1)
    assert calibrated.ceiling_share(requests=100, chunks=1000, seconds=2.0, workers=2) == pytest.approx(0.05)
    assert calibrated.requests_per_s == pytest.approx(1 / 0.0011)
    assert calibrated.chunks_per_s == pytest.approx(128 / (0.001 + 0.0128))


def test_it_is_kept_by_host_kind_and_version(tmp_path: Path) -> None:
    assert (
        calibration_file("requests")
        == f"calibration/{readable_name(platform.node())}-requests-{calibration.VERSION}.json"
    )
    calibrated = Calibration("stream", "here", 0.001, 0.0001, 0.1, 0.2)
    (tmp_path / "c.json").write_text(calibrated.as_json())
    assert Calibration.read(tmp_path / "c.json") == calibrated


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_measured(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind == "parallel" and (reason := missing_programs()):
        pytest.skip(reason)
    monkeypatch.setattr(calibration, "SIZES", dict.fromkeys(KINDS, SMALL))
    calibrated = calibrate(kind)
    assert calibrated.kind == kind and calibrated.request_s >= 0 and calibrated.chunk_s >= 0
    assert 0 <= calibrated.stamp_late_ms_p50 <= calibrated.stamp_late_ms_p99 < 60_000, "one clock"


@pytest.mark.parametrize("kind", ["stream", "requests"])
def test_no_stamp_is_before_its_send(kind: Kind) -> None:
    late = stamp_lateness_ms(kind, SMALL)
    assert len(late) == SMALL.paced * calibration.PACED_CHUNKS
    assert np.all(late > -0.05), "the clocks of kernel and process agree within 50 microseconds"


def planted_load(request_s: float, chunk_s: float, late_ms: float) -> Any:
    """In the place of a real load: what it would have cost, and stamps that are late by 1, 2, 3 ... times `late_ms`."""

    def run_load(
        kind: Kind, requests: int, chunks: int, gap_ms: float, threads: int
    ) -> tuple[LoadResult, dict[str, Any]]:
        records, sent = [], {}
        for number in range(requests):
            sent[f"r{number}"] = [10.0 + gap_ms / 1e3 * place for place in range(chunks)]
            late_s = [late_ms / 1e3 * (place + 1) for place in range(chunks)]
            offsets = [instant + late - 9.5 for instant, late in zip(sent[f"r{number}"], late_s, strict=True)]
            records.append(RequestRecord(f"r{number}", "p", chunks, "ok", sent_s=9.5, chunk_offsets_s=offsets))
        cost = requests * (request_s + chunks * chunk_s)
        return LoadResult(
            records, start_s=100.0, end_s=100.0 + cost, client_cpu_s=cost if kind != "parallel" else 0.0
        ), sent

    return run_load


@pytest.mark.parametrize("kind", KINDS)
def test_planted_costs_are_solved_back(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "_run_load", planted_load(0.002, 0.0003, late_ms=0.01))
    calibrated = calibrate(kind)
    assert (calibrated.request_s, calibrated.chunk_s) == (pytest.approx(0.002), pytest.approx(0.0003))
    assert calibrated.stamp_late_ms_p50 == pytest.approx(0.255) and calibrated.stamp_late_ms_p99 == pytest.approx(
        0.5, abs=0.01
    )
    assert (calibrated.kind, calibrated.host) == (kind, platform.node())


@pytest.mark.parametrize(("request_s", "chunk_s"), [(-1e-4, 1e-3), (1e-3, -1e-6)])
def test_a_cost_that_noise_makes_negative_is_none(
    request_s: float, chunk_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "_run_load", planted_load(request_s, chunk_s, 0.01))
    calibrated = calibrate("stream")
    assert calibrated.request_s == pytest.approx(max(request_s, 0)) and calibrated.chunk_s == pytest.approx(
        max(chunk_s, 0)
    )


def test_what_is_no_calibration_is_none(tmp_path: Path) -> None:
    assert Calibration.read_or_none(tmp_path / "c.json") is None
    for text in ("{", "[]", '{"kind": "stream"}'):
        (tmp_path / "c.json").write_text(text)
        assert Calibration.read_or_none(tmp_path / "c.json") is None
