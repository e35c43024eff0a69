"""Scrape a server's own /metrics."""

import http.client
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from servegrid.telemetry.buffer import Row
from servegrid.telemetry.exposition import parse
from servegrid.util.clock import now_s
from servegrid.util.http_body import BodyTooLong, read_body
from servegrid.util.tls_trust import tls_context

_TIMEOUT_S = 1.0
_LARGEST_BYTES = 16 * 2**20
_ACCEPT = "text/plain;version=0.0.4, application/openmetrics-text;version=1.0.0;q=0.5, */*;q=0.1"


class ScrapeFailed(Exception):
    """The server gave no metrics; the text says why."""


class Scraper:
    """Scrapes one /metrics URL (http or https, no proxy, no redirect), within about a second or not at all."""

    def __init__(self, url: str, headers: Mapping[str, str] | None = None, ca_file: Path | None = None) -> None:
        self._url = urlsplit(url)
        self._tls = tls_context(ca_file) if self._url.scheme == "https" else None
        self._headers = {"Accept": _ACCEPT, "Accept-Encoding": "identity", "Connection": "close", **(headers or {})}

    def scrape(self) -> list[Row]:
        """Scrape once: rows of SERVER_METRICS, at the instant when the server began to answer.

        Raises:
            ScrapeFailed: no connection, no answer in time, not status 200, too long, or not a metrics text.
        """
        try:
            t_s, text = self._get()
            return [{"t_s": t_s, **series._asdict()} for series in parse(text)]
        except TimeoutError as error:
            raise ScrapeFailed(f"no answer within {_TIMEOUT_S:g} s") from error
        except BodyTooLong as error:
            raise ScrapeFailed(str(error)) from error
        except (OSError, http.client.HTTPException) as error:
            raise ScrapeFailed(f"{type(error).__name__}: {error}") from error
        except ValueError as error:
            raise ScrapeFailed(f"the answer is not a metrics text: {error}") from error

    def _get(self) -> tuple[float, str]:
        connection = self._connection()
        try:
            path = f"{self._url.path or '/'}{'?' + self._url.query if self._url.query else ''}"
            connection.request("GET", path, headers=self._headers)
            response = connection.getresponse()
            if response.status != http.HTTPStatus.OK:
                raise ScrapeFailed(f"HTTP status {response.status} {response.reason}")
            return now_s(), _whole_body(response).decode("utf-8", errors="replace")
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._url.hostname or "", self._url.port
        if self._tls:
            return http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_S, context=self._tls)
        return http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)


class ReplicaScraper:
    """Scrapes the /metrics of every replica of a server.

    The rows of all replicas have one instant, so that sums over replicas are sums of one sample, and a label `copy`, counted from 1,
    where there are several. A replica that gives no metrics makes the scrape fail: a sum without it would show a dip that was none.
    """

    def __init__(
        self, urls: Sequence[str], headers: Mapping[str, str] | None = None, ca_file: Path | None = None
    ) -> None:
        self._scrapers = [Scraper(url, headers, ca_file) for url in urls]

    def scrape(self) -> list[Row]:
        """Scrape all replicas once: rows of SERVER_METRICS, as `Scraper.scrape`.

        Raises:
            ScrapeFailed: as there; says which replica.
        """
        if len(self._scrapers) == 1:
            return self._scrapers[0].scrape()
        rows_by_replica = [
            self._scrape_replica(number, replica) for number, replica in enumerate(self._scrapers, start=1)
        ]
        instants = [row["t_s"] for rows in rows_by_replica for row in rows[:1]]
        return [row | {"t_s": instants[0]} for rows in rows_by_replica for row in rows]

    def _scrape_replica(self, number: int, replica: Scraper) -> list[Row]:
        try:
            return [row | {"labels": _labels_with_copy(str(row["labels"]), number)} for row in replica.scrape()]
        except ScrapeFailed as failed:
            raise ScrapeFailed(f"copy {number}: {failed}") from failed


def _labels_with_copy(labels: str, number: int) -> str:
    """Labels with the number of the replica as `copy`; still JSON with sorted keys, so that equal labels are equal text."""
    labels_and_copy = json.loads(labels) | {"copy": str(number)}
    return json.dumps(labels_and_copy, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _whole_body(response: http.client.HTTPResponse) -> bytes:
    body = read_body(response.read1, _LARGEST_BYTES, _TIMEOUT_S)
    if response.length:
        raise ScrapeFailed(f"the answer was cut off {response.length} bytes before its end")
    return body
