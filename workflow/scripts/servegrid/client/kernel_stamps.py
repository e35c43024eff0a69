"""When data arrived at this host, as the kernel saw it: stamps that are right however late the client comes to read.

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
SPACE = socket.CMSG_SPACE(16) if hasattr(socket, "CMSG_SPACE") else 0
HAS_STAMPS = sys.platform == "linux" and struct.calcsize("@l") == 8
read_stamp = struct.Struct("@ll").unpack
_TRIES = 5


def ask_for_stamps(connection: socket.socket) -> bool:
    """Have the kernel stamp what arrives on this connection; False if it does not."""
    if not HAS_STAMPS:
        return False
    try:
        connection.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    except OSError:
        return False
    return True


def wall_less_monotonic() -> tuple[int, float]:
    """The wall clock's lead over the monotonic one: whole seconds, and the rest in s."""
    lead_ns = min(_lead_ns() for _ in range(_TRIES))[1]
    return lead_ns // 1_000_000_000, lead_ns % 1_000_000_000 * 1e-9


def _lead_ns() -> tuple[int, int]:
    """How long the reading took, and the lead; the shortest reading is the best."""
    before = monotonic_ns()
    wall = time_ns()
    after = monotonic_ns()
    return after - before, wall - (before + after) // 2
