"""Waiting for a device sleeps between its tries, and the file says who holds it and nothing else."""

import os
from pathlib import Path

import pytest

from servegrid.host import device_lock
from servegrid.host.device_lock import DeviceBusy, hold_device


@pytest.fixture
def lock_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path / "servegrid-device-gpu-0.lock"


class Clock:
    """Time that passes in sleep alone."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.sleeps: list[float] = []

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now_s += seconds


def test_it_is_tried_ten_times_a_second_and_not_in_circles(lock_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(device_lock, "time", clock)
    with (
        hold_device("gpu 0", wait_s=0),
        pytest.raises(DeviceBusy, match="device gpu 0 is being measured by process"),
        hold_device("gpu 0", wait_s=2),
    ):
        pass
    assert clock.sleeps == [0.1] * len(clock.sleeps) and 20 <= len(clock.sleeps) <= 21


def test_a_holder_before_who_had_more_to_say_leaves_nothing(lock_file: Path) -> None:
    lock_file.write_text("process 123456789 and whatever an earlier version had to say\n")
    with hold_device("gpu 0", wait_s=0):
        assert lock_file.read_text() == f"process {os.getpid()}\n"


def test_a_holder_without_words_is_another_process(lock_file: Path) -> None:
    with hold_device("gpu 0", wait_s=0):
        lock_file.write_text("")
        with pytest.raises(DeviceBusy, match="by another process; two sweeps"), hold_device("gpu 0", wait_s=-1):
            pass
