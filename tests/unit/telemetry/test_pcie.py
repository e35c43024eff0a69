"""PCIe meters over answers of NVML that a test gives: counters that wrap, GPUs that lack one way or the other, links of every generation."""

from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from servegrid.telemetry import pcie
from servegrid.telemetry.pcie import PcieCounters, PcieThroughput, pcie_meter


class Driver:
    """Answers of the driver by the name of NVML's function; None: not supported."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers: dict[str, Any] = {}
        self.now_s = 100.0
        monkeypatch.setattr(pcie, "query_or_none", self.answer)
        monkeypatch.setattr(pcie, "now_s", lambda: self.now_s)
        monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByUUID", lambda uuid: uuid)

    def answer(self, function: Any, handle: str, *arguments: Any) -> Any:
        found = self.answers.get(function.__name__)
        return found(*arguments) if callable(found) else found

    def count(self, sent: int, received: int, status: int = pynvml.NVML_SUCCESS) -> None:
        values = [SimpleNamespace(nvmlReturn=status, value=SimpleNamespace(ullVal=value)) for value in (sent, received)]
        self.answers["nvmlDeviceGetFieldValues"] = values


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    return Driver(monkeypatch)


def test_the_best_way_that_a_gpu_offers(driver: Driver) -> None:
    assert pcie_meter("GPU-1") is None
    driver.answers["nvmlDeviceGetPcieThroughput"] = 0
    assert isinstance(pcie_meter("GPU-1"), PcieThroughput), "nothing sent is an answer too"
    driver.count(1, 2, pynvml.NVML_ERROR_NOT_SUPPORTED)
    assert isinstance(pcie_meter("GPU-1"), PcieThroughput)
    driver.count(1, 2)
    assert isinstance(pcie_meter("GPU-1"), PcieCounters)


@pytest.mark.parametrize(
    ("generation", "width", "bytes_per_s"),
    [
        (1, 1, 0.25e9),
        (2, 4, 2e9),
        (3, 16, 15.76e9),
        (4, 8, 15.76e9),
        (5, 16, 63.04e9),
        (6, 16, 121.12e9),
        (9, 16, 121.12e9),
        (None, None, 121.12e9),
    ],
)
def test_counters_are_read_before_they_can_wrap_twice(
    driver: Driver, generation: int | None, width: int | None, bytes_per_s: float
) -> None:
    driver.answers |= {"nvmlDeviceGetMaxPcieLinkGeneration": generation, "nvmlDeviceGetMaxPcieLinkWidth": width}
    assert PcieCounters("GPU-1").period_s == pytest.approx(0.7 * 2**32 / bytes_per_s)


def test_rates_from_counters(driver: Driver) -> None:
    driver.answers |= {"nvmlDeviceGetMaxPcieLinkGeneration": 1, "nvmlDeviceGetMaxPcieLinkWidth": 1}  # wraps in 17.2 s
    meter = PcieCounters("GPU-1")
    driver.count(2**32 - 1000, 5_000_000_000)
    meter.read()
    assert meter.take() == {}, "one look says nothing"
    driver.now_s += 2
    driver.count(3000, 5_000_008_000)
    meter.read()
    driver.now_s += 2
    driver.count(7000, 5_000_008_000)
    meter.read()
    assert meter.take() == {"pcie_tx_bytes_per_s": 2000, "pcie_rx_bytes_per_s": 2000} and meter.take() == {}
    driver.now_s += 18
    meter.read()
    assert meter.take() == {}, "it may have wrapped more than once"
    driver.answers.clear()
    driver.now_s += 1
    meter.read()
    driver.count(1, 1)
    meter.read()
    assert meter.take() == {}, "what came before the gap is not known"


def test_rates_from_windows(driver: Driver) -> None:
    meter = PcieThroughput("GPU-1")
    rates = {pynvml.NVML_PCIE_UTIL_TX_BYTES: 7, pynvml.NVML_PCIE_UTIL_RX_BYTES: 9}
    driver.answers["nvmlDeviceGetPcieThroughput"] = rates.get
    meter.read()
    assert meter.take() == {"pcie_tx_bytes_per_s": 7000, "pcie_rx_bytes_per_s": 9000} and meter.take() == {}
    del rates[pynvml.NVML_PCIE_UTIL_RX_BYTES]
    meter.read()
    assert meter.take() == {}
