"""Connections under TLS."""

import ssl
from typing import Any

from servegrid.client.connection import Connection, ConnectionOwner, TlsError
from servegrid.client.loop import READ, WRITE
from servegrid.util.errors import tls_fault


class TlsConnection(Connection):
    """A `Connection` with a TLS handshake before the first request."""

    __slots__ = ("_context", "_host", "_tls")

    def __init__(self, owner: ConnectionOwner, context: ssl.SSLContext, host: str) -> None:
        super().__init__(owner)
        self._context = context
        self._host = host
        self._tls: ssl.SSLSocket

    def _on_tcp_connected(self) -> None:
        """Start the TLS handshake."""
        assert self.socket is not None
        self._owner.loop.unwatch(self.fd)
        try:
            self._tls = self._context.wrap_socket(
                self.socket, server_hostname=self._host, do_handshake_on_connect=False
            )
        except (OSError, ValueError) as error:
            self.fail_to_connect(error)
            return
        self.socket = self._tls
        self._read = self._decrypt
        self.fd = self._tls.fileno()
        self._continue_handshake(0)

    def fail_to_connect(self, error: Exception) -> None:
        """As `Connection.fail_to_connect`; errors of TLS become TlsError."""
        if fault := tls_fault(error):
            error = TlsError(fault)
        super().fail_to_connect(error)

    def _continue_handshake(self, _mask: int) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._owner.loop.watch(self.fd, READ, self._continue_handshake)
        except ssl.SSLWantWriteError:
            self._owner.loop.watch(self.fd, WRITE, self._continue_handshake)
        except (OSError, ValueError) as error:
            self.fail_to_connect(error)
        else:
            self._report_ready()

    def _write(self, data: bytes) -> int:
        try:
            return self._tls.send(data)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None

    def _decrypt(self, size: int, _space: int) -> tuple[bytes, Any, int, Any]:
        try:
            return self._tls.recv(size), (), 0, None
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None

    def receive(self, mask: int) -> None:
        """Read all decrypted data: the poller does not see what the TLS layer has buffered."""
        super().receive(mask)
        while self.socket is not None and self._tls.pending():
            super().receive(mask)
