"""Telemetry cut to a load's window."""

import json
import math
from pathlib import Path

import pyarrow as pa
import pytest

from servegrid.engines.base import Metrics
from servegrid.metrics.telemetry import GIB, Samples, Window, hardware_columns, server_columns, startup_s
from servegrid.records.schema import SERVER_METRICS, TELEMETRY, write_table


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
    columns = hardware_columns(Samples.read(launch).window(4.5, 8.25), ["GPU-1"])
    assert columns["power_w_mean"] == pytest.approx(100.0)
    assert columns["vram_used_gib"] == pytest.approx(8.0)
    assert columns["vram_total_gib"] is None
    assert columns["gpu_util_mean"] is None
    assert columns["server_cpu_percent_mean"] == pytest.approx(65.0)


def test_one_silent_gpu_makes_the_sum_unknown(launch: Path) -> None:
    columns = hardware_columns(Samples.read(launch).window(4.5, 8.0), ["GPU-1", "GPU-2"])
    assert columns["power_w_mean"] is None and columns["vram_used_gib"] is None


def test_server_metrics(launch: Path) -> None:
    columns = server_columns(Samples.read(launch).window(4.0, 7.0), Metrics(running="running", waiting="absent"))
    unknown = dict.fromkeys(("waiting_max", "kv_cache_max", "kv_cache_tokens", "acceptance_rate", "acceptance_length"))
    assert columns == {"running_mean": 1.5} | unknown


def test_a_gauge_or_counter_that_is_no_number_is_unknown_and_not_none(tmp_path: Path) -> None:
    names = ("running", "drafted", "accepted")
    rows = [{"t_s": float(t), "name": name, "labels": "{}", "value": math.nan} for t in range(9) for name in names]
    write_table(tmp_path / "server_metrics.parquet", pa.Table.from_pylist(rows, schema=SERVER_METRICS))
    metrics = Metrics(running="running", drafted_tokens="drafted", accepted_tokens="accepted")
    columns = server_columns(Samples.read(tmp_path).window(2.0, 7.0), metrics)
    assert columns["running_mean"] is None and columns["acceptance_rate"] is None


COUNTERS = Metrics(drafted_tokens="drafted", accepted_tokens="accepted", drafts="drafts")


def acceptance(
    folder: Path, counts: dict[str, list[float]], names: Metrics = COUNTERS, column: str = "acceptance_rate"
) -> float | None:
    """Of a window from 2 to 4 s; one sample a second, each split over two labels."""
    rows = [
        {"t_s": float(t), "name": name, "labels": label, "value": value / 2}
        for name, values in counts.items()
        for t, value in enumerate(values)
        for label in ("{}", '{"pid":"7"}')
    ]
    write_table(folder / "server_metrics.parquet", pa.Table.from_pylist(rows, schema=SERVER_METRICS))
    return server_columns(Samples.read(folder).window(2.0, 4.0), names)[column]


def test_acceptance_is_what_the_counters_went_within_the_load(tmp_path: Path) -> None:
    assert acceptance(tmp_path, {"drafted": [0, 90, 100, 110, 120, 500], "accepted": [0, 0, 0, 1, 5, 400]}) == 0.25
    assert acceptance(tmp_path, {"drafted": [0, 5, 100, 110, 120], "accepted": [3, 3, 3, 3, 3]}) == 0.0
    shorter = {"drafted": [0, 10, 20, 30], "accepted": [0, 1, 2, 3]}
    assert acceptance(tmp_path, shorter) == 0.1, "the last samples of a server come before the end of its last load"


def test_acceptance_is_unknown_where_nothing_was_drafted_or_seen(tmp_path: Path) -> None:
    assert acceptance(tmp_path, {"drafted": [7] * 6, "accepted": [3] * 6}) is None
    assert acceptance(tmp_path, {"drafted": [0, 10, 20], "accepted": [0, 1, 2]}) is None  # ends before the load
    assert acceptance(tmp_path, {"drafted": [0, 10, 20, 30, 40]}) is None


def test_acceptance_of_a_server_with_a_rate_alone(tmp_path: Path) -> None:
    assert acceptance(tmp_path, {"rate": [0.9, 0.9, 0.4, 0.5, 0.6]}, Metrics(acceptance_rate="rate")) == 0.5


def test_acceptance_length_counts_the_token_that_every_step_yields(tmp_path: Path) -> None:
    counts = {"drafts": [0, 0, 10, 12, 14], "accepted": [0, 0, 5, 9, 13]}
    assert acceptance(tmp_path, counts, column="acceptance_length") == 3.0
    assert acceptance(tmp_path, counts | {"drafts": [4] * 5}, column="acceptance_length") is None
    names = Metrics(acceptance_length="step_tokens")
    assert acceptance(tmp_path, {"step_tokens": [1, 1, 2, 3, 4]}, names, "acceptance_length") == 3.0


