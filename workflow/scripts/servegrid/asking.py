"""Small questions to a server, beside the load: what it is, and whether it is there."""

import json
from collections.abc import Mapping
from typing import Any

import requests

_ANSWER_S = 10.0


def asked(url: str, headers: Mapping[str, str]) -> Any:
    """The JSON that a server answers at `url`; None where it answers none."""
    status, text = ask(url, headers)
    try:
        return json.loads(text) if status == 200 else None
    except ValueError:
        return None


def ask(url: str, headers: Mapping[str, str]) -> tuple[int | None, str]:
    """Status and text of the answer at `url`; no status, and what went wrong, where there is none."""
    try:
        with requests.Session() as session:
            session.trust_env = False  # straight to the server, as the load client goes
            answer = session.get(url, headers=dict(headers), timeout=_ANSWER_S, allow_redirects=False)
            return answer.status_code, answer.text if answer.ok else f"HTTP {answer.status_code}"
    except requests.RequestException as error:
        return None, _words(error)


def _words(error: Exception) -> str:
    """What went wrong, without what was sent: a header field holds the key."""
    text = str(error)
    return "connection refused" if "refused" in text else type(error).__name__
