"""Small questions to a server, beside the load: what it is, and whether it is there."""

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

import requests
from urllib3.exceptions import HTTPError

from servegrid.util.http_body import BodyTooLong, read_body

_ANSWER_S = 10.0
_LARGEST_BYTES = 4 * 2**20


def asked(url: str, headers: Mapping[str, str]) -> Any:
    """The JSON that a server answers at `url`; None where it answers none."""
    status, text = ask(url, headers)
    try:
        return json.loads(text) if status == 200 else None
    except (ValueError, RecursionError):  # no JSON, or nested too deeply to be one of ours
        return None


def ask(url: str, headers: Mapping[str, str]) -> tuple[int | None, str]:
    """Status and text of the answer at `url`; no status, and what went wrong, where there is none."""
    try:
        with requests.Session() as session:
            session.trust_env = False  # straight to the server, as the load client goes
            how: Any = {"timeout": _ANSWER_S, "allow_redirects": False, "stream": True}
            with session.get(url, headers=dict(headers), **how) as answer:
                return answer.status_code, _text(answer) if answer.ok else f"HTTP {answer.status_code}"
    except BodyTooLong as error:
        return None, str(error)
    except TimeoutError:
        return None, f"no end of the answer within {_ANSWER_S:g} s"
    except (requests.RequestException, HTTPError) as error:
        return None, _words(error)


def _text(answer: requests.Response) -> str:
    body = read_body(partial(answer.raw.read1, decode_content=True), _LARGEST_BYTES, _ANSWER_S)
    return body.decode("utf-8", "replace")


def _words(error: Exception) -> str:
    """What went wrong, without what was sent: a header field holds the key."""
    text = str(error)
    return "connection refused" if "refused" in text else type(error).__name__
