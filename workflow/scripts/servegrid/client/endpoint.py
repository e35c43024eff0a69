"""The endpoint of requests: address, TLS, and the header fields that all of them share."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Optional
from urllib.parse import SplitResult, urlsplit

from servegrid.protocols import server_url
from servegrid.util.tls_trust import CaFileError, tls_context

if TYPE_CHECKING:
    import ssl

DEFAULT_HEADERS = {
    "User-Agent": "servegrid",
    "Accept": "text/event-stream, application/json",
    "Accept-Encoding": "identity",
    "Content-Type": "application/json",
}
RESERVED_HEADERS = ("host", "content-length", "transfer-encoding", "connection", "x-request-id")


class EndpointError(ValueError):
    """The endpoint cannot be used; names the part and the reason."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Endpoint: a full URL to POST to, http or https, and extra header fields.

    Raises:
        EndpointError: when the URL or a header field cannot be used.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    verify: bool = True  # check the server's certificate
    ca_file: Path | None = None

    def __post_init__(self) -> None:
        if mistake := server_url.mistake(self.url):
            raise EndpointError(f"url {server_url.shown(self.url)!r}: {mistake}")
        for name, value in self.headers.items():
            _check_header(name, value)

    @property
    def parts(self) -> SplitResult:
        """Parts of the URL."""
        return urlsplit(self.url)

    @property
    def host(self) -> str:
        """Host name or address of the URL."""
        return self.parts.hostname or ""

    @property
    def port(self) -> int:
        """Port of the URL, by default 80 or 443."""
        return self.parts.port or (443 if self.parts.scheme == "https" else 80)

    def request_head(self) -> bytes:
        """Request line and header fields, up to the value of x-request-id, which is to follow."""
        path = (self.parts.path or "/") + (f"?{self.parts.query}" if self.parts.query else "")
        given_names = {name.lower() for name in self.headers}
        fields = {"Host": self.parts.netloc} | {
            name: value for name, value in DEFAULT_HEADERS.items() if name.lower() not in given_names
        }
        field_lines = [f"{name}: {value}" for name, value in {**fields, **self.headers}.items()]
        lines = [f"POST {_quoted(path)} HTTP/1.1", *field_lines, "x-request-id: "]
        return "\r\n".join(lines).encode("latin-1")

    def tls(self) -> Optional["ssl.SSLContext"]:
        """TLS settings; None for http."""
        if self.parts.scheme == "http":
            return None
        try:
            return tls_context(self.ca_file, self.verify)
        except CaFileError as error:
            raise EndpointError(str(error)) from None

    def address(self, timeout_s: float) -> tuple[str, int]:
        """Numeric address and port, looked up so that no request waits for it; of several, the first that accepts connections."""
        try:
            resolved = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise EndpointError(f"host {self.host!r} cannot be looked up: {error}") from None
        addresses = [(str(entry[4][0]), int(entry[4][1])) for entry in resolved]
        return next(
            (address for address in addresses if len(addresses) == 1 or _accepts_connections(address, timeout_s)),
            addresses[0],
        )


def _accepts_connections(address: tuple[str, int], timeout_s: float) -> bool:
    try:
        socket.create_connection(address, timeout=timeout_s).close()
    except OSError:
        return False
    return True


def _check_header(name: str, value: str) -> None:
    if not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
        raise EndpointError(f"header field {name!r}: not a field name")
    if name.lower() in RESERVED_HEADERS:
        raise EndpointError(f"header field {name!r} is set by the client itself")
    if any(character in value for character in "\r\n\0") or not all(ord(character) < 256 for character in value):
        raise EndpointError(f"header field {name!r}: its value must be one line of Latin-1 text")


def _quoted(path: str) -> str:
    return "".join(
        character if "!" <= character <= "~" else "".join(f"%{byte:02X}" for byte in character.encode())
        for character in path
    )
