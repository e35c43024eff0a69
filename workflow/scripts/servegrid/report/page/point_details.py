"""What stands behind a point, beside its row: the server's command, log and timeline, from the session's records."""

import shlex
from base64 import b64encode
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from servegrid.util.files import read_json
from servegrid.util.secret_env import shell_assignment
from servegrid.util.text import clip, plain

MAX_LOG = 4000  # characters of a log's tail that a page holds; less where there are many servers
_MAX_ALL_LOGS = 1_000_000


def server_details(points: pd.DataFrame, sessions: Path, timelines: Path) -> dict[str, dict[str, Any]]:
    """Details of each server's first readable session, by server id; a server that was never launched is left out."""
    ids = [id for id in dict.fromkeys(points["server_id"]) if id]
    max_log = min(MAX_LOG, _MAX_ALL_LOGS // max(1, len(ids)))
    details = {id: _first_session_details(sessions / id, timelines / id, max_log) for id in ids}
    return {id: server for id, server in details.items() if server}


def _first_session_details(folder: Path, timelines: Path, max_log: int) -> dict[str, Any] | None:
    for path in sorted(folder.glob("rep*/session.json")):
        try:
            return _session_details(read_json(path), timelines / f"{path.parent.name}.svg", max_log)
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            continue
    return None


def _session_details(session: Mapping[str, Any], timeline: Path, max_log: int) -> dict[str, Any]:
    launch = session["launches"][-1]
    log = launch.get("log_tail") or ""
    text = log if isinstance(log, str) else "\n".join(map(str, log))
    return {
        "command": _command(launch),
        "log": "\n".join(plain(line) for line in text.splitlines())[-max_log:],
        "started": _start_date(launch.get("anchor") or {}),
        "host": _host(session.get("host") or {}),
        "gpus": [str(gpu.get("name")) for gpu in launch.get("gpu_facts") or []],
        "timeline": _timeline_image(timeline),
    }


def _start_date(anchor: Mapping[str, Any]) -> str:
    if "unix_s" not in anchor:
        return ""
    return datetime.fromtimestamp(anchor["unix_s"], UTC).strftime("%Y-%m-%d %H:%M UTC")


def _command(launch: Mapping[str, Any]) -> str:
    if launch.get("shown"):
        return str(launch["shown"])
    variables = [shell_assignment(name, str(value)) for name, value in (launch.get("environment") or {}).items()]
    return " ".join([*variables, shlex.join(launch.get("command") or [])]) if launch.get("command") else ""


def _host(host: Mapping[str, Any]) -> str:
    parts: Iterable[str] = (str(host[key]) for key in ("name", "cpu", "kernel") if host.get(key))
    return clip(", ".join(parts), 200)


def _timeline_image(path: Path) -> str | None:
    """The timeline as a data URL for an image, in which no script runs; None if there is none."""
    if not path.exists():
        return None
    return "data:image/svg+xml;base64," + b64encode(path.read_bytes()).decode()
