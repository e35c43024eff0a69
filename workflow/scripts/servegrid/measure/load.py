"""Run one load against a server that is ready: warm-up, the measured requests, the records on disk."""

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from servegrid import engines, protocols
from servegrid.client.calibration import Calibration, calibration_file
from servegrid.client.endpoint import Endpoint
from servegrid.client.exchange import Request
from servegrid.client.run import LoadProgress, LoadResult, run
from servegrid.client.shape import ClosedLoop, Shape, Timeouts
from servegrid.client.token_counts import LazyTokenizer
from servegrid.config import Config
from servegrid.launch.build import AnyServer
from servegrid.launch.exit_reason import describe_exit, failure_kind
from servegrid.launch.server import ServerError
from servegrid.launch.server_log import last_words
from servegrid.measure.cached_tokens import CachedTokens, Counts
from servegrid.measure.folders import RunFolders
from servegrid.measure.own_tokens import OwnTokens
from servegrid.measure.requests import ENDLESS, RequestMaker
from servegrid.measure.salt_place import Place, salt_place
from servegrid.plan import load_shape
from servegrid.plan.grid import Load, Session
from servegrid.prompts import files as prompt_files
from servegrid.prompts import word_source
from servegrid.prompts.files import Prompt
from servegrid.prompts.generate import warmup_prompts
from servegrid.prompts.salt import SaltedPrompts, salted
from servegrid.protocols.server_url import join
from servegrid.records.paths import load_folder
from servegrid.records.schema import FORMAT, RequestRecord, write_requests
from servegrid.util.clock import now_s
from servegrid.util.files import write_json
from servegrid.util.terminal import Progress

DEATH_WAIT_S = 2.0  # from the first lost connection to the end of the server's last process


