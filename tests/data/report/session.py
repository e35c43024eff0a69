"""Raw records of made-up sessions, for the tests of the timeline."""

import math
from pathlib import Path
from typing import Any

import pyarrow as pa

from servegrid.records.schema import SERVER_METRICS, TELEMETRY, RequestRecord, write_requests, write_table
from servegrid.util.files import write_json

START_S = 5000.0
GIB = 1024**3


def write_session(
    folder: Path,
    loads: dict[int, tuple[float, float]] | None = None,
    gpus: tuple[str, ...] = (),
    engine: str = "llamacpp",
    hole: tuple[float, float] | None = None,
    failed: int | None = None,
    second_launch_from: int | None = None,
) -> Path:
    """Write a session into `folder`.

    Args:
        folder: the session's folder.
        loads: client threads -> window, in seconds after the first launch.
        gpus: UUIDs.
        engine: the engine that ran.
        hole: seconds during which nothing was sampled.
        failed: client threads of a load during which the server died.
        second_launch_from: client threads from which on loads ran on a second launch of the server.
    """
    loads = loads or {1: (4, 40), 4: (41, 58), 16: (59, 68), 64: (69, 76)}
    parts = [{t: w for t, w in loads.items() if second_launch_from is None or t < second_launch_from}]
    if second_launch_from is not None:
        parts.append({t: w for t, w in loads.items() if t >= second_launch_from})
    launches = []
    for number, part in enumerate(parts, 1):
        start = min(w[0] for w in part.values()) - 4
        stop = max(w[1] for w in part.values()) + 1
        launches.append(_launch(number, start, stop))
        files = folder if number == len(parts) else folder / "launches" / str(number)
        _write_telemetry(files, start, stop, part, gpus, hole)
        for threads, window in part.items():
            _write_load(folder, threads, window, number, "failed" if threads == failed else "ok")
    write_json(folder / "session.json", _session(engine, launches))
    return folder


def _session(engine: str, launches: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "status": "ok",
        "reason": None,
        "engine": engine,
        "gpu": "cpu",
        "rep": 1,
        "server": {"engine": engine, "speculation": {"kind": "ngram", "length": 2}, "quantization": "int8"},
        "launches": launches,
    }


def _launch(number: int, start: float, stop: float) -> dict[str, Any]:
    return {
        "number": number,
        "status": "ok",
        "anchor": {"monotonic_s": START_S + start - 0.1, "unix_s": 1.7e9},
        "start_up": {
            "launched_s": START_S + start,
            "listening_s": START_S + start + 1,
            "ready_s": START_S + start + 2.5,
        },
        "stopping_s": START_S + stop,
        "stopped_s": START_S + stop + 1.5,
    }


def _write_load(folder: Path, threads: int, window: tuple[float, float], launch: int, status: str) -> None:
    start, end = START_S + window[0], START_S + window[1]
    place = folder / "loads" / f"threads-{threads}-0a1b2c3d"
    step = (end - start) / (24 + threads)
    requests = [
        RequestRecord(
            f"r{n}",
            f"p{n}",
            32,
            "ok",
            sent_s=start + max(0, n - threads) * step,
            end_s=start + (n + 1) * (end - start) / 24,
        )
        for n in range(24)
    ]
    write_requests(place, requests)
    reason = "the server died under this load: signal 9 (SIGKILL)" if status == "failed" else None
    write_json(
        place / "load.json",
        {"status": status, "reason": reason, "begun_s": start - 0.8, "start_s": start, "end_s": end, "launch": launch},
    )


def _write_telemetry(
    files: Path,
    start: float,
    stop: float,
    loads: dict[int, tuple[float, float]],
    gpus: tuple[str, ...],
    hole: tuple[float, float] | None,
) -> None:
    samples, series = [], []
    for step in range(int((stop + 2.5 - start) * 2)):
        t = start - 0.5 + step / 2
        if hole and hole[0] <= t <= hole[1]:
            continue
        busy = max((min(threads, 2) for threads, (a, b) in loads.items() if a <= t <= b), default=0)
        waiting = max((max(0, threads - 4) for threads, (a, b) in loads.items() if a <= t <= b), default=0)
        wave = 1 + 0.1 * math.sin(t)
        up = start < t < stop + 1.5
        host = {"cpu_percent": 20 + 95 * busy * wave, "memory_bytes": int(5 * GIB), "memory_total_bytes": 16 * GIB}
        samples.append({"t_s": START_S + t, "device": "host", **host})
        if up:
            memory = int(GIB * (0.2 + min(t - start, 3) / 3))
            samples.append(
                {"t_s": START_S + t, "device": "server", "cpu_percent": 92 * busy * wave, "memory_bytes": memory}
            )
            series += [
                {
                    "t_s": START_S + t,
                    "name": "llamacpp:requests_processing",
                    "labels": "",
                    "value": float(4 if waiting else busy),
                },
                {"t_s": START_S + t, "name": "llamacpp:requests_deferred", "labels": "", "value": float(waiting)},
            ]
        for place, uuid in enumerate(gpus):
            card = {"gpu_percent": 45.0 * busy * wave, "memory_bytes": int((1 + 19 * up + place) * GIB)}
            error = "NVML: not supported: power" if place == 1 else None
            power = None if place == 1 else 60 + 110 * busy * wave
            samples.append({"t_s": START_S + t, "device": uuid, **card, "power_w": power, "error": error})
    write_table(files / "telemetry.parquet", pa.Table.from_pylist(samples, schema=TELEMETRY))
    write_table(files / "server_metrics.parquet", pa.Table.from_pylist(series, schema=SERVER_METRICS))
