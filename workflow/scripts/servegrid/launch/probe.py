"""Single HTTP requests to a server outside of the load: for its health, version and settings."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import requests
from urllib3.exceptions import HTTPError

from servegrid.util.errors import tls_fault
from servegrid.util.http_body import BodyTooLong, read_body
from servegrid.util.tls_trust import direct_session, tls_context

_TIMEOUT_S = 10.0
_MAX_BYTES = 4 * 2**20


def get_json(url: str, headers: Mapping[str, str], ca_file: Path | None = None) -> Any:
    """The JSON that a server answers at `url`; None if the status is not 200 or the text is no JSON."""
    status, text = get_text(url, headers, ca_file)
    try:
        return json.loads(text) if status == 200 else None
    except (ValueError, RecursionError):  # no JSON, or nested too deeply to be one of ours
        return None


def get_text(url: str, headers: Mapping[str, str], ca_file: Path | None = None) -> tuple[int | None, str]:
    """Status and text of the answer at `url`; without an answer, None and what went wrong."""
    try:
        with direct_session(tls_context(ca_file) if url.startswith("https:") else None) as session:
            options: Any = {"timeout": _TIMEOUT_S, "allow_redirects": False, "stream": True}
            with session.get(url, headers=dict(headers), **options) as answer:
                return answer.status_code, _body_text(answer) if answer.ok else f"HTTP {answer.status_code}"
    except BodyTooLong as error:
        return None, str(error)
    except TimeoutError:
        return None, f"no end of the answer within {_TIMEOUT_S:g} s"
    except (requests.RequestException, HTTPError) as error:
        return None, _error_text(error)


def _body_text(answer: requests.Response) -> str:
    body = read_body(partial(answer.raw.read1, decode_content=True), _MAX_BYTES, _TIMEOUT_S)
    return body.decode("utf-8", "replace")


def _error_text(error: Exception) -> str:
    """What went wrong, without the request itself: one of its header fields holds the API key."""
    refused = "connection refused" if "refused" in str(error) else None
    return refused or tls_fault(error) or type(error).__name__