def test_no_telemetry_is_unknown(tmp_path: Path) -> None:
    window = Samples.read(tmp_path).window(0, 1)
    assert hardware_columns(window, ["GPU-1"]) == {}
    assert server_columns(window, Metrics(running="running"))["running_mean"] is None


def test_start_up() -> None:
    assert startup_s({"start_up": {"launched_s": 2.0, "ready_s": 3.5}}) == 1.5
    assert startup_s({"start_up": {"launched_s": 2.0, "ready_s": None}}) is None
    assert startup_s({}) is None


def test_room_in_the_cache_from_a_label_or_a_gauge(tmp_path: Path) -> None:
    """vLLM says it in a label of an info series, which each copy has; TGI in a gauge."""
    series = [
        {"t_s": 2.5, "name": "info", "labels": f'{{"copy":"{n}","tokens":"65536"}}', "value": 1.0} for n in (1, 2)
    ]
    series += [{"t_s": 2.5, "name": "room", "labels": "{}", "value": 4096.0}]
    write_table(tmp_path / "server_metrics.parquet", pa.Table.from_pylist(series, schema=SERVER_METRICS))
    window = Samples.read(tmp_path).window(2.0, 4.0)
    assert server_columns(window, Metrics(kv_cache_info=("info", "tokens")))["kv_cache_tokens"] == 131072
    assert server_columns(window, Metrics(kv_cache_tokens="room"))["kv_cache_tokens"] == 4096
    assert server_columns(window, Metrics(kv_cache_info=("info", "other")))["kv_cache_tokens"] is None


def say(folder: Path, *series: tuple[str, str, float]) -> Window:
    """A window of 2 s in which a server said this twice, a second apart."""
    rows = [
        {"t_s": t_s, "name": name, "labels": labels, "value": value}
        for t_s in (2.5, 3.5)
        for name, labels, value in series
    ]
    write_table(folder / "server_metrics.parquet", pa.Table.from_pylist(rows, schema=SERVER_METRICS))
    return Samples.read(folder).window(2.0, 4.0)


def test_a_server_that_says_infinity_says_nothing(tmp_path: Path) -> None:
    names = ("running", "waiting", "kv", "room", "drafts", "accepted")
    window = say(tmp_path, *((name, "{}", math.inf) for name in names))
    gauges = Metrics("running", "waiting", "kv", kv_cache_tokens="room", drafts="drafts", accepted_tokens="accepted")
    assert set(server_columns(window, gauges).values()) == {None}
    ratios = Metrics(acceptance_rate="running", acceptance_length="waiting")
    assert set(server_columns(window, ratios).values()) == {None}


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("4096", 4096.0), ("\u00b2", None), ("9" * 400, None), ("-5", None), ("", None), ("nan", None), ("1e3", None)],
)
def test_a_label_that_is_no_number_says_nothing(tmp_path: Path, text: str, tokens: float | None) -> None:
    window = say(tmp_path, ("info", json.dumps({"tokens": text}), 1.0))
    assert server_columns(window, Metrics(kv_cache_info=("info", "tokens")))["kv_cache_tokens"] == tokens


@pytest.mark.parametrize(
    ("start_s", "end_s", "growth"),
    [
        (2.5, 18.5, 100 * 16.0),  # between the first two and the last two samples
        (2.0, 19.0, 100 * 17.0),  # at the outermost themselves
        (1.9, 18.0, None),
        (3.0, 19.1, None),
    ],
)
def test_a_counter_is_known_where_samples_cover_both_edges(
    tmp_path: Path, start_s: float, end_s: float, growth: float | None
) -> None:
    rows = [sample(t, "GPU-1", energy_j=100.0 * t) for t in (2.0, 3.0, 10.0, 18.0, 19.0)]
    write_table(tmp_path / "telemetry.parquet", pa.Table.from_pylist(rows, schema=TELEMETRY))
    write_table(tmp_path / "server_metrics.parquet", SERVER_METRICS.empty_table())
    known = Samples.read(tmp_path).window(start_s, end_s).device_counter_growth("GPU-1", "energy_j")
    assert math.isnan(known) if growth is None else known == pytest.approx(growth)


def test_samples_at_the_edges_are_inside_and_those_around_are_kept_for_counters(tmp_path: Path) -> None:
    rows = [sample(t / 2, "GPU-1", power_w=float(t)) for t in range(60)]
    write_table(tmp_path / "telemetry.parquet", pa.Table.from_pylist(rows, schema=TELEMETRY))
    write_table(tmp_path / "server_metrics.parquet", SERVER_METRICS.empty_table())
    window = Samples.read(tmp_path).window(10.0, 12.0)
    assert window.device_samples("GPU-1", "GPU-2")["t_s"].tolist() == [10.0, 10.5, 11.0, 11.5, 12.0]
    around = window.known_samples("GPU-1", "power_w")["t_s"]
    assert (around.min(), around.max()) == (5.0, 17.0)
