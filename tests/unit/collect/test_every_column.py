"""Every column of the tables, read through collect from planted records: two GPUs, two rounds, first events of three tokens.

What is expected is worked out here from what was planted, by numpy and by hand.
"""

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from data.results import made_grid
from servegrid.collect.tables import Collected, collect
from servegrid.plan.grid import Session
from servegrid.records.paths import load_folder, session_folder
from servegrid.records.schema import FORMAT, SERVER_METRICS, TELEMETRY, RequestRecord, write_requests, write_table
from servegrid.results.columns import POINT_COLUMNS, SESSION_COLUMNS
from servegrid.util.files import write_json

GIB = 2**30
ROUNDS, THREADS, PER_THREAD = 2, 2, 60
SENT_S = 100.0
TAIL = " and so it ends"
NOT_HELD_HERE = {"steady_s", "steady_output_tokens_per_s"}
"""Of the steady state: tests/unit/metrics/test_request_metrics.py."""


@dataclass(frozen=True)
class Planted:
    """One request: three events of 3, 2 and 1 tokens."""

    round: int
    thread: int
    place: int
    sent_s: float

    @property
    def ttft_s(self) -> float:
        return 0.1 + 0.002 * (37 * self.place % PER_THREAD) + 0.05 * ((self.thread + self.place) % 2) + 0.1 * self.round

    @property
    def gaps_s(self) -> tuple[float, float]:
        return 0.02 + 0.0001 * self.place, 0.01 * self.round

    @property
    def turnaround_s(self) -> float:
        return 1e-5 * (self.place + 1) * self.round

    @property
    def end_s(self) -> float:
        return self.sent_s + self.ttft_s + sum(self.gaps_s) + 0.003

    @property
    def status(self) -> Any:
        """One request of thread 0 is short in every round, and one of thread 1 fails in the second."""
        return {(0, 7): "short", (1, 9): "error" if self.round == 2 else "ok"}.get((self.thread, self.place), "ok")

    def record(self, text: str, is_planned: bool) -> RequestRecord:
        first, last = self.sent_s + self.ttft_s, self.sent_s + self.ttft_s + sum(self.gaps_s)
        number = THREADS * self.place + self.thread
        return RequestRecord(
            request_id=f"r{number}",
            prompt_id=f"p{number}",
            max_tokens=6,
            status=self.status,
            thread=None if is_planned else self.thread,
            planned_s=self.sent_s - 1e-4 * self.place if is_planned else None,
            sent_s=self.sent_s,
            first_byte_s=first,
            first_token_s=first,
            last_token_s=last,
            end_s=self.end_s,
            chunk_offsets_s=np.cumsum([self.ttft_s, *self.gaps_s]).tolist(),
            chunk_tokens=[3, 5, 6],
            prompt_tokens=10 + self.thread,
            output_tokens=6,
            tokens_from="usage",
            cached_tokens=1 + self.thread,
            late_chunks=int(number == 0),
            own_tokens=9,  # the others are what prompts share
            drafted_tokens=4,
            accepted_tokens=3,
            text=text,
        )


def planted(round: int) -> list[Planted]:
    requests = []
    for thread in range(THREADS):
        sent_s = SENT_S * round
        for place in range(PER_THREAD):
            requests.append(Planted(round, thread, place, sent_s))
            sent_s = requests[-1].end_s + requests[-1].turnaround_s
    return sorted(requests, key=lambda request: (request.place, request.thread))


REQUESTS = {round: planted(round) for round in (1, 2)}
OK = [request for round in (1, 2) for request in REQUESTS[round] if request.status == "ok"]


def text(number: int) -> str:
    return f"This is the answer to the question with the number {number:03d}, in which a long sentence goes on to say something{TAIL}"


def answer(is_speculated: bool, round: int, number: int) -> str:
    """Half of the answers with speculation, and a fifth of those of the second round without, end otherwise."""
    differs = number % 2 == 0 if is_speculated else round == 2 and number % 5 == 0
    return text(number)[: -len(TAIL)] + "x" * len(TAIL) if differs else text(number)


def distance(first: str, second: str) -> float:
    ours, theirs = (Counter(side[n : n + 3] for n in range(len(side) - 2)) for side in (first, second))
    return sum(abs(ours[gram] - theirs[gram]) for gram in ours | theirs) / (sum(ours.values()) + sum(theirs.values()))


