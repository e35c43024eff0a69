"""What was measured, in a few words for the top of the page: model, requests, host, devices, engines, sessions, dates."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from servegrid.config.measuring import Prompts
from servegrid.config.serving import Model
from servegrid.report.format import DASH, format_count, format_short
from servegrid.util.files import read_json
from servegrid.util.text import clip

_MOST = 120  # characters of a fact that comes from outside


def measurement_summary(rows: pd.DataFrame, config: Mapping[str, Any], sessions: Path) -> list[str]:
    """One text per fact; a fact that nobody knows is left out.

    Args:
        rows: of the result table, without published ones.
        config: the resolved config: what was to be measured.
        sessions: folder of the sessions' records.
    """
    records = list(_records(sessions, rows["server_id"]))
    done = rows[rows["requests_ok"] > 0]
    found = {
        "Model": _model(rows, config),
        "Requests": _requests(done, Prompts.model_validate(config.get("prompts", {}))),
        "Host": ", ".join(dict.fromkeys(_host(record) for record in records)) or _known(rows["host"]),
        "Devices": _devices(rows),
        "Engines": "; ".join(_with(engine, _known(own["engine_version"])) for engine, own in _by(rows, "engine")),
        "Sessions": f"{_ends(done['sessions'])} of each server" if len(done) else "none measured",
        "Started": _dates(records),
    }
    return [f"{name}: {clip(text, _MOST)}" for name, text in found.items() if text]


def _records(sessions: Path, servers: Iterable[str]) -> Iterator[Mapping[str, Any]]:
    """The records of all sessions; those that cannot be read are passed over."""
    for server in dict.fromkeys(servers):
        for path in sorted((sessions / server).glob("rep*/session.json")) if server else []:
            try:
                yield read_json(path)
            except (OSError, ValueError):
                continue


def _model(rows: pd.DataFrame, config: Mapping[str, Any]) -> str:
    wanted = Model.model_validate(config.get("model", {}))
    planned = wanted.source + (f" at {wanted.revision[:12]}" if wanted.revision else "")
    return _known(rows["model"]) or planned


def _requests(done: pd.DataFrame, prompts: Prompts) -> str:
    """How many at each point and of how many tokens: as counted, or as planned where nothing was measured."""
    source = "generated prompts" if prompts.source == "generated" else f"prompts of {Path(prompts.source).name}"
    if done.empty:
        return f"{prompts.count:,} a point planned, {source}, {prompts.output_tokens:,} tokens out"
    given, made = ((done[f"{kind}_tokens"] / done["requests_ok"]).mean() for kind in ("prompt", "output"))
    sent = done[["requests_ok", "requests_short", "requests_failed"]].sum(axis=1)
    tokens = [f"{format_short(mean)} tokens {way}" for mean, way in ((given, "in"), (made, "out")) if mean > 0]
    means = f", on average {' and '.join(tokens)}" if tokens else ""
    return f"{_ends(sent)} a point, {source}{means}"


def _host(record: Mapping[str, Any]) -> str:
    host = record.get("host") or {}
    cpus = f"{host['logical_cpus']} logical CPUs" if host.get("logical_cpus") else ""
    said = ", ".join(filter(None, (str(host.get("cpu") or ""), cpus)))
    return _with(str(host.get("name") or "unnamed"), said)


def _devices(rows: pd.DataFrame) -> str:
    named = "; ".join(_with(gpu, _known(own["gpu_name"])) for gpu, own in _by(rows, "gpu"))
    driver = _known(rows["driver"])
    return f"{named}; driver {driver}" if driver else named


def _dates(records: Iterable[Mapping[str, Any]]) -> str:
    """From the first launch to the last."""
    launches = [launch for record in records for launch in record.get("launches") or []]
    seconds = [anchor["unix_s"] for launch in launches if "unix_s" in (anchor := launch.get("anchor") or {})]
    days = (datetime.fromtimestamp(pick(seconds), UTC).strftime("%Y-%m-%d") for pick in (min, max) if seconds)
    return " to ".join(dict.fromkeys(days))


def _by(rows: pd.DataFrame, axis: str) -> Iterator[tuple[str, pd.DataFrame]]:
    return ((str(level), own) for level, own in rows.groupby(axis, sort=False))


def _known(values: "pd.Series[str]") -> str:
    """The different texts there are, in their order."""
    return ", ".join(text for text in dict.fromkeys(values) if text)


def _with(name: str, said: str) -> str:
    return f"{name} ({said})" if said else name


def _ends(values: "pd.Series[float]") -> str:
    low, high = format_count(values.min()), format_count(values.max())
    return low if low == high else f"{low}{DASH}{high}"