class LoadRunner:
    """Runs the loads of one session. Prompts are read once."""

    def __init__(
        self,
        session: Session,
        config: Config,
        run_folders: RunFolders,
        folder: Path,
        progress: Progress,
        model: str,
        cached_tokens: CachedTokens,
    ) -> None:
        self.session, self.config, self.folder, self.progress = session, config, folder, progress
        self._model, self._cached_tokens = model, cached_tokens  # `model`: as the server knows it
        self._results = run_folders.results
        self.engine = engines.get(session.server.spec.engine)
        self.protocol = protocols.get(session.server.spec.protocol or self.engine.protocols[0])
        self.prompts = prompt_files.read_prompts(run_folders.prompts)[: config.prompts.count]
        kinds = {load.options.client for load in session.loads}
        self._calibrations = {
            kind: Calibration.read_or_none(run_folders.resources / calibration_file(kind)) for kind in kinds
        }
        self._tokenizer = run_folders.resources / session.server.spec.model.checkpoint / "tokenizer.json"
        # a server elsewhere has a model of its own, unless the config says that it is this one
        counts_match = session.server.spec.runtime != "url" or config.model.source != "builtin"
        self._counter = LazyTokenizer(self._tokenizer) if counts_match and self._tokenizer.exists() else None
        self._own_tokens = OwnTokens(self.prompts, self._counter, self.protocol.has_template)

    def run(self, load: Load, server: AnyServer, launch: int) -> None:
        """Measure one load, after its warm-up, and write its records, load.json last.

        Raises:
            ServerError: when the server died meanwhile; the load is recorded as failed then.
        """
        begun_s = now_s()
        name = load_shape.readable_name(load.options, load.threads).replace("-", " ", 1)
        place = salt_place(self._results, self.session, load) if load.is_salted else None
        shape = load_shape.shape(load.options, load.threads or 1, len(self.prompts))
        requests = self._requests(load, shape, place)
        if load.options.warmup_requests:
            self._warm_up(load, server, f"{name}, warming up", place)
        if load.options.cache == "warm":
            self._prime(load, server, f"{name}, filling the cache")
        result, growth = self._measure(load, server, requests, shape, name)
        death = self._death_error(server) if _is_dead(server, result) else None
        self._write_records(load, launch, begun_s, result, growth, death)
        if death:
            raise death

    def _measure(
        self, load: Load, server: AnyServer, requests: Sequence[Request], shape: Shape, name: str
    ) -> tuple[LoadResult, Counts | None]:
        """Send the measured requests; return what was recorded, and how the server's counters of cached tokens grew."""
        before = self._cached_tokens.read()
        result = self._send(load, server, requests, shape, name, kind=load.options.client, workers=load.options.workers)
        growth = self._cached_tokens.growth_since(before)
        if any(record.cached_tokens for record in result.records) or (growth and growth["cached_tokens"]):
            self._own_tokens.write(result.records)
        return result, growth

    def _requests(self, load: Load, shape: Shape, place: Place | None) -> Sequence[Request]:
        """Requests of the load, in order; the client goes round them."""
        maker = self._maker(load)
        if place is None:
            return maker.requests(self.prompts)
        return maker.every_request(SaltedPrompts(self.prompts, *place).prompt, shape, len(self.prompts))

    def _warm_up(self, load: Load, server: AnyServer, label: str, place: Place | None) -> None:
        """Send as many requests as are in flight at once, so that every slot of the server has been used."""
        slots = self._slots
        prompts = self._warm_up_prompts(max(load.options.warmup_requests, min(load.threads or slots, slots)))
        if place is not None:
            prompts = [salted(prompt, *place, "warm-up") for prompt in prompts]
        self._send(load, server, self._maker(load).requests(prompts), ClosedLoop(load.threads or slots), label)

    def _prime(self, load: Load, server: AnyServer, label: str) -> None:
        """Send every prompt once to each copy, as far as the balancer spreads them, for a single token: the server keeps it then."""
        copies = range(self.session.server.spec.copies)
        prompts = [replace(prompt, max_tokens=1) for prompt in self.prompts for _ in copies]
        self._send(load, server, self._maker(load).requests(prompts), ClosedLoop(self._slots), label)

    @property
    def _slots(self) -> int:
        """Requests that the server works on at once."""
        return self.session.server.spec.concurrency * self.session.server.spec.copies

    def _warm_up_prompts(self, count: int) -> list[Prompt]:
        source = word_source.word_source_for(self._tokenizer if self._tokenizer.exists() else None)
        prompts = self.config.prompts
        return warmup_prompts(count, 0, source, self.prompts, prompts.input_tokens, min(16, prompts.output_tokens))

    def _send(
        self, load: Load, server: AnyServer, requests: Sequence[Request], shape: Shape, label: str, **options: Any
    ) -> LoadResult:
        """Send the requests in this shape and return the result; a load ends as soon as the server dies, not at its time limit."""
        endpoint = Endpoint(join(server.url, self.protocol.path), server.headers, ca_file=server.ca_file)
        timeouts = Timeouts(total_s=load.options.request_timeout_s, load_s=load.options.time_limit_s)
        server_died = threading.Event()

        def watch(progress: LoadProgress) -> None:
            of_total = f"/{progress.total}" if progress.total else ""
            self.progress.tick(f"{label}: {progress.ended}{of_total} requests")
            if not server.alive:
                server_died.set()

        self.progress(f"{label}: {len(self.prompts) if len(requests) == ENDLESS else len(requests)} requests")
        options |= {"timeouts": timeouts, "on_progress": watch, "stop": server_died, "tokenizer": self._counter}
        result = run(endpoint, requests, shape, self.protocol, **options)
        if result.interrupted_by:
            raise result.interrupted_by
        return result

    def _maker(self, load: Load) -> RequestMaker:
        spec, tokens = self.session.server.spec, self.config.prompts.output_tokens
        return RequestMaker(load.id, load.options, spec, self.engine, self.protocol, self._model, tokens)

    def _death_error(self, server: AnyServer) -> ServerError:
        log = self.folder / "server.log"
        exit_text = describe_exit(server.ended, log)
        return ServerError(
            failure_kind(server.ended, log), f"the server died under this load: {exit_text}{last_words(log)}"
        )

    def _write_records(
        self,
        load: Load,
        launch: int,
        begun_s: float,
        result: LoadResult,
        growth: Counts | None,
        death: ServerError | None,
    ) -> None:
        folder = load_folder(self.folder, load)
        write_requests(folder, result.records)
        status, reason = load_outcome(result.records, death)
        record: dict[str, Any] = {
            "format": FORMAT,
            "id": load.id,
            "definition": dict(load.definition),
            "launch": launch,
            "status": status,
            "reason": reason,
            "requests": dict(Counter(record.status for record in result.records)),
            "begun_s": begun_s,
            "start_s": result.start_s,
            "last_sent_s": result.last_sent_s,
            "end_s": result.end_s,
            "client_cpu_s": result.client_cpu_s,
            "unsent": result.unsent,
            "counted": growth,
            **self._client_limits(load, result),
        }
        write_json(folder / "load.json", record)

    def _client_limits(self, load: Load, result: LoadResult) -> dict[str, float | None]:
        """The load's share of the client's capacity on this host, and how late it stamps; None if not calibrated, as over gRPC."""
        calibration, seconds = self._calibrations.get(load.options.client), result.end_s - result.start_s
        if calibration is None or seconds <= 0 or self.protocol.transport != "http":
            return {"client_share": None, "stamp_late_ms_p99": None}
        chunks = sum(len(record.chunk_offsets_s) for record in result.records)
        share = calibration.ceiling_share(len(result.records), chunks, seconds, result.workers)
        if load.options.client != "parallel":  # whose processes use several cores
            share = max(share, result.client_cpu_s / (seconds * result.workers))
        return {"client_share": share, "stamp_late_ms_p99": calibration.stamp_late_ms_p99}


def _is_dead(server: AnyServer, result: LoadResult) -> bool:
    """Whether the server has died. Lost connections show a death before the process itself is seen to be gone."""
    connection_lost = any(record.status == "disconnected" for record in result.records)
    return server.dies_within(DEATH_WAIT_S) if connection_lost else not server.alive


def load_outcome(records: list[RequestRecord], death: ServerError | None) -> tuple[str, str | None]:
    """Status of a load (ok, partial, failed) and the reason; None if ok."""
    ok_count = sum(record.status == "ok" for record in records)
    if death:
        return "failed", str(death)
    if ok_count == len(records):
        return "ok", None
    errors = Counter(
        f"{record.status}: {record.error or 'no reason given'}" for record in records if record.status != "ok"
    )
    listed = "; ".join(f"{count} x {error}" for error, count in errors.most_common(3))
    status = "partial" if ok_count else "failed"
    return status, f"{len(records) - ok_count} of {len(records)} requests not ok: {listed}"
