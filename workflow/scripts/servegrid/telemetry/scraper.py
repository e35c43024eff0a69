"""The server's own /metrics."""

import http.client
import json
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from servegrid.telemetry.buffer import Row
from servegrid.telemetry.exposition import parse
from servegrid.util.clock import now_s
from servegrid.util.http_body import BodyTooLong, read_body

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
        except BodyTooLong as error:
            raise ScrapeFailed(str(error)) from error
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


class CopiesScraper:
    """Reads the /metrics of every copy of a server.

    The rows of all copies have one instant, so that sums over copies are sums of one sample, and a label `copy`, counted from 1,
    where there are several. A copy that gives no metrics makes the sample fail: a sum without it would be a dip that was none.
    """

    def __init__(self, urls: Sequence[str], headers: Mapping[str, str] | None = None) -> None:
        self._copies = [Scraper(url, headers) for url in urls]

    def scrape(self) -> list[Row]:
        """Rows of SERVER_METRICS, as `Scraper.scrape`.

        Raises:
            ScrapeFailed: as there; says which copy.
        """
        if len(self._copies) == 1:
            return self._copies[0].scrape()
        found = [self._of(number, copy) for number, copy in enumerate(self._copies, start=1)]
        instants = [row["t_s"] for rows in found for row in rows[:1]]
        return [row | {"t_s": instants[0]} for rows in found for row in rows]

    def _of(self, number: int, copy: Scraper) -> list[Row]:
        try:
            return [row | {"labels": _with_copy(str(row["labels"]), number)} for row in copy.scrape()]
        except ScrapeFailed as failed:
            raise ScrapeFailed(f"copy {number}: {failed}") from failed


def _with_copy(labels: str, number: int) -> str:
    """Labels stay a JSON object with sorted keys, so that equal labels are equal text."""
    named = json.loads(labels) | {"copy": str(number)}
    return json.dumps(named, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _body(response: http.client.HTTPResponse) -> bytes:
    body = read_body(response.read1, _LARGEST_BYTES, _TIMEOUT_S)
    if response.length:
        raise ScrapeFailed(f"the answer was cut off {response.length} bytes before its end")
    return body
