"""Kernel time stamps of when data arrived at this host: right however late the client reads.

Linux notes the wall clock when a segment arrives (SO_TIMESTAMPNS) and hands it out with the data; of several segments that are read
at once, that of the last. Here it is carried over to the monotonic clock. The two run at the same speed, but the wall clock can be
set: their distance is taken anew every now and then, and a stamp that cannot be is not used. Where the kernel gives none (other
systems, TLS), the time of the read is the stamp.
"""

import socket
import struct
import sys
from time import monotonic_ns, time_ns

SO_TIMESTAMPNS = 35  # asm-generic/socket.h: x86-64, AArch64, RISC-V, POWER, s390
ANCILLARY_BYTES = socket.CMSG_SPACE(16) if hasattr(socket, "CMSG_SPACE") else 0
HAS_STAMPS = sys.platform == "linux" and struct.calcsize("@l") == 8
read_stamp = struct.Struct("@ll").unpack
_TRIES = 5


def enable_stamps(connection: socket.socket) -> bool:
    """Enable kernel stamps of what arrives on this connection; return False if there are none."""
    if not HAS_STAMPS:
        return False
    try:
        connection.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    except OSError:
        return False
    return True


def wall_clock_lead() -> tuple[int, float]:
    """Lead of the wall clock over the monotonic one: whole seconds, and the rest in s."""
    lead_ns = min(_read_lead_ns() for _ in range(_TRIES))[1]
    return lead_ns // 1_000_000_000, lead_ns % 1_000_000_000 * 1e-9


def _read_lead_ns() -> tuple[int, int]:
    """Duration of one reading of the clocks, and the lead, in ns; the shortest reading is the best."""
    before = monotonic_ns()
    wall = time_ns()
    after = monotonic_ns()
    return after - before, wall - (before + after) // 2
