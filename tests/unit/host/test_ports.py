"""Ports that stay free until a server binds them."""

import socket
from pathlib import Path

import pytest

from servegrid.host import ports


def test_none_of_those_that_the_kernel_gives_to_connections() -> None:
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    port_numbers = ports.free_ports(50)
    assert len(set(port_numbers)) == 50
    assert not [port for port in port_numbers if first <= port <= last]


def test_none_that_somebody_listens_on(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", ports.free_port())) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(ports, "_LOWEST_PORT", port)
        only = type("Range", (), {"exists": lambda: True, "read_text": lambda: f"{port + 1} 60999"})
        monkeypatch.setattr(ports, "_EPHEMERAL_RANGE", only)
        assert ports.free_port() != port
