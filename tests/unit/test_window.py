"""Telemetry cut to a load's window."""

from pathlib import Path

import pyarrow as pa
import pytest

from servegrid.engines.base import Metrics
from servegrid.records import SERVER_METRICS, TELEMETRY, write_table
from servegrid.window import GIB, Window, hardware_columns, server_columns, startup_s


def sample(t_s: float, device: str, **values: float) -> dict[str, object]:
    return dict.fromkeys(TELEMETRY.names) | {"t_s": t_s, "device": device} | values


@pytest.fixture
def launch(tmp_path: Path) -> Path:
    rows = [sample(t, "GPU-1", power_w=100.0, energy_j=100.0 * t, memory_bytes=t * GIB) for t in range(20)]
    rows += [sample(t, "server", cpu_percent=10.0 * t, memory_bytes=GIB) for t in range(20)]
    write_table(tmp_path / "telemetry.parquet", pa.Table.from_pylist(rows, schema=TELEMETRY))
    series = [{"t_s": float(t), "name": "running", "labels": "{}", "value": float(t % 4)} for t in range(20)]
    write_table(tmp_path / "server_metrics.parquet", pa.Table.from_pylist(series, schema=SERVER_METRICS))
    return tmp_path


def test_hardware(launch: Path) -> None:
    columns = hardware_columns(Window.of(launch, 4.5, 8.25), ["GPU-1"])
    assert columns["energy_j"] == pytest.approx(375.0), "the counter is interpolated at both edges"
    assert columns["power_w_mean"] == pytest.approx(100.0)
    assert columns["vram_used_gib"] == pytest.approx(8.0)
    assert columns["vram_total_gib"] is None
    assert columns["gpu_util_mean"] is None
    assert columns["server_cpu_percent_mean"] == pytest.approx(65.0)


def test_energy_is_unknown_when_the_samples_end_early(launch: Path) -> None:
    assert hardware_columns(Window.of(launch, 15.0, 21.0), ["GPU-1"])["energy_j"] is None


def test_one_silent_gpu_makes_the_sum_unknown(launch: Path) -> None:
    columns = hardware_columns(Window.of(launch, 4.5, 8.0), ["GPU-1", "GPU-2"])
    assert columns["energy_j"] is None and columns["power_w_mean"] is None and columns["vram_used_gib"] is None


def test_server_metrics(launch: Path) -> None:
    columns = server_columns(Window.of(launch, 4.0, 7.0), Metrics(running="running", waiting="absent"))
    unknown = {"waiting_max": None, "kv_cache_max": None, "acceptance_rate": None}
    assert columns == {"running_mean": 1.5} | unknown


@pytest.mark.parametrize(
    ("start_s", "end_s", "rate"),
    [(3.5, 5.5, (15 - 3) / (24 - 12)), (-1.0, 30.0, 28 / 32), (8.5, 30.0, None), (20.0, 21.0, None)],
    ids=["samples outside", "all inside", "nothing drafted", "no samples"],
)
def test_acceptance_is_counted_between_the_samples_around(
    tmp_path: Path, start_s: float, end_s: float, rate: float | None
) -> None:
    """Two series of each: 4 drafted a second, and 0, 1, 2, … of them accepted; nothing after the eighth second."""
    of = {"drafted": lambda t: 4.0 * t, "accepted": lambda t: t * (t - 1) / 2}
    rows = [
        {"t_s": float(t), "name": name, "labels": f'{{"engine":"{number}"}}', "value": value(min(t, 8)) / 2}
        for t in range(10)
        for name, value in of.items()
        for number in range(2)
    ]
    # 8 seconds: 32 drafted, 28 accepted
    write_table(tmp_path / "server_metrics.parquet", pa.Table.from_pylist(rows, schema=SERVER_METRICS))
    names = Metrics(drafted_tokens="drafted", accepted_tokens="accepted")
    found = server_columns(Window.of(tmp_path, start_s, end_s), names)["acceptance_rate"]
    assert found == (None if rate is None else pytest.approx(rate))


def test_no_telemetry_is_unknown(tmp_path: Path) -> None:
    window = Window.of(tmp_path, 0, 1)
    assert hardware_columns(window, ["GPU-1"]) == {}
    assert server_columns(window, Metrics(running="running"))["running_mean"] is None


def test_start_up() -> None:
    assert startup_s({"start_up": {"launched_s": 2.0, "ready_s": 3.5}}) == 1.5
    assert startup_s({"start_up": {"launched_s": 2.0, "ready_s": None}}) is None
    assert startup_s({}) is None
