"""Which GPUs there are, who is on them, and whether their memory is back: asked of a compiled driver library."""

import getpass
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from data.nvml.fake_driver import MIB, UUIDS, FakeDriver, compile_driver

pytestmark = pytest.mark.slow

GIB = 1024 * MIB


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_driver(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def driver(library: Path, tmp_path: Path) -> FakeDriver:
    return FakeDriver(library, tmp_path / "state")


@pytest.fixture
def sleeper() -> Iterator[int]:
    """A process of ours that somebody else's might be."""
    with subprocess.Popen(["sleep", "120"]) as process:
        yield process.pid
        process.kill()


def ask(driver: FakeDriver, expression: str) -> Any:
    """The value of an expression over servegrid.telemetry.nvml and occupancy, in a process that has the driver."""
    code = (
        "import json\nfrom dataclasses import asdict\nfrom servegrid.telemetry.occupancy import *\n"
        "from servegrid.telemetry.nvml import *\n"
        f"try: print(json.dumps({expression}))\n"
        "except (DriverAbsent, LookupError) as error: print(json.dumps(f'{type(error).__name__}: {error}'))\n"
    )
    return json.loads(driver.python(code))


def test_the_devices_with_all_that_is_known_of_them(driver: FakeDriver) -> None:
    devices = ask(driver, "[asdict(device) for device in list_gpus()]")
    assert [device["uuid"] for device in devices] == UUIDS
    assert devices[0] == {
        "index": 0,
        "uuid": UUIDS[0],
        "name": "NVIDIA Test A100",
        "pci_bus_id": "00000000:01:00.0",
        "memory_total_bytes": 80 * GIB,
        "power_limit_w": 400.0,
        "max_sm_clock_mhz": 1980,
        "max_memory_clock_mhz": 1593,
        "driver_version": "999.10.01",
        "cuda_version": "13.1",
    }


def test_a_lost_gpu_is_listed_apart(driver: FakeDriver) -> None:
    driver.set("1 error 15")
    assert ask(driver, "[device.index for device in list_gpus()]") == [0, 2]
    assert ask(driver, "silent_gpus()") == {"1": "GPU is lost"}


def test_a_gpu_that_does_not_answer_says_so_in_words(driver: FakeDriver) -> None:
    driver.set("1 error 15")
    silent = f"GpuSilent: GPU {UUIDS[1]} does not answer: GPU is lost"
    assert ask(driver, f"memory_used({UUIDS[1]!r})") == silent
    assert ask(driver, f"processes({UUIDS[1]!r})") == silent
    assert ask(driver, f"asdict(wait_memory_back({UUIDS[1]!r}, 0))") == silent


def test_a_device_that_is_missed_names_the_gpus_that_are_silent(driver: FakeDriver) -> None:
    driver.set("1 error 15")
    missed = "__import__('servegrid.host.devices').host.devices.gpu_uuids(__import__('servegrid.config').config.Device(kind='cuda', name='T4'))"
    there = "NVIDIA Test A100, NVIDIA Test A100; GPU 1 does not answer: GPU is lost"
    assert ask(driver, missed) == f"LookupError: no GPU named 'T4' here (there is: {there})"


@pytest.mark.parametrize(
    ("selector", "index"),
    [("1", 1), (2, 2), (UUIDS[2], 2), ("gpu-1111", 1), ("NVIDIA Test T4", 1), ("t4", 1), (" 0 ", 0)],
)
def test_a_gpu_is_found_by_index_uuid_or_name(driver: FakeDriver, selector: str | int, index: int) -> None:
    assert ask(driver, f"find_gpu({selector!r}).index") == index


@pytest.mark.parametrize(
    ("selector", "reason"),
    [
        (
            "A100",
            f"several GPUs match 'A100'. They are: 0: NVIDIA Test A100 {UUIDS[0]}; 2: NVIDIA Test A100 {UUIDS[2]}",
        ),
        ("H100", f"no GPU matches 'H100'. There are: 0: NVIDIA Test A100 {UUIDS[0]}; 1: NVIDIA Test T4 {UUIDS[1]}; "),
        ("7", "no GPU matches '7'"),
        ("", "no GPU matches ''"),
        ("GPU-", "no GPU matches 'GPU-'"),
    ],
)
def test_a_selector_that_does_not_tell_names_the_choices(driver: FakeDriver, selector: str, reason: str) -> None:
    assert ask(driver, f"find_gpu({selector!r}).index").startswith(f"GpuNotFound: {reason}")


def test_processes_and_their_memory(driver: FakeDriver) -> None:
    driver.set("0 process 41 1000", "0 process 42 2000", "1 process 43 3000")
    assert ask(driver, f"processes({UUIDS[0]!r})") == [[41, 1000], [42, 2000]]
    assert ask(driver, f"processes({UUIDS[1]!r})") == [[43, None]], "unknown is not 0"
    assert ask(driver, f"processes({UUIDS[2]!r})") == []


def test_memory_with_and_without_the_drivers_share(driver: FakeDriver) -> None:
    driver.set(f"* memory_used {2 * GIB}", f"* memory_reserved {GIB}")
    assert ask(driver, f"asdict(memory({UUIDS[0]!r}))") == {"total": 80 * GIB, "used": 2 * GIB}
    assert ask(driver, f"asdict(memory({UUIDS[1]!r}))") == {"total": 16 * GIB, "used": 3 * GIB}
    assert ask(driver, f"memory_used({UUIDS[0]!r})") == 2 * GIB


def test_an_old_driver_lists_processes_in_its_own_words(tmp_path: Path) -> None:
    driver = FakeDriver(compile_driver(tmp_path, "-DOLD_DRIVER"), tmp_path / "state")
    driver.set("0 process 41 1000")
    assert ask(driver, f"processes({UUIDS[0]!r})") == [[41, 1000]]


def test_no_library_and_no_kernel_module_are_reasons_in_words(driver: FakeDriver, tmp_path: Path) -> None:
    driver.set("* init 9")
    assert ask(driver, "find_gpu(0).index") == (
        "DriverAbsent: the NVIDIA driver is installed but its kernel module is not loaded"
    )
    if os.path.exists("/dev/nvidiactl"):
        pytest.skip("this host has a real driver")
    nowhere = FakeDriver(tmp_path / "empty" / "libnvidia-ml.so.1", tmp_path / "state")
    assert ask(nowhere, "len(list_gpus())") == (
        "DriverAbsent: no NVIDIA driver on this host: libnvidia-ml.so.1 was not found"
    )


def test_a_free_gpu_is_free(driver: FakeDriver) -> None:
    assert ask(driver, "[gpu_occupancy('T4').free, gpu_occupancy('T4').refusal]") == [True, None]


def test_a_foreign_process_is_a_refusal_that_names_it(driver: FakeDriver, sleeper: int) -> None:
    driver.set(f"0 process {sleeper} {20 * GIB}", f"0 memory_used {20 * GIB}")
    assert ask(driver, "gpu_occupancy(0).free") is False
    assert ask(driver, "gpu_occupancy(0).refusal") == (
        f"GPU 0 (NVIDIA Test A100, {UUIDS[0]}) is in use by sleep (pid {sleeper}, user {getpass.getuser()}, 20.0 GiB). "
        "It is left alone: wait until it is free, or choose another device."
    )


def test_our_own_process_and_another_gpus_are_no_refusal(driver: FakeDriver, sleeper: int) -> None:
    driver.set(f"0 process {sleeper} {MIB}", "2 process 1 100")
    assert ask(driver, f"gpu_occupancy(0, own_pids=[{sleeper}]).free") is True
    assert ask(driver, "gpu_occupancy(1).free") is True


def test_a_process_that_cannot_be_looked_up_is_named_by_its_pid(driver: FakeDriver) -> None:
    driver.set("1 process 4194999 5")
    assert "in use by a process (pid 4194999)." in ask(driver, "gpu_occupancy(1).refusal")


def test_memory_in_use_by_nobody_to_be_seen_is_a_refusal(driver: FakeDriver) -> None:
    driver.set(f"0 memory_used {12 * GIB}")
    assert "has 12.0 GiB of memory in use, though no process" in ask(driver, "gpu_occupancy(0).refusal")
    assert ask(driver, f"gpu_occupancy(0, allowed_bytes={13 * GIB}).free") is True


def test_memory_is_waited_for_until_it_is_back(driver: FakeDriver) -> None:
    driver.set(f"0 memory_used {30 * GIB}")
    stop = threading.Timer(1.0, driver.set, [f"0 memory_used {GIB + MIB}"])
    stop.start()
    ended = ask(driver, f"asdict(wait_memory_back({UUIDS[0]!r}, {GIB}, timeout_s=60))")
    stop.join()
    assert (ended["back"], ended["used_bytes"]) == (True, GIB + MIB)


def test_memory_that_does_not_come_back_is_told_after_the_limit(driver: FakeDriver) -> None:
    driver.set(f"0 memory_used {30 * GIB}")
    ended = ask(driver, f"asdict(wait_memory_back({UUIDS[0]!r}, {GIB}, timeout_s=0.3))")
    assert (ended["back"], ended["used_bytes"]) == (False, 30 * GIB)