def samples(round: int, end_s: float) -> list[dict[str, Any]]:
    """Twice a second from 20 s before the load; the GPUs idle at 30 and 40 W until the launch, and draw 100 and 150 W then."""
    rows = []
    for t in np.arange(SENT_S * round - 20, end_s + 3, 0.5):
        idle = t < SENT_S * round - 10
        for uuid, watts, idle_watts, gib, percent in (
            ("GPU-a", 100.0, 30.0, 10, 40.0),
            ("GPU-b", 150.0, 40.0, 12, 60.0),
        ):
            memory = {
                "memory_bytes": int((gib + round + (t > end_s - 2)) * GIB) if t < end_s else 0,
                "memory_total_bytes": 24 * GIB,
            }
            power = {"power_w": idle_watts if idle else watts, "energy_j": watts * float(t), "throttle_reasons": 0}
            rows.append({"t_s": t, "device": uuid, "gpu_percent": percent * round, **memory, **power})
        rows.append({"t_s": t, "device": "server", "cpu_percent": 120.0 + 20 * round, "memory_bytes": round * 3 * GIB})
        rows.append({"t_s": t, "device": "host", "cpu_percent": 130.0 + 20 * round, "memory_bytes": 8 * GIB})
    return rows


def metrics(round: int, end_s: float) -> list[dict[str, Any]]:
    """Once a second: gauges that change at the middle, counters that grow from the load's begin on, of two engines of one server."""
    begin_s = SENT_S * round
    rows = []
    for t in np.arange(begin_s - 2, end_s + 2):
        late, seconds = t > (begin_s + end_s) / 2, max(0.0, t - begin_s)
        values = {
            "vllm:num_requests_running": 2.0 + round,
            "vllm:num_requests_waiting": 3.0 * round if late else 1.0,
            "vllm:kv_cache_usage_perc": 0.1 * round if late else 0.05,
            "vllm:spec_decode_num_drafts_total": 10 * seconds,
            "vllm:spec_decode_num_draft_tokens_total": 40 * seconds,
            "vllm:spec_decode_num_accepted_tokens_total": 20 * seconds,
        }
        for engine in ("0", "1"):
            rows += [
                {"t_s": t, "name": name, "labels": f'{{"engine": "{engine}"}}', "value": value}
                for name, value in values.items()
            ]
        rows.append(
            {"t_s": t, "name": "vllm:cache_config_info", "labels": '{"kv_cache_size_tokens": "4096"}', "value": 1.0}
        )
    return rows


def write(results: Path, session: Session, is_planned: bool) -> None:
    folder, (load,) = session_folder(results, session), session.loads
    requests, is_speculated = REQUESTS[session.rep], session.server.spec.speculation.kind != "none"
    records = [
        request.record(answer(is_speculated, session.rep, THREADS * request.place + request.thread), is_planned)
        for request in requests
    ]
    begin_s, end_s = SENT_S * session.rep, max(request.end_s for request in requests)
    write_requests(load_folder(folder, load), records)
    write_table(folder / "telemetry.parquet", pa.Table.from_pylist(samples(session.rep, end_s), schema=TELEMETRY))
    write_table(
        folder / "server_metrics.parquet", pa.Table.from_pylist(metrics(session.rep, end_s), schema=SERVER_METRICS)
    )
    window = {"begun_s": begin_s - 1, "start_s": begin_s, "end_s": end_s}
    client = {
        "client_cpu_s": 0.5 * session.rep,
        "client_share": 0.2 * session.rep,
        "stamp_late_ms_p99": 0.05 * session.rep,
    }
    outcome = {"format": FORMAT, "id": load.id, "launch": 1, "status": "ok", "reason": None}
    write_json(load_folder(folder, load) / "load.json", outcome | window | client)
    (folder / "server.log").write_text("engine: dtype=torch.bfloat16, kv_cache_dtype=fp8, device=cuda\n")
    write_json(folder / "session.json", record(session, begin_s, end_s))


def record(session: Session, begin_s: float, end_s: float) -> dict[str, Any]:
    facts = [{"name": name, "driver_version": "580.65"} for name in ("A GPU", "B GPU")]
    launch = {
        "number": 1,
        "status": "ok",
        "anchor": {"monotonic_s": begin_s - 10, "unix_s": 1.7e9 + begin_s},
        "gpus": ["GPU-a", "GPU-b"],
        "gpu_facts": facts,
        "image_digest": "sha256:0123",
        "model": "/models/m",
        "reported": {"version": "0.33.0"},
        "start_up": {"launched_s": begin_s - 10, "ready_s": begin_s - 10 + 3 * session.rep},
        "stopped_s": end_s + 2,
    }
    spec = session.server.spec
    server = {"engine": spec.engine, "version": "1", "runtime": "command", "model": {"name": "m"}}
    return {
        "format": FORMAT,
        "status": "ok",
        "reason": None,
        "engine": session.server.name,
        "gpu": session.server.gpu,
        "rep": session.rep,
        "server": server | {"speculation": asdict(spec.speculation)},
        "host": {"name": "box", "logical_cpus": 4},
        "launches": [launch],
    }


