"""From raw records to one row per point. Repeats are pooled where requests are pooled, and averaged where sessions count."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from servegrid import engines, metrics
from servegrid.elsewhere import merged
from servegrid.files import read_json
from servegrid.grid import Grid, Point, Session, matches
from servegrid.session import launch_folder
from servegrid.state import load_folder, session_folder
from servegrid.window import Window, hardware_columns, server_columns, startup_s

Row = dict[str, Any]
COLUMNS = (
    ["status", "reason", "sessions", "time_s", "time_s_low", "time_s_high", "tail_s", "steady_s"]
    + ["requests_ok", "requests_short", "requests_failed", "prompt_tokens", "output_tokens", "tokens_from"]
    + ["requests_per_s", "output_tokens_per_s", "total_tokens_per_s", "goodput_requests_per_s"]
    + ["steady_output_tokens_per_s"]
    + [f"{metric}_ms_p{percent}" for metric in metrics.LATENCIES for percent in metrics.PERCENTILES]
    + ["startup_s", "running_mean", "waiting_max", "kv_cache_max", "acceptance_rate", "acceptance_length"]
    + ["vram_used_gib", "vram_total_gib", "gpu_util_mean", "power_w_mean", "energy_j", "j_per_output_token"]
    + ["server_cpu_percent_mean", "server_memory_gib_max", "usd_per_million_output_tokens"]
    + ["agreement", "agreement_floor", "client_cpu_s", "client_share", "client_bound"]
    + ["lateness_ms_p99", "turnaround_ms_p99", "stamp_late_ms_p99"]
    + [
        "engine_version",
        "runtime",
        "copies",
        "image_digest",
        "model",
        "host",
        "gpu_name",
        "driver",
        "server_id",
        "load_id",
    ]
)


@dataclass(frozen=True)
class Measured:
    """One load of one session, read back from disk."""

    folder: Path
    session: dict[str, Any]
    load: dict[str, Any]

    @cached_property
    def requests(self) -> metrics.Requests:
        """All requests of the load."""
        return metrics.Requests(pq.read_table(self.folder / "requests.parquet"))

    @cached_property
    def launch(self) -> dict[str, Any]:
        """The launch of the server that the load ran on."""
        launches: list[dict[str, Any]] = self.session["launches"]
        return next(launch for launch in launches if launch["number"] == self.load["launch"])

    @cached_property
    def window(self) -> Window:
        """Telemetry during the load."""
        folder = launch_folder(self.folder.parents[1], self.load["launch"])
        return Window.of(folder, self.load["start_s"], self.load["end_s"])

    @cached_property
    def texts(self) -> dict[str, str]:
        """Text hash by prompt id, of ok requests."""
        ok = self.requests.ok
        return dict(zip(ok["prompt_id"].to_pylist(), ok["text_sha256"].to_pylist(), strict=True))


def collect(grid: Grid, results: Path) -> pd.DataFrame:
    """One row per point of the grid, in its order: axes, then COLUMNS; failures and skips included."""
    reader = _Reader(grid, results)
    rows = [reader.row(point) for point in grid.points]
    frame = pd.DataFrame(rows, columns=[*grid.axes, *COLUMNS])
    return frame.astype({axis: str for axis in grid.axes if axis != "threads"})


class _Reader:
    """Reads each session once; sessions are found by server."""

    def __init__(self, grid: Grid, results: Path) -> None:
        self.grid, self.results = grid, results
        self._sessions: dict[str, list[Session]] = {}
        for session in grid.sessions:
            self._sessions.setdefault(session.server.id, []).append(session)
        self._merged = merged(grid, [Path(folder) for folder in grid.config.report.also_from])
        self._sessions |= {id: sessions for id, (_, sessions) in self._merged.items()}
        self._records: dict[str, dict[str, Any] | None] = {}

    @cached_property
    def baseline(self) -> list[dict[str, str]]:
        """Texts of the baseline point, session by session; empty if there is none."""
        point = next((point for point in self.grid.points if self._is_baseline(point)), None)
        return [measured.texts for measured in self._measured(point)] if point else []

    def _is_baseline(self, point: Point) -> bool:
        wanted = self.grid.config.report.baseline or {"speculation": ["none", 0], "quantization": "none"}
        return not self._skipped(point) and matches(point.axes, wanted) and bool(list(self._measured(point)))

    def _skipped(self, point: Point) -> bool:
        """A point whose device is absent here is a row like any other where another host has measured it."""
        return point.skip is not None and point.server.id not in self._merged

    def _folder(self, session: Session) -> Path:
        home = self._merged[session.server.id][0] if session.server.id in self._merged else self.results
        return session_folder(home, session)

    def row(self, point: Point) -> Row:
        axes = dict(point.axes)
        if point.skip and self._skipped(point):
            return axes | {"status": point.skip.status, "reason": point.skip.reason, "sessions": 0}
        measured = list(self._measured(point))
        row = axes | self._outcome(point, measured) | {"server_id": point.server.id, "load_id": point.load.id}
        return row | self._numbers(point, [one for one in measured if one.load["status"] != "failed"])

    def _measured(self, point: Point) -> Iterator[Measured]:
        for session in self._sessions.get(point.server.id, []):
            folder = load_folder(self._folder(session), point.load)
            record = self._record(session)
            if record and (folder / "load.json").exists():
                yield Measured(folder, record, read_json(folder / "load.json"))

    def _record(self, session: Session) -> dict[str, Any] | None:
        path = self._folder(session) / "session.json"
        if session.id not in self._records:
            self._records[session.id] = read_json(path) if path.exists() else None
        return self._records[session.id]

    def _outcome(self, point: Point, measured: list[Measured]) -> Row:
        """Status of the point: ok if every session is, failed if none has a number, else partial; with the reasons."""
        good = [one for one in measured if one.load["status"] == "ok"]
        some = [one for one in measured if one.load["status"] != "failed"]
        wanted = self._sessions.get(point.server.id, [])
        reasons = [one.load["reason"] for one in measured if one.load["reason"]] + self._start_failures(wanted)
        missing = len(wanted) - len(measured) - len(self._start_failures(wanted))
        if missing > 0 and not reasons:
            reasons = [f"{missing} of {len(wanted)} sessions not measured"]
        status = "ok" if len(good) == len(wanted) else "partial" if some else "failed"
        return {"status": status, "reason": "; ".join(dict.fromkeys(reasons)) or None, "sessions": len(some)}

    def _start_failures(self, sessions: list[Session]) -> list[str]:
        records = [self._record(session) for session in sessions]
        return [str(record["reason"]) for record in records if record and record["status"] == "failed"]

    def _numbers(self, point: Point, measured: list[Measured]) -> Row:
        if not measured:
            return {}
        pooled = metrics.Requests(pa.concat_tables([one.requests.table for one in measured]))
        row = (
            _times(measured) | _counts(measured) | _latencies(pooled) | _means([self._during(one) for one in measured])
        )
        row |= {"acceptance_rate": metrics.acceptance_rate(pooled)}
        row |= {"client_bound": metrics.client_bound(*(row[name] for name in metrics.PACE))}
        row |= self._cost(point, row) | self._sameness(measured) | _provenance(measured[0])
        return row

    def _during(self, one: Measured) -> dict[str, float | None]:
        engine = engines.get(one.session["server"]["engine"])
        load = one.load
        return {
            "startup_s": startup_s(one.launch),
            "client_cpu_s": load["client_cpu_s"],
            "turnaround_ms_p99": metrics.percentile(metrics.turnaround_ms(one.requests), 99),
            "client_share": load.get("client_share"),
            "stamp_late_ms_p99": load.get("stamp_late_ms_p99"),
            "steady_s": metrics.steady_s(one.requests),
            "steady_output_tokens_per_s": metrics.steady_output_tokens_per_s(one.requests),
            **server_columns(one.window, engine.metrics, copies(one.session)),
            **hardware_columns(one.window, one.launch["gpus"]),
        }

    def _cost(self, point: Point, row: Row) -> Row:
        price, tokens = self.grid.config.devices[point.server.gpu].usd_per_hour, row.get("output_tokens")
        cost: Row = {}
        if tokens and row.get("energy_j") is not None:
            cost["j_per_output_token"] = row["energy_j"] / tokens
        if tokens and price is not None and row.get("time_s"):
            cost["usd_per_million_output_tokens"] = price / 3600 * row["time_s"] / tokens * 1e6
        return cost

    def _sameness(self, measured: list[Measured]) -> Row:
        if not self.baseline:
            return {}
        texts = [one.texts for one in measured]
        floor = metrics.agreement(self.baseline[1:], self.baseline[0])
        return {"agreement": metrics.agreement(texts, self.baseline[0]), "agreement_floor": floor}


def _times(measured: list[Measured]) -> Row:
    """Mean over sessions, with the lowest and the highest of them."""
    times = [time for one in measured if (time := metrics.time_s(one.requests)) is not None]
    tails = [tail for one in measured if (tail := metrics.tail_s(one.requests)) is not None]
    if not times:
        return {}
    spread = {"time_s": fmean(times), "time_s_low": min(times), "time_s_high": max(times)}
    return spread | {"tail_s": fmean(tails) if tails else None}


def _counts(measured: list[Measured]) -> Row:
    """Requests and tokens of one session (the mean over sessions), and rates over the time to complete."""
    rows = [_session_counts(one.requests) for one in measured]
    means = _means(rows)
    whole = ("requests_ok", "requests_short", "requests_failed", "prompt_tokens", "output_tokens")
    counts: Row = {
        name: round(value) if name in whole and value is not None else value for name, value in means.items()
    }
    return counts | {"tokens_from": metrics.tokens_from(measured[0].requests)}


def _session_counts(requests: metrics.Requests) -> dict[str, float | None]:
    seconds = metrics.time_s(requests)
    prompt, output = (metrics.tokens(requests, name) for name in ("prompt_tokens", "output_tokens"))
    total = prompt + output if prompt is not None and output is not None else None
    return {
        "requests_ok": len(requests.ok),
        "requests_short": requests.count("short"),
        "requests_failed": len(requests.table) - len(requests.ok) - requests.count("short"),
        "prompt_tokens": prompt,
        "output_tokens": output,
        "requests_per_s": metrics.per_second(len(requests.ok), seconds),
        "output_tokens_per_s": metrics.per_second(output, seconds),
        "total_tokens_per_s": metrics.per_second(total, seconds),
    }


def _latencies(pooled: metrics.Requests) -> Row:
    values = {
        "ttft": metrics.ttft_ms(pooled),
        "itl": metrics.itl_ms(pooled),
        "chunk_gap": metrics.chunk_gaps_ms(pooled),
        "tpot": metrics.tpot_ms(pooled),
        "e2e": metrics.e2e_ms(pooled),
        "ttft_planned": metrics.after_planned_ms(pooled, "first_token_s"),
        "e2e_planned": metrics.after_planned_ms(pooled, "end_s"),
    }
    row: Row = {
        f"{name}_ms_p{percent}": metrics.percentile(series, percent)
        for name, series in values.items()
        for percent in metrics.PERCENTILES
    }
    return row | {"lateness_ms_p99": metrics.percentile(metrics.lateness_ms(pooled), 99)}


def copies(session: dict[str, Any]) -> int:
    """How many servers stood behind the balancer; 1: no balancer."""
    server = session["server"]
    return int(server.get("replicas", 1) * server.get("sharing", 1))


def _means(rows: list[dict[str, float | None]]) -> dict[str, float | None]:
    """Mean of each key over the rows that know it."""
    keys = dict.fromkeys(key for row in rows for key in row)
    known = {key: [value for row in rows if (value := row.get(key)) is not None] for key in keys}
    return {key: fmean(values) if values else None for key, values in known.items()}


def _provenance(one: Measured) -> Row:
    server, gpus = one.session["server"], one.launch.get("gpu_facts") or []
    return {
        "engine_version": one.launch.get("engine_version") or server["version"],
        "image_digest": one.launch.get("image_digest"),
        "runtime": server["runtime"],
        "copies": copies(one.session),
        "model": one.launch.get("model") or server["model"]["name"],
        "host": one.session["host"]["name"] if server["runtime"] != "url" else None,
        "gpu_name": ", ".join(gpu["name"] for gpu in gpus) or None,
        "driver": gpus[0].get("driver_version") if gpus else None,
    }
