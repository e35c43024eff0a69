"""The server's own /metrics."""

import http.client
from collections.abc import Mapping
from urllib.parse import urlsplit

from servegrid.clock import now_s
from servegrid.telemetry.buffer import Row
from servegrid.telemetry.exposition import parse

_TIMEOUT_S = 1.0
_LARGEST_BYTES = 16 * 2**20
_ACCEPT = "text/plain;version=0.0.4, application/openmetrics-text;version=1.0.0;q=0.5, */*;q=0.1"


class ScrapeFailed(Exception):
    """The server gave no metrics; the text says why."""


class Scraper:
    """Reads one /metrics URL (http or https, no proxy, no redirect), within about a second or not at all."""

    def __init__(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        self._url = urlsplit(url)
        self._headers = {"Accept": _ACCEPT, "Accept-Encoding": "identity", "Connection": "close", **(headers or {})}

    def scrape(self) -> list[Row]:
        """Rows of SERVER_METRICS; their instant is when the server began to answer.

        Raises:
            ScrapeFailed: no connection, no answer in time, not status 200, too long, or not a metrics text.
        """
        try:
            t_s, text = self._get()
            return [{"t_s": t_s, **series._asdict()} for series in parse(text)]
        except TimeoutError as error:
            raise ScrapeFailed(f"no answer within {_TIMEOUT_S:g} s") from error
        except (OSError, http.client.HTTPException) as error:
            raise ScrapeFailed(f"{type(error).__name__}: {error}") from error
        except ValueError as error:
            raise ScrapeFailed(f"the answer is not a metrics text: {error}") from error

    def _get(self) -> tuple[float, str]:
        kind = http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
        connection = kind(self._url.hostname or "", self._url.port, timeout=_TIMEOUT_S)
        try:
            path = f"{self._url.path or '/'}{'?' + self._url.query if self._url.query else ''}"
            connection.request("GET", path, headers=self._headers)
            response = connection.getresponse()
            if response.status != http.HTTPStatus.OK:
                raise ScrapeFailed(f"HTTP status {response.status} {response.reason}")
            return now_s(), _body(response).decode("utf-8", errors="replace")
        finally:
            connection.close()


def _body(response: http.client.HTTPResponse) -> bytes:
    """The whole body; a socket's time limit alone would let a server that trickles go on for ever."""
    deadline = now_s() + _TIMEOUT_S
    body = bytearray()
    while chunk := response.read1(2**16):
        body += chunk
        if len(body) > _LARGEST_BYTES:
            raise ScrapeFailed(f"the answer is longer than {_LARGEST_BYTES} bytes")
        if now_s() > deadline:
            raise TimeoutError
    if response.length:
        raise ScrapeFailed(f"the answer was cut off {response.length} bytes before its end")
    return bytes(body)
