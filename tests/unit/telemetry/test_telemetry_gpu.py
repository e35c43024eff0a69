"""GPUs as the sidecar samples them, through nvidia-ml-py and a driver library that the tests compile."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow.parquet as pq
import pytest

from data.nvml.fake_driver import MIB, UUIDS, FakeDriver, compile_driver
from servegrid.telemetry import Telemetry
from servegrid.util.clock import now_s

pytestmark = pytest.mark.slow

GPU_COLUMNS = [
    "memory_bytes",
    "memory_total_bytes",
    "gpu_percent",
    "gpu_memory_percent",
    "power_w",
    "energy_j",
    "sm_clock_mhz",
    "memory_clock_mhz",
    "temperature_c",
    "throttle_reasons",
]
PCIE_COLUMNS = ["pcie_tx_bytes_per_s", "pcie_rx_bytes_per_s"]
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_driver(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def driver(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDriver:
    """The sidecar inherits the environment, so this is its driver."""
    return put_in_place(FakeDriver(library, tmp_path / "state"), monkeypatch)


def put_in_place(driver: FakeDriver, monkeypatch: pytest.MonkeyPatch) -> FakeDriver:
    for name, value in driver.environment.items():
        monkeypatch.setenv(name, value)
    return driver


def sample(
    folder: Path, gpus: Sequence[str] = UUIDS, during: Callable[[], object] = lambda: None
) -> tuple[dict[str, Rows], Telemetry]:
    """Rows by device of a session in which `during` ran after the first sample."""
    with Telemetry(folder, gpus=gpus, interval_s=0.1) as telemetry:
        during()
    assert telemetry.error is None
    by_device: dict[str, Rows] = {}
    for row in pq.read_table(folder / "telemetry.parquet").to_pylist():
        by_device.setdefault(row["device"], []).append(row)
    return by_device, telemetry


def test_every_field_in_its_unit(driver: FakeDriver, tmp_path: Path) -> None:
    driver.set("0 power_mw 250000", "0 gpu_percent 90", "0 throttle 4", f"0 memory_used {5 * MIB}")
    rows, telemetry = sample(tmp_path / "session", [UUIDS[0]], lambda: time.sleep(1.0))
    first, *_ = sampled = rows[UUIDS[0]]
    assert {column: first[column] for column in GPU_COLUMNS if column != "energy_j"} == {
        "memory_bytes": 5 * MIB,
        "memory_total_bytes": 81920 * MIB,
        "gpu_percent": 90.0,
        "gpu_memory_percent": 45.0,
        "power_w": 250.0,
        "sm_clock_mhz": 1410.0,
        "memory_clock_mhz": 1215.0,
        "temperature_c": 41.0,
        "throttle_reasons": 4,
    }
    # The driver's counter is power times time on the same clock: each was read between this sample and the next.
    read_s = [row["energy_j"] / 250 for row in sampled]
    assert all(row["t_s"] < at_s + 1e-4 for row, at_s in zip(sampled, read_s, strict=True))
    assert all(at_s < row["t_s"] for row, at_s in zip(sampled[1:], read_s[:-1], strict=True)) and read_s[-1] < now_s()
    assert {row["error"] for row in rows[UUIDS[0]]} == {None}
    assert {first[column] for column in ("cpu_percent", "processes")} == {None}
    assert telemetry.notes == []


def test_what_a_gpu_does_not_offer_is_null_and_no_error(driver: FakeDriver, tmp_path: Path) -> None:
    driver.set("1 power_mw 70000", f"1 memory_used {100 * MIB}", f"1 memory_reserved {500 * MIB}")
    rows, telemetry = sample(tmp_path / "session", [UUIDS[1]], lambda: time.sleep(0.5))
    for row in rows[UUIDS[1]]:
        assert {row[column] for column in ["energy_j", *PCIE_COLUMNS]} == {None}
        assert row["power_w"] == 70.0
        assert row["memory_bytes"] == 600 * MIB, "a driver that cannot split it counts its own share as used"
        assert row["error"] is None
    assert telemetry.notes == []


def test_changes_are_seen_as_they_happen(driver: FakeDriver, tmp_path: Path) -> None:
    driver.set("0 gpu_percent 0", f"0 memory_used {10 * MIB}")
    rows, _ = sample(
        tmp_path / "session", [UUIDS[0]], lambda: driver.set("0 gpu_percent 100", f"0 memory_used {2000 * MIB}")
    )
    assert (rows[UUIDS[0]][0]["memory_bytes"], rows[UUIDS[0]][-1]["memory_bytes"]) == (10 * MIB, 2000 * MIB)
    assert (rows[UUIDS[0]][0]["gpu_percent"], rows[UUIDS[0]][-1]["gpu_percent"]) == (0.0, 100.0)


def test_a_gpu_that_is_lost_for_a_while_leaves_holes_with_a_reason_and_the_others_go_on(
    driver: FakeDriver, tmp_path: Path
) -> None:
    def lose_and_find() -> None:
        driver.set("2 error 15")
        time.sleep(3.0)
        driver.set()

    rows, _ = sample(tmp_path / "session", UUIDS, lose_and_find)
    lost = [row for row in rows[UUIDS[2]] if row["error"] is not None]
    assert lost and all("GPU is lost" in row["error"] for row in lost)
    assert all(row[column] is None for row in lost[1:] for column in GPU_COLUMNS)
    assert rows[UUIDS[2]][0]["error"] is None
    assert rows[UUIDS[2]][-1]["power_w"] == 60.0, "sampled again once it answers"
    assert {row["error"] for other in UUIDS[:2] for row in rows[other]} == {None}
    assert len(rows[UUIDS[0]]) >= 3


def test_a_gpu_lost_in_the_middle_of_a_sample_keeps_what_was_read(driver: FakeDriver, tmp_path: Path) -> None:
    driver.set("1 error_after 4")  # handle, PCIe figures, handle, utilisation; then lost
    rows, _ = sample(tmp_path / "session", [UUIDS[1]])
    assert all("GPU is lost" in row["error"] for row in rows[UUIDS[1]])
    assert {row["power_w"] for row in rows[UUIDS[1]]} == {None}


def test_an_error_of_one_field_costs_that_field(driver: FakeDriver, tmp_path: Path) -> None:
    driver.set("0 energy_error 999")
    rows, _ = sample(tmp_path / "session", [UUIDS[0]])
    assert {row["error"] for row in rows[UUIDS[0]]} == {"energy: Unknown Error"}
    assert {row["energy_j"] for row in rows[UUIDS[0]]} == {None}
    assert {row["temperature_c"] for row in rows[UUIDS[0]]} == {41.0}


def test_pcie_counters_that_wrap_several_times_a_second_give_the_true_rate(driver: FakeDriver, tmp_path: Path) -> None:
    driver.set("0 pcie_tx_per_s 12000000000", "0 pcie_rx_per_s 300000000")
    rows, _ = sample(tmp_path / "session", [UUIDS[0]], lambda: time.sleep(2.0))
    sent, received = ([row[column] for row in rows[UUIDS[0]] if row[column] is not None] for column in PCIE_COLUMNS)
    assert median(sent) == pytest.approx(12e9, rel=0.15)
    assert median(received) == pytest.approx(0.3e9, rel=0.15)


def test_a_gpu_without_pcie_counters_is_asked_for_its_throughput_at_a_slower_pace(
    driver: FakeDriver, tmp_path: Path
) -> None:
    driver.set("0 no_counters 1", "0 pcie_tx_per_s 7000000", "0 pcie_rx_per_s 9000000")
    rows, _ = sample(tmp_path / "session", [UUIDS[0]], lambda: time.sleep(1.5))
    pairs = [tuple(row[column] for column in PCIE_COLUMNS) for row in rows[UUIDS[0]]]
    assert set(pairs) == {(7e6, 9e6), (None, None)}
    assert {row["power_w"] for row in rows[UUIDS[0]]} == {60.0}


def test_an_old_driver_is_asked_in_its_own_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_in_place(FakeDriver(compile_driver(tmp_path, "-DOLD_DRIVER"), tmp_path / "state"), monkeypatch).set(
        "0 throttle 8", f"0 memory_used {100 * MIB}", f"0 memory_reserved {500 * MIB}"
    )
    rows, _ = sample(tmp_path / "session", [UUIDS[0]])
    for row in rows[UUIDS[0]]:
        assert (row["throttle_reasons"], row["temperature_c"], row["memory_bytes"]) == (8, 41.0, 600 * MIB)
        assert row["error"] is None


def test_a_uuid_that_is_not_there_is_rows_with_a_reason(driver: FakeDriver, tmp_path: Path) -> None:
    rows, _ = sample(tmp_path / "session", ["GPU-nobody", UUIDS[0]])
    assert {row["error"] for row in rows["GPU-nobody"]} == {"Not Found"}
    assert {row["error"] for row in rows[UUIDS[0]]} == {None}


def test_a_driver_call_that_hangs_keeps_neither_the_other_samples_nor_the_end(
    driver: FakeDriver, tmp_path: Path
) -> None:
    def hang() -> None:
        driver.set("0 hang_s 120")
        time.sleep(1.0)

    rows, telemetry = sample(tmp_path / "session", UUIDS[:2], hang)
    assert len(rows[UUIDS[1]]) > len(rows[UUIDS[0]])
    assert telemetry.notes == [f"GPU {UUIDS[0]}: did not answer at the end"]


def test_a_driver_that_does_not_work_is_a_note_and_no_rows(driver: FakeDriver, tmp_path: Path) -> None:
    driver.set("* init 9")
    rows, telemetry = sample(tmp_path / "session", UUIDS)
    assert set(rows) == {"host"}
    assert telemetry.notes == [
        "GPUs are not sampled: the NVIDIA driver is installed but its kernel module is not loaded"
    ]
