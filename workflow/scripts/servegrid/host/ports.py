"""Choose free TCP ports for servers to listen on."""

import random
import socket
from contextlib import ExitStack, suppress
from pathlib import Path

_EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST_PORT = 20000
"""Most well-known services listen below it."""
_PORT_TRIES = 100


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    return free_ports(1)[0]


def free_ports(count: int) -> tuple[int, ...]:
    """Distinct TCP ports of 127.0.0.1 that nobody listens on now.

    Out of those that the kernel does not give to connections: a server binds its port seconds later, and until then neither a
    connection of anybody nor another server that lets the kernel choose may have taken it.
    """
    with ExitStack() as stack:
        return tuple(_bind_free_port(stack.enter_context(socket.socket())) for _ in range(count))


def _bind_free_port(probe: socket.socket) -> int:
    ephemeral = _EPHEMERAL_RANGE.read_text().split() if _EPHEMERAL_RANGE.exists() else ["32768"]
    candidates = range(_LOWEST_PORT, int(ephemeral[0]))
    for port in random.SystemRandom().sample(candidates, min(_PORT_TRIES, len(candidates))):
        with suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    probe.bind(("127.0.0.1", 0))  # the kernel's choice, where it gives out all that there are
    return int(probe.getsockname()[1])
