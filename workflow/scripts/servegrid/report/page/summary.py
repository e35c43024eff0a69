"""Summary of what was measured, for the top of the page: model, requests, host, devices, engines, sessions, dates."""

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

_MAX_CHARACTERS = 120  # characters of a fact that comes from outside


def measurement_summary(rows: pd.DataFrame, config: Mapping[str, Any], sessions: Path) -> list[str]:
    """One text per fact; unknown facts are left out.

    Args:
        rows: of the result table, without published ones.
        config: the resolved config, used for what was planned.
        sessions: folder of the sessions' records.
    """
    records = list(_records(sessions, rows["server_id"]))
    answered = rows[rows["requests_ok"] > 0]
    texts = {
        "Model": _model(rows, config),
        "Requests": _requests(answered, Prompts.model_validate(config.get("prompts", {}))),
        "Host": ", ".join(dict.fromkeys(_host(record) for record in records)) or _distinct_texts(rows["host"]),
        "Devices": _devices(rows),
        "Engines": "; ".join(
            _with_parentheses(engine, _distinct_texts(engine_rows["engine_version"]))
            for engine, engine_rows in _groups_of(rows, "engine")
        ),
        "Sessions": f"{_count_range(answered['sessions'])} of each server" if len(answered) else "none measured",
        "Started": _date_range(records),
    }
    return [f"{name}: {clip(text, _MAX_CHARACTERS)}" for name, text in texts.items() if text]


def _records(sessions: Path, servers: Iterable[str]) -> Iterator[Mapping[str, Any]]:
    """Yield the records of all sessions; those that cannot be read are skipped."""
    for server in dict.fromkeys(servers):
        for path in sorted((sessions / server).glob("rep*/session.json")) if server else []:
            try:
                yield read_json(path)
            except (OSError, ValueError):
                continue


def _model(rows: pd.DataFrame, config: Mapping[str, Any]) -> str:
    model = Model.model_validate(config.get("model", {}))
    planned = model.source + (f" at {model.revision[:12]}" if model.revision else "")
    return _distinct_texts(rows["model"]) or planned


def _requests(answered: pd.DataFrame, prompts: Prompts) -> str:
    """Number of requests at each point and their tokens: as counted, or as planned where nothing was measured."""
    source = "generated prompts" if prompts.source == "generated" else f"prompts of {Path(prompts.source).name}"
    if answered.empty:
        return f"{prompts.count:,} a point planned, {source}, {prompts.output_tokens:,} tokens out"
    prompt_tokens, output_tokens = (
        (answered[f"{kind}_tokens"] / answered["requests_ok"]).mean() for kind in ("prompt", "output")
    )
    sent = answered[["requests_ok", "requests_short", "requests_failed"]].sum(axis=1)
    tokens = [
        f"{format_short(mean)} tokens {direction}"
        for mean, direction in ((prompt_tokens, "in"), (output_tokens, "out"))
        if mean > 0
    ]
    means = f", on average {' and '.join(tokens)}" if tokens else ""
    return f"{_count_range(sent)} a point, {source}{means}"


def _host(record: Mapping[str, Any]) -> str:
    host = record.get("host") or {}
    cpus = f"{host['logical_cpus']} logical CPUs" if host.get("logical_cpus") else ""
    cpu_text = ", ".join(filter(None, (str(host.get("cpu") or ""), cpus)))
    return _with_parentheses(str(host.get("name") or "unnamed"), cpu_text)


def _devices(rows: pd.DataFrame) -> str:
    devices = "; ".join(
        _with_parentheses(gpu, _distinct_texts(gpu_rows["gpu_name"])) for gpu, gpu_rows in _groups_of(rows, "gpu")
    )
    driver = _distinct_texts(rows["driver"])
    return f"{devices}; driver {driver}" if driver else devices


def _date_range(records: Iterable[Mapping[str, Any]]) -> str:
    """Dates from the first launch to the last."""
    launches = [launch for record in records for launch in record.get("launches") or []]
    seconds = [anchor["unix_s"] for launch in launches if "unix_s" in (anchor := launch.get("anchor") or {})]
    days = (datetime.fromtimestamp(pick(seconds), UTC).strftime("%Y-%m-%d") for pick in (min, max) if seconds)
    return " to ".join(dict.fromkeys(days))


def _groups_of(rows: pd.DataFrame, axis: str) -> Iterator[tuple[str, pd.DataFrame]]:
    return ((str(level), group) for level, group in rows.groupby(axis, sort=False))


def _distinct_texts(values: "pd.Series[str]") -> str:
    """The different texts, in their order, separated by commas."""
    return ", ".join(text for text in dict.fromkeys(values) if text)


def _with_parentheses(name: str, details: str) -> str:
    return f"{name} ({details})" if details else name


def _count_range(values: "pd.Series[float]") -> str:
    low, high = format_count(values.min()), format_count(values.max())
    return low if low == high else f"{low}{DASH}{high}"
