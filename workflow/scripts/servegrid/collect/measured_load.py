"""A measured load, read back from disk, with all that is derived from it alone."""

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from servegrid import engines
from servegrid.engines.base import Engine, Metrics
from servegrid.engines.served_types import ServedTypes
from servegrid.metrics import arrivals, request_metrics, steady_state
from servegrid.metrics.energy import energy_columns, idle_power_w
from servegrid.metrics.telemetry import Samples, Window, hardware_columns, server_columns, startup_s
from servegrid.metrics.texts import ANSWER_COLUMNS, Answers
from servegrid.records.paths import launch_folder
from servegrid.records.read import damage, read_record, read_start, read_table
from servegrid.util.files import fingerprint


@dataclass(frozen=True)
class MeasuredLoad:
    """One load of one session.

    Attributes:
        folder: of the load, inside its session's.
        session: content of session.json.
        load: content of load.json.
    """

    folder: Path
    session: dict[str, Any]
    load: dict[str, Any]

    @cached_property
    def requests(self) -> request_metrics.Requests:
        """All requests of the load."""
        path, columns = self.folder / "requests.parquet", request_metrics.REQUEST_COLUMNS
        return request_metrics.Requests(read_table(path, columns, request_metrics.LATER_COLUMNS))

    @cached_property
    def time_s(self) -> float | None:
        """Time to complete, in s."""
        return request_metrics.time_s(self.requests)

    @cached_property
    def counts(self) -> dict[str, float | None]:
        """Requests and tokens, and rates over the time to complete."""
        requests, seconds = self.requests, self.time_s
        prompt, output = (request_metrics.token_sum(requests, name) for name in ("prompt_tokens", "output_tokens"))
        total = prompt + output if prompt is not None and output is not None else None
        ok, short = len(requests.ok), requests.count("short")
        return {
            "requests_ok": ok,
            "requests_short": short,
            "requests_failed": len(requests.table) - ok - short,
            "prompt_tokens": prompt,
            "output_tokens": output,
            "requests_per_s": request_metrics.per_second(ok, seconds),
            "output_tokens_per_s": request_metrics.per_second(output, seconds),
            "total_tokens_per_s": request_metrics.per_second(total, seconds),
        }

    @cached_property
    def latencies(self) -> dict[str, request_metrics.Floats]:
        """Values of every latency of results.columns.LATENCIES, in ms, ascending."""
        requests = self.requests
        latencies = {
            "ttft": request_metrics.ttft_ms(requests),
            "itl": request_metrics.itl_ms(requests),
            "chunk_gap": request_metrics.chunk_gaps_ms(requests),
            "tpot": request_metrics.tpot_ms(requests),
            "e2e": request_metrics.e2e_ms(requests),
            "ttft_planned": request_metrics.since_planned_send_ms(requests, "first_token_s"),
            "e2e_planned": request_metrics.since_planned_send_ms(requests, "end_s"),
        }
        return {name: request_metrics.ascending(values) for name, values in latencies.items()}

    @cached_property
    def is_held_back(self) -> bool:
        """Whether a server or proxy held events back."""
        most_per_step = arrivals.step_tokens(self.session["server"]["speculation"], self.requests)
        return arrivals.are_held_back(self.requests, most_per_step)

    @cached_property
    def answers(self) -> Answers:
        """Its answers, to be compared with another load's."""
        path = self.folder / "requests.parquet"
        return Answers(_read_answers(path, fingerprint(path)), (self.folder,))

    @cached_property
    def launch(self) -> dict[str, Any]:
        """Record of the launch of the server that the load ran on."""
        launches: list[dict[str, Any]] = self.session["launches"]
        return next(launch for launch in launches if launch["number"] == self.load["launch"])

    @property
    def is_salted(self) -> bool:
        """Whether its prompts stood behind salts, so that no other session has the same."""
        return "salt" in self.load.get("definition", {})

    @property
    def gpus(self) -> list[str]:
        """UUIDs of the GPUs that the server ran on."""
        uuids: list[str] = self.launch["gpus"]
        return uuids

    @cached_property
    def served_types(self) -> ServedTypes:
        """Number types that the server took."""
        engine, log = engines.get(self.session["server"]["engine"]), read_start(self.launch_folder / "server.log")
        return engine.served_types(self.launch.get("answers") or {}, log, self.launch.get("command") or ())

    @property
    def launch_folder(self) -> Path:
        """Folder with the telemetry of its launch."""
        return launch_folder(self.folder.parents[1], self.load["launch"])

    @cached_property
    def text_files(self) -> list[Path]:
        """Files that its answers are read from."""
        return [self.folder / "requests.parquet", self.folder / "texts.parquet"]

    @cached_property
    def files(self) -> list[Path]:
        """Files that its numbers and warnings are derived from; some may be missing."""
        records = [self.folder / "load.json", self.folder / "requests.parquet"]
        samples = [self.launch_folder / f"{name}.parquet" for name in ("telemetry", "server_metrics")]
        return [self.folder.parents[1] / "session.json", self.launch_folder / "server.log", *records, *samples]

    @property
    def requests_damage(self) -> str | None:
        """Reason why its requests cannot be read; None if they can."""
        reason = damage(self.folder / "requests.parquet")
        return f"session {self.session['rep']}: {reason}" if reason else None

    @property
    def samples_damaged(self) -> bool:
        """Whether telemetry or the server's metrics are there and cannot be read."""
        paths = (self.launch_folder / f"{name}.parquet" for name in ("telemetry", "server_metrics"))
        return any(path.exists() and damage(path) for path in paths)

    @cached_property
    def samples(self) -> Samples:
        """Telemetry of the whole launch."""
        return Samples.read(self.launch_folder)

    @cached_property
    def window(self) -> Window:
        """Telemetry during the load."""
        return self.samples.window(self.load["start_s"], self.load["end_s"])

    @property
    def copies(self) -> int:
        """Number of servers behind the balancer; 1: no balancer."""
        server = self.session["server"]
        return int(server.get("replicas", 1) * server.get("sharing", 1))

    @property
    def _kv_cache_tokens(self) -> dict[str, float | None]:
        """Column of the tokens that the KV caches hold, summed over copies; {} unless every server said so when it was asked."""
        servers = self.launch.get("copies") or [self.launch]
        reported = [(server.get("reported") or {}).get("kv_cache_tokens") for server in servers]
        tokens = [float(count) for count in reported if count is not None]
        return {"kv_cache_tokens": sum(tokens)} if len(tokens) == len(reported) else {}

    def _metrics(self, engine: Engine) -> Metrics:
        """Names of the server's metrics; without speculation none of its acceptance, which is 0 then and means nothing."""
        speculates = self.session["server"]["speculation"]["kind"] != "none"
        return (
            engine.metrics
            if speculates
            else replace(engine.metrics, acceptance_rate=None, acceptance_length=None, drafts=None)
        )

    @property
    def _prefix_cache_hit_rate(self) -> float | None:
        """Prompt tokens that were cached / all, by the answers, else by the server's counters."""
        by_answers, counted = request_metrics.prefix_cache_hit_rate(self.requests), self.load.get("counted")
        if by_answers is not None or not counted:
            return by_answers
        return float(counted["cached_tokens"] / counted["prompt_tokens"])

    @cached_property
    def unasked_hit_rate(self) -> float | None:
        """Prompt tokens that a load that was to be cold had cached, beyond what prompts share / all; None if warm or unknown."""
        if self.load.get("definition", {}).get("cache") == "warm":
            return None
        by_answers, counted = request_metrics.unasked_hit_rate(self.requests), self.load.get("counted")
        own_tokens = float(np.nansum(self.requests.column("own_tokens")))
        if by_answers is not None or not counted:
            return by_answers
        return float((counted["cached_tokens"] + own_tokens - counted["prompt_tokens"]) / counted["prompt_tokens"])

    @cached_property
    def load_columns(self) -> dict[str, float | None]:
        """Columns beside counts and latencies: start-up, client, steady state, server, hardware and energy."""
        engine = engines.get(self.session["server"]["engine"])
        idle_w = idle_power_w(self.samples, self.gpus, (self.launch.get("start_up") or {}).get("launched_s"))
        return {
            "startup_s": startup_s(self.launch),
            "client_cpu_s": self.load["client_cpu_s"],
            "client_share": self.load.get("client_share"),
            "stamp_late_ms_p99": self.load.get("stamp_late_ms_p99"),
            "prefix_cache_hit_rate": self._prefix_cache_hit_rate,
            "in_flight_mean": steady_state.in_flight_mean(self.requests),
            "steady_s": steady_state.steady_s(self.requests),
            "steady_output_tokens_per_s": steady_state.steady_output_tokens_per_s(self.requests),
            **server_columns(self.window, self._metrics(engine), self.copies),
            **self._kv_cache_tokens,
            **hardware_columns(self.window, self.gpus),
            **energy_columns(self.window, self.gpus, idle_w),
        }

    @cached_property
    def first_of_launch(self) -> bool:
        """Whether no other load ran on the server before."""
        loads = (read_record(path) for path in self.folder.parent.glob("*/load.json"))
        begun_s = [load["begun_s"] for load in loads if load["launch"] == self.load["launch"]]
        return bool(begun_s) and self.load["begun_s"] <= min(begun_s)


@lru_cache(maxsize=32)
def _read_answers(path: Path, _fingerprint: object) -> pa.Table:
    """Read the hashes alone, kept for loads that are compared with several others: their events would take much more memory."""
    return read_table(path, ANSWER_COLUMNS)