def collected(folder: Path, **load: Any) -> Collected:
    both = {"kind": "cuda", "name": "GPU", "count": 4, "usd_per_hour": 14.4}
    axes = {"gpu": ["both"], "threads": [THREADS], "tensor_parallel": [2], "speculation": ["none", "ngram:2"]}
    grid = made_grid(
        engines={"vllm": {"runtime": "command", "command": ["/vllm"], "version": "1"}},
        devices={"both": both},
        grid={"engine": ["vllm"], **axes},
        repeats=ROUNDS,
        report={
            "baseline": {"speculation": "none"},
            "slo": {"ttft_ms_p99": 301, "tpot_ms_p99": 15, "ttft_ms_p50": 250},
        },
        **({"load": load} if load else {}),
    )
    for session in grid.sessions:
        write(folder, session, bool(load))
    return collect(grid, folder)


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Collected:
    return collected(tmp_path_factory.mktemp("results"))


def mean(first: float, second: float) -> float:
    return (first + second) / 2


def times_s() -> list[float]:
    return [max(request.end_s for request in REQUESTS[round]) - SENT_S * round for round in (1, 2)]


def tails_s() -> list[float]:
    ends = {thread: [REQUESTS[r][-THREADS + thread].end_s for r in (1, 2)] for thread in range(THREADS)}
    return [abs(first - second) for first, second in zip(ends[0], ends[1], strict=True)]


def percentiles(latency: str, values_s: list[float]) -> dict[str, float]:
    return {f"{latency}_ms_p{percent}": 1e3 * float(np.percentile(values_s, percent)) for percent in (50, 90, 99)}


def latencies() -> dict[str, float]:
    gaps = [gap for request in OK for gap in request.gaps_s]
    shared = [share for request in OK for share in (request.gaps_s[0] / 2, request.gaps_s[0] / 2, request.gaps_s[1])]
    return (
        percentiles("ttft", [request.ttft_s for request in OK])
        | percentiles("chunk_gap", gaps)
        | percentiles("itl", shared)
        | percentiles("tpot", [sum(request.gaps_s) / 3 for request in OK])
        | percentiles("e2e", [request.end_s - request.sent_s for request in OK])
    )


def within_limits(round: int) -> int:
    ok = [request for request in OK if request.round == round]
    return sum(request.ttft_s <= 0.301 and sum(request.gaps_s) / 3 <= 0.015 for request in ok)


def expected() -> dict[str, Any]:
    times, counts = times_s(), [PER_THREAD * THREADS - 1, PER_THREAD * THREADS - 2]
    seconds = mean(*times)
    prompt = [sum(10 + request.thread for request in OK if request.round == round) for round in (1, 2)]
    energy = mean(*(250 * time for time in times))
    tokens = 6 * sum(counts)
    turnarounds = [
        1e3 * request.turnaround_s for request in REQUESTS[1] + REQUESTS[2] if request.place < PER_THREAD - 1
    ]
    differing = [text(n)[: -len(TAIL)] + "x" * len(TAIL) for n in range(0, 120, 2)]
    return latencies() | {
        "status": "ok",
        "reason": None,
        "sessions": 2,
        "time_s": seconds,
        "time_s_low": min(times),
        "time_s_high": max(times),
        "tail_s": mean(*tails_s()),
        "in_flight_mean": mean(*(sum(r.end_s - r.sent_s for r in REQUESTS[n]) / times[n - 1] for n in (1, 2))),
        "answers_end": "exact",
        "served_dtype": "bfloat16",
        "kv_cache_dtype": "fp8",
        "requests_ok": 118,  # of 119 and 118
        "requests_short": 1,
        "requests_failed": 1,  # of 0 and 1
        "prompt_tokens": round(mean(*prompt)),
        "output_tokens": 6 * 118.5,
        "tokens_from": "usage",
        "requests_per_s": mean(*(count / time for count, time in zip(counts, times, strict=True))),
        "output_tokens_per_s": mean(*(6 * count / time for count, time in zip(counts, times, strict=True))),
        "total_tokens_per_s": mean(*((6 * n + p) / time for n, p, time in zip(counts, prompt, times, strict=True))),
        "goodput_requests_per_s": mean(*(within_limits(round) / times[round - 1] for round in (1, 2))),
        "cache_policy": "cold (off)",
        "prefix_cache_hit_rate": mean(*(sum(1 + r.thread for r in OK if r.round == n) / prompt[n - 1] for n in (1, 2))),
        "startup_s": 4.5,
        "running_mean": 2 * mean(3, 4),
        "waiting_max": 2 * mean(3, 6),
        "kv_cache_max": 2 * mean(0.1, 0.2),
        "kv_cache_tokens": 4096,
        "acceptance_rate": 0.75,
        "acceptance_length": 1 + 2 * 0.75 / 0.5,  # the counters say 3 tokens a step at a rate of a half
        "vram_used_gib": mean(12 + 14, 13 + 15) - 2 + 2,
        "vram_total_gib": 48,
        "gpu_util_mean": mean(50, 100),
        "power_w_mean": 250,
        "energy_j": pytest.approx(energy, rel=0.02),
        "j_per_output_token": pytest.approx(2 * energy / tokens, rel=0.02),
        "idle_power_w": 70,
        "energy_above_idle_j": pytest.approx(180 / 250 * energy, rel=0.02),
        "j_per_output_token_above_idle": pytest.approx(2 * 180 / 250 * energy / tokens, rel=0.02),
        "output_tokens_per_s_per_gpu": mean(*(6 * n / time for n, time in zip(counts, times, strict=True))) / 2,
        "server_cpu_percent_mean": mean(140, 160),
        "server_memory_gib_max": mean(3, 6),
        "usd_per_million_output_tokens": 14.4 * 2 / 4 / 3600 * seconds / (6 * 118.5) * 1e6,
        "agreement": 119 / 237,  # the ok answers to odd numbers: without the one that failed
        "agreement_floor": 94 / 118,
        "divergence_characters_p50": len(text(0)) - len(TAIL),
        "divergence_characters_p50_floor": len(text(0)) - len(TAIL),
        "text_distance": distance(differing[0], text(0)),
        "text_distance_floor": distance(differing[0], text(0)),
        "garble": 0,
        "client_cpu_s": mean(0.5, 1),
        "client_share": mean(0.2, 0.4),
        "client_bound": False,
        "lateness_ms_p99": None,
        "turnaround_ms_mean": float(np.mean(turnarounds)),
        "turnaround_ms_p99": float(np.percentile(turnarounds, 99)),
        "stamps_shared": 2 / (2 * len(OK)),
        "stamp_late_ms_p99": mean(0.05, 0.1),
        "warnings": "speculation changes texts",
        "engine_version": "0.33.0",
        "runtime": "command",
        "copies": 1,
        "image_digest": "sha256:0123",
        "model": "/models/m",
        "host": "box",
        "gpu_name": "A GPU, B GPU",
        "driver": "580.65",
    }


