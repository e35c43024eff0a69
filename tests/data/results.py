"""Result folders of made-up sweeps, in the real formats, with effects planted in them: for tests of collect and its bench."""

import hashlib
import random
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from servegrid.config import parse_config
from servegrid.plan.grid import Grid, Load, Session
from servegrid.plan.resolve import resolve
from servegrid.records.paths import load_folder, session_folder
from servegrid.records.schema import FORMAT, REQUESTS, SERVER_METRICS, TELEMETRY, TEXTS, write_table
from servegrid.util.files import write_json

GPU = "GPU-1"
WORDS = [
    "the",
    "server",
    "sent",
    "a",
    "long",
    "answer",
    "about",
    "rivers",
    "and",
    "towns",
    "while",
    "nobody",
    "asked",
    "for",
    "more",
    "than",
    "one",
    "of",
    "them",
]


@dataclass(frozen=True)
class Plan:
    """What is planted in one load.

    Attributes:
        requests: how many, in a closed loop of the load's threads.
        chunks: events of each request; one token each.
        request_s: time of a request; its noise is `noise` of it.
        columns: of `records.schema.REQUESTS`, in place of what is made of the rest.
        client_share: of the client's ceiling; None if it was not calibrated.
        turnaround_s: from a thread's answer to its next request.
        growth: by what share requests are slower at the end than at the begin.
        text: prompt number -> the answer.
        telemetry: device -> column -> value, or a function of the instant in s.
        interval_s: between two samples.
    """

    requests: int = 60
    chunks: int = 8
    request_s: float = 1.0
    noise: float = 0.02
    growth: float = 0.0
    columns: Mapping[str, Any] = field(default_factory=dict)
    client_share: float | None = None
    turnaround_s: float = 0.0
    text: Callable[[int], str] = lambda number: sentence(number)
    telemetry: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    interval_s: float = 0.5


@lru_cache(maxsize=10_000)
def sentence(seed: int, length: int = 60) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=length))


def made_config(**changes: Any) -> dict[str, Any]:
    """A small config with one engine, changed by `changes`."""
    raw = {
        "engines": {"llamacpp": {"runtime": "command", "command": ["/llama-server"], "version": "1"}},
        "grid": {"engine": ["llamacpp"], "threads": [4]},
        "report": {"baseline": {"speculation": "none", "quantization": "none"}},
    }
    return raw | changes


def made_grid(**changes: Any) -> Grid:
    """The grid of a small config."""
    config = parse_config(made_config(**changes))
    return Grid(config, replace(resolve(config), absent_devices={}))


def write_results(grid: Grid, results: Path, plan: Callable[[Session, Load], Plan] = lambda *_: Plan()) -> None:
    """Write every session of the grid."""
    for session in grid.sessions:
        write_session(session, results, plan)


def write_session(session: Session, results: Path, plan: Callable[[Session, Load], Plan]) -> None:
    """Write one session: its loads one after another, and its telemetry."""
    start_s = 1000.0 * session.rep + 50
    folder, samples = session_folder(results, session), []
    launched_s, begun_s = start_s - 10, start_s
    for number, load in enumerate(session.loads):
        planned = plan(session, load)
        table = made_requests(planned, begun_s, load.threads or 1, seed=session.rep * 100 + number)
        end_s = float(np.max(table["end_s"]))
        _write_load(load_folder(folder, load), load, table, planned, (begun_s, end_s))
        samples += _samples(planned, begun_s if number else launched_s - 5, end_s + 2)
        begun_s = end_s + 2
    write_table(folder / "telemetry.parquet", pa.Table.from_pylist(samples, schema=TELEMETRY))
    write_table(folder / "server_metrics.parquet", SERVER_METRICS.empty_table())
    gpus = sorted({row["device"] for row in samples if row["device"].startswith("GPU")})
    write_json(folder / "session.json", _record(session, launched_s, start_s, begun_s, gpus))


