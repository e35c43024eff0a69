"""rbln-smi as lablup/all-smi reads it (src/device/readers/rebellions.rs, commit b92ea0a0); a script on PATH stands in for it."""

import copy
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from servegrid.config import Device
from servegrid.host import devices
from servegrid.telemetry import Telemetry, npu, rbln_smi
from standins.rbln_smi import ANSWER, CONTEXT

pytestmark = pytest.mark.slow


def changed(**fields: Any) -> dict[str, Any]:
    answer = copy.deepcopy(ANSWER)
    answer["devices"][0] |= fields
    return answer


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the stand-in answers; it is there, and the only program on PATH but for the system's."""
    report_file = tmp_path / "said.json"
    report_file.write_text(json.dumps(ANSWER))
    program = tmp_path / "rbln-smi"
    program.write_text(f'#!/bin/sh\n[ "$1" = --json ] && exec cat {report_file}\nexit 2\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return report_file


@pytest.mark.parametrize("number", ["0", 0])  # SDK 1 and 2
def test_an_answer_is_read(number: str | int) -> None:
    [npu] = rbln_smi.parse_report(changed(npu=number)).npus
    assert (npu.number, npu.name, npu.model) == (0, "rbln0", "RBLN-CA22")
    assert (npu.utilisation_percent, npu.temperature_c, npu.card_power_w) == (98.7, 38.0, 43.9)
    assert (npu.memory_bytes, npu.memory_total_bytes, npu.pstate) == (2**30, 2**34, "P2")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("3", 3 * 2**20),
        ("3 MB", 3 * 2**20),
        ("3MiB", 3 * 2**20),
        ("1.5 GB", 3 * 2**29),
        ("1.5gib", 3 * 2**29),
        ("3 TB", None),
    ],
)
def test_sizes_have_units(text: str, size: int | None) -> None:
    [npu] = rbln_smi.parse_report(changed(memory={"used": text, "total": text})).npus
    assert npu.memory_bytes == npu.memory_total_bytes == size


@pytest.mark.parametrize("text", ["N/A", "", "-", None, "12 parsecs"])
def test_what_is_no_number_is_unknown(text: str | None) -> None:
    [npu] = rbln_smi.parse_report(changed(card_power=text, util=text, memory={"used": text, "total": "1MB"})).npus
    assert npu.memory_bytes is None and npu.memory_total_bytes == 2**20
    assert text == "12 parsecs" or (npu.card_power_w, npu.utilisation_percent) == (None, None)


def test_without_the_program_the_device_is_absent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert devices.why_absent(Device(kind="npu")) == "no RBLN driver on this host: rbln-smi was not found"


def test_npus_are_found_by_number(smi: Path) -> None:
    assert devices.gpu_uuids(Device(kind="npu", ids=[0])) == ["rbln0"]
    assert devices.why_absent(Device(kind="npu", ids=[0, 3])) == "no NPU 3 here (there is: 0)"
    assert devices.describe_gpus(["rbln0"])[0]["driver_version"] == "1.3.73"
    assert devices.memory_used(["rbln0"]) == {}


def test_an_npu_in_use_is_refused(smi: Path) -> None:
    assert devices.why_busy(["rbln0"]) is None
    smi.write_text(json.dumps(ANSWER | {"contexts": [CONTEXT]}))
    assert devices.why_busy(["rbln0"]) == "NPU 0 is in use by /usr/bin/python serve.py (pid 4242)"


def test_nonsense_is_an_absence_in_words(smi: Path) -> None:
    smi.write_text("no JSON")
    assert "rbln-smi --json said something unknown" in str(devices.why_absent(Device(kind="npu")))


def test_power_is_integrated(smi: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sampler, clock = npu.NpuSampler(["rbln0", "rbln7"]), iter([10.0, 12.0, 13.0, 15.0])
    monkeypatch.setattr(npu, "now_s", lambda: next(clock))
    rows = []
    for power in ("40W", "60W", "N/A", "60W"):
        smi.write_text(json.dumps(changed(card_power=power, pstate="P10" if power == "60W" else "P2")))
        rows.append(sampler.sample())
    assert [row[0]["energy_j"] for row in rows] == [0.0, 100.0, None, 280.0]
    assert [row[0]["throttle_reasons"] for row in rows] == [0, npu.HW_THERMAL, 0, npu.HW_THERMAL]
    assert rows[0][1]["error"] == "rbln-smi names no rbln7"


def test_the_sidecar_samples_npus(smi: Path, tmp_path: Path) -> None:
    with Telemetry(tmp_path, ["rbln0"], interval_s=0.05) as telemetry:
        pass
    assert telemetry.error is None
    rows = [row for row in pq.read_table(tmp_path / "telemetry.parquet").to_pylist() if row["device"] == "rbln0"]
    assert rows and {(row["power_w"], row["pstate"], row["gpu_percent"]) for row in rows} == {(43.9, "P2", 98.7)}
