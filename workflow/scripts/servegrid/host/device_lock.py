"""One sweep at a time on a device: a lock that the kernel drops when its holder dies, so it is never stale."""

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from servegrid.util.identity import readable_name


class Busy(Exception):
    """The device is in use by somebody else; the text says by whom."""


@contextmanager
def holding(device: str, wait_s: float = 30.0) -> Iterator[int]:
    """Hold the host-wide lock of `device` and give its file descriptor.

    Waits a little, because a sweep that was killed a moment ago may still be clearing away its server.

    Raises:
        Busy: when another measurement still holds it after `wait_s` seconds.
    """
    path = Path(tempfile.gettempdir()) / f"servegrid-device-{readable_name(device)}.lock"
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _acquire(handle, path, device, wait_s)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()}\n".encode(), 0)
        yield handle
    finally:
        os.close(handle)


def _acquire(handle: int, path: Path, device: str, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while True:
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                holder = path.read_text().strip() or "another process"
                raise Busy(
                    f"device {device} is being measured by {holder}; two sweeps on it would falsify each other"
                ) from None
        time.sleep(0.1)
