"""A host-wide lock for one sweep at a time on a device; the kernel drops it when its holder dies, so it is never stale."""

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from servegrid.util.identity import readable_name


class DeviceBusy(Exception):
    """The device is in use by another process; the text says by which."""


@contextmanager
def hold_device(device: str, wait_s: float = 30.0) -> Iterator[int]:
    """Hold the host-wide lock of `device`, and give its file descriptor.

    Waits for `wait_s` seconds, because a sweep that was killed a moment ago may still be stopping its server.

    Raises:
        DeviceBusy: when another measurement still holds it after `wait_s` seconds.
    """
    path = Path(tempfile.gettempdir()) / f"servegrid-device-{readable_name(device)}.lock"
    handle = _open_for_all_users(path)
    try:
        _acquire(handle, path, device, wait_s)
        with suppress(OSError):  # a file that only its owner may write is locked all the same
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"process {os.getpid()}\n".encode(), 0)
        yield handle
    finally:
        os.close(handle)


def _open_for_all_users(path: Path) -> int:
    """Open the lock file, whoever of the host's users made it, or make it for all of them.

    A file that is there is opened without O_CREAT, which Linux refuses for another user's file in a folder like /tmp
    (fs.protected_regular); where only its owner may write it, reading is enough for flock.
    """
    with suppress(FileExistsError):
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        os.fchmod(handle, 0o666)  # the umask took the others' right to write
        return handle
    try:
        return os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except PermissionError:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW)


def _acquire(handle: int, path: Path, device: str, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while True:
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                holder = path.read_text().strip() or "another process"
                raise DeviceBusy(
                    f"device {device} is being measured by {holder}; two sweeps on it would falsify each other"
                ) from None
        time.sleep(0.1)
