"""A session's raw records, read back for its timeline. What is missing or damaged is said, not raised."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from servegrid.engines.base import Metrics
from servegrid.records.paths import launch_folder
from servegrid.records.read import Damaged, read_record, read_table
from servegrid.records.schema import SERVER_METRICS, TELEMETRY
from servegrid.util.text import clip, plain

Read = Callable[[Path, pa.Schema], pd.DataFrame]


@dataclass(frozen=True)
class LoadBand:
    """One load: its label (the client threads), window in s of the host's clock, outcome, and requests in flight.

    `begun_s` is when its warm-up began; None if unknown.
    """

    label: str
    begun_s: float | None
    start_s: float
    end_s: float
    status: str
    reason: str
    in_flight: "pd.Series[float]"


@dataclass(frozen=True)
class LaunchRecord:
    """One life of the server. Instants in s of the host's clock, None where not reached; frames as in `records`."""

    number: int
    launched_s: float
    listening_s: float | None
    ready_s: float | None
    stopping_s: float | None
    stopped_s: float | None
    telemetry: pd.DataFrame
    server: pd.DataFrame
    loads: tuple[LoadBand, ...]


@dataclass(frozen=True)
class Recording:
    """A session: its name in words, how it ended, its launches, and what could not be read."""

    name: str
    outcome: str
    launches: tuple[LaunchRecord, ...]
    metrics: Metrics
    damage: tuple[str, ...]


def read_recording(folder: Path, samples: bool = True) -> Recording:
    """Read the session in `folder`; without `samples` only its instants: all frames and series are without rows then.

    Raises:
        Damaged: session.json is missing or no JSON object.
        LookupError: it is no session's.
    """
    session = read_record(folder / "session.json")
    damage: list[str] = []
    loads, read = _loads(folder, damage), partial(_read, damage) if samples else _unread
    launches = tuple(_launch(folder, record, loads, damage, read) for record in session.get("launches", []))
    reason = plain(str(session.get("reason") or ""))
    outcome = (
        ""
        if session.get("status") == "ok"
        else f"{plain(str(session.get('status')))}: {reason or 'no reason recorded'}"
    )
    return Recording(_name(session), outcome, launches, _metrics(session), tuple(dict.fromkeys(damage)))


def _loads(folder: Path, damage: list[str]) -> list[dict[str, Any]]:
    """The loads that have a window, in the order they ran, each with its `folder`."""
    loads = []
    for path in sorted(folder.glob("loads/*/load.json")):
        try:
            load = read_record(path) | {"folder": path.parent}
        except Damaged as error:
            damage.append(f"{path.parent.name}: {error}")
            continue
        if load.get("start_s") is None or load.get("end_s") is None:
            damage.append(f"{path.parent.name} never began")
        else:
            loads.append(load)
    return sorted(loads, key=lambda load: load["start_s"])


def _name(session: dict[str, Any]) -> str:
    server = session.get("server") or {}
    speculation = server.get("speculation") or {}
    kind, length = speculation.get("kind", "unknown"), speculation.get("length")
    parts = [
        f"{session.get('engine')}, {session.get('gpu')}",
        f"speculation {kind}:{length}" if length else f"speculation {kind}",
        f"quantization {server.get('quantization')}",
        f"session {session.get('rep')}",
    ]
    return plain(", ".join(clip(part, 60) for part in parts))


def _metrics(session: dict[str, Any]) -> Metrics:
    """The engine's names of its own metrics, or none where the engine is not known."""
    from servegrid import engines

    name = (session.get("server") or {}).get("engine")
    return engines.get(name).metrics if name in engines.names() else Metrics()


def _launch(
    folder: Path, record: dict[str, Any], loads: list[dict[str, Any]], damage: list[str], read: Read
) -> LaunchRecord:
    number = int(record["number"])
    files = launch_folder(folder, number)
    start_up = record.get("start_up") or {}
    if record.get("telemetry_error"):
        damage.append(f"telemetry of launch {number}: {plain(str(record['telemetry_error']))[:120]}")
    return LaunchRecord(
        number=number,
        launched_s=start_up.get("launched_s") or record["anchor"]["monotonic_s"],
        listening_s=start_up.get("listening_s"),
        ready_s=start_up.get("ready_s"),
        stopping_s=record.get("stopping_s"),
        stopped_s=record.get("stopped_s"),
        telemetry=read(files / "telemetry.parquet", TELEMETRY),
        server=read(files / "server_metrics.parquet", SERVER_METRICS),
        loads=tuple(_band(load, read) for load in loads if load.get("launch", number) == number),
    )


def _band(load: dict[str, Any], read: Read) -> LoadBand:
    folder: Path = load["folder"]
    return LoadBand(
        label=folder.name.rpartition("-")[0].removeprefix("threads-") or folder.name,
        begun_s=load.get("begun_s"),
        start_s=load["start_s"],
        end_s=load["end_s"],
        status=load.get("status", "ok"),
        reason=plain(str(load.get("reason") or "")),
        in_flight=_in_flight(folder / "requests.parquet", read),
    )


def _in_flight(path: Path, read: Read) -> "pd.Series[float]":
    """Requests sent and not yet ended, as the client saw it: a step at each instant (index in s)."""
    sent_and_end = pa.schema([("sent_s", pa.float64()), ("end_s", pa.float64())])
    requests = read(path, sent_and_end).dropna()
    instants = np.concatenate([requests["sent_s"], requests["end_s"]])
    steps = np.repeat([1.0, -1.0], len(requests))
    order = np.argsort(instants, kind="stable")
    return pd.Series(np.cumsum(steps[order]), index=instants[order])


def _read(damage: list[str], path: Path, schema: pa.Schema) -> pd.DataFrame:
    """The columns of `schema` from a Parquet file, without rows if there is no such file or it is damaged."""
    try:
        frame: pd.DataFrame = read_table(path, schema.names).to_pandas()
        return frame
    except Damaged as error:
        damage.append(str(error))
        return _unread(path, schema)


def _unread(_: Path, schema: pa.Schema) -> pd.DataFrame:
    nothing: pd.DataFrame = schema.empty_table().to_pandas()
    return nothing
