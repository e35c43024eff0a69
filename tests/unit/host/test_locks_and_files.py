"""Files appear whole or not at all; locks die with their holder."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from isolation import REPOSITORY
from servegrid.host.device_lock import DeviceBusy, hold_device
from servegrid.util.files import read_json, replacing, write_atomic, write_json

SCRIPTS = REPOSITORY / "workflow" / "scripts"


def test_what_was_there_survives_a_failed_write(tmp_path: Path) -> None:
    path = tmp_path / "a" / "file.txt"
    write_atomic(path, "old")
    with pytest.raises(RuntimeError), replacing(path) as beside:
        beside.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_json_round_trip(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"b": 1, "a": [None, "é"]})
    assert list(read_json(tmp_path / "x.json")) == ["b", "a"]


@pytest.mark.slow
def test_a_device_is_held_by_one_and_freed_by_death(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code = f"""
import sys, tempfile
sys.path.insert(0, {str(SCRIPTS)!r})
tempfile.tempdir = {str(tmp_path)!r}
from servegrid.host.device_lock import hold_device
with hold_device("gpu 0"):
    print("held", flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout and other.stdout.readline() == b"held\n"
        with (
            pytest.raises(DeviceBusy, match=rf"gpu 0 is being measured by process {other.pid}"),
            hold_device("gpu 0", wait_s=0),
        ):
            pass
        with hold_device("gpu 1", wait_s=0):
            pass
        other.kill()
    with hold_device("gpu 0", wait_s=60):
        pass


NOBODY = 65534


@contextmanager
def _ordinary_user() -> Iterator[None]:
    """Be a user whom a file's mode binds, for the length of a block."""
    if user := os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.fixture
def open_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files that every user may enter, as /tmp."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o1777)
        monkeypatch.setattr("tempfile.tempdir", folder)
        yield Path(folder)


def test_a_device_that_one_user_held_can_be_held_by_the_next(open_folder: Path) -> None:
    before = os.umask(0o077)
    try:
        with hold_device("gpu 0", wait_s=0):
            pass
    finally:
        os.umask(before)
    with _ordinary_user(), hold_device("gpu 0", wait_s=0):
        assert [path.stat().st_mode & 0o777 for path in open_folder.iterdir()] == [0o666]


def test_a_lock_file_that_only_its_owner_may_write_locks_all_the_same(open_folder: Path) -> None:
    path = open_folder / "servegrid-device-gpu-0.lock"
    with hold_device("gpu 0", wait_s=0):
        assert list(open_folder.iterdir()) == [path]
    path.chmod(0o444)
    with _ordinary_user(), hold_device("gpu 0", wait_s=0), pytest.raises(DeviceBusy), hold_device("gpu 0", wait_s=0):
        pass