def made_requests(plan: Plan, begun_s: float, threads: int, seed: int) -> pa.Table:
    """A closed loop in which each thread sends the next request when the last is answered."""
    rounds = -(-plan.requests // threads)
    drift = 1 + plan.growth * np.linspace(0, 1, rounds)[:, None]
    noise = 1 + plan.noise * np.random.default_rng(seed).standard_normal((rounds, threads))
    took = plan.request_s * drift * noise
    ends = np.cumsum(took + plan.turnaround_s, axis=0)
    sent = (begun_s + ends - took).ravel()[: plan.requests]
    took = took.ravel()[: plan.requests]
    place = np.arange(plan.requests)
    offsets = (took[:, None] * np.linspace(0.2, 1, plan.chunks)).ravel()
    starts = pa.array(np.arange(plan.requests + 1) * plan.chunks, pa.int32())
    columns: dict[str, Any] = {
        "request_id": [f"r{n}" for n in place],
        "prompt_id": [f"p{n}" for n in place],
        "thread": place % threads,
        "sent_s": sent,
        "first_token_s": sent + 0.2 * took,
        "last_token_s": sent + took,
        "end_s": sent + took,
        "chunk_offsets_s": pa.ListArray.from_arrays(starts, pa.array(offsets)),
        "bytes_received": np.full(plan.requests, 900),
        "prompt_tokens": np.full(plan.requests, 20),
        "output_tokens": np.full(plan.requests, plan.chunks),
        "max_tokens": np.full(plan.requests, plan.chunks),
        "tokens_from": ["usage"] * plan.requests,
        "status": ["ok"] * plan.requests,
        "text_sha256": [_hash(plan.text(n)) for n in range(plan.requests)],
    }
    columns |= plan.columns
    nothing = pa.nulls(plan.requests)
    arrays = [pa.array(columns[name]) if name in columns else nothing for name in REQUESTS.names]
    return pa.table([array.cast(REQUESTS.field(n).type) for n, array in enumerate(arrays)], schema=REQUESTS)


@lru_cache(maxsize=100_000)
def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _write_load(folder: Path, load: Load, table: pa.Table, plan: Plan, window: tuple[float, float]) -> None:
    texts = pa.table([table["request_id"], table["prompt_id"], [plan.text(n) for n in range(len(table))]], schema=TEXTS)
    write_table(folder / "texts.parquet", texts)
    write_table(folder / "requests.parquet", table)
    start_s, end_s = window
    record = {"format": FORMAT, "id": load.id, "launch": 1, "status": "ok", "reason": None, "begun_s": start_s - 0.5}
    record |= {"client_share": plan.client_share}
    write_json(folder / "load.json", record | {"start_s": start_s, "end_s": end_s, "client_cpu_s": 0.1})


def _samples(plan: Plan, start_s: float, end_s: float) -> list[dict[str, Any]]:
    instants = np.arange(start_s, end_s, plan.interval_s).tolist()
    return [
        {
            "t_s": t,
            "device": device,
            **{name: value(t) if callable(value) else value for name, value in columns.items()},
        }
        for t in instants
        for device, columns in plan.telemetry.items()
    ]


def _record(session: Session, launched_s: float, ready_s: float, end_s: float, gpus: list[str]) -> dict[str, Any]:
    launch = {
        "number": 1,
        "status": "ok",
        "anchor": {"monotonic_s": launched_s, "unix_s": 1.7e9 + launched_s},
        "gpus": gpus,
        "gpu_facts": [{"name": "A GPU", "driver_version": "1"} for _ in gpus],
        "start_up": {"launched_s": launched_s, "ready_s": ready_s},
        "stopped_s": end_s,
    }
    server = session.server
    return {
        "format": FORMAT,
        "status": "ok",
        "reason": None,
        "engine": server.name,
        "gpu": server.gpu,
        "rep": session.rep,
        "server": {
            "engine": server.spec.engine,
            "version": "1",
            "runtime": "command",
            "model": {"name": "m"},
            "speculation": asdict(server.spec.speculation),
        },
        "host": {"name": "box", "logical_cpus": 4},
        "launches": [launch],
    }