PLANNED = [column for column in POINT_COLUMNS if "_planned_" in column] + ["lateness_ms_mean", "lateness_ms_p99"]


@pytest.mark.parametrize(
    "column", [column for column in POINT_COLUMNS if column not in NOT_HELD_HERE and column not in PLANNED]
)
def test_a_column(tables: Collected, column: str) -> None:
    _, row = tables.points.to_dict("records")
    if column.endswith("_id"):
        assert row[column] == tables.sessions[column].iloc[-1], "of the folders"
        return
    value, wanted = row[column], expected()[column]
    if wanted is None:
        assert pd.isna(value)
    else:
        assert value == (pytest.approx(wanted) if isinstance(wanted, float) else wanted)


@pytest.mark.parametrize("round", [1, 2])
def test_what_is_held_of_each_session(tables: Collected, round: int) -> None:
    row = tables.sessions.to_dict("records")[1 + round]
    assert list(tables.sessions.columns)[-len(SESSION_COLUMNS) :] == SESSION_COLUMNS and row["rep"] == round
    time, ok = times_s()[round - 1], [request for request in OK if request.round == round]
    assert row["time_s"] == pytest.approx(time) and row["requests_per_s"] == pytest.approx(len(ok) / time)
    for column, value in percentiles("ttft", [request.ttft_s for request in ok]).items():
        assert row[column] == pytest.approx(value)
    assert row["energy_j"] == pytest.approx(250 * time, rel=0.02)
    assert row["usd_per_million_output_tokens"] == pytest.approx(14.4 / 2 / 3600 * time / (6 * len(ok)) * 1e6)


def test_columns_of_planned_arrivals(tmp_path: Path) -> None:
    """Requests are sent 0.1 ms later than planned for each of their places, and no thread carries them."""
    _, row = collected(tmp_path, arrival="constant", rate=4).points.to_dict("records")
    late_s = {id(request): 1e-4 * request.place for request in OK}
    wanted = percentiles("ttft_planned", [request.ttft_s + late_s[id(request)] for request in OK])
    wanted |= percentiles("e2e_planned", [request.end_s - request.sent_s + late_s[id(request)] for request in OK])
    everyone = [0.1 * request.place for round in (1, 2) for request in REQUESTS[round]]
    wanted["lateness_ms_mean"] = float(np.mean(everyone))
    wanted["lateness_ms_p99"] = float(np.percentile(everyone, 99))
    assert {column: row[column] for column in PLANNED} == pytest.approx(wanted)
    assert pd.isna(row["turnaround_ms_p99"])
