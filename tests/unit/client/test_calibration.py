"""What the client costs here, measured on the project's server with scheduled sends."""

import platform
from pathlib import Path

import numpy as np
import pytest

from servegrid.client import calibration
from servegrid.client.calibration import Calibration, LoadSizes, calibrate, calibration_file, stamp_lateness_ms
from servegrid.client.kinds import missing_programs
from servegrid.client.shape import KINDS, Kind
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
