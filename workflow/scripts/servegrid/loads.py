"""Run one load against a server that is ready: warm-up, the measured requests, the records on disk."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from servegrid import engines, protocols
from servegrid.client import ClosedLoop, Endpoint, LoadResult, OpenLoop, Request, arrivals, run
from servegrid.clock import now_s
from servegrid.config import Config
from servegrid.files import write_json
from servegrid.grid import Load, Session
from servegrid.prompts.files import Prompt, read_prompts
from servegrid.prompts.generate import warmup_prompts
from servegrid.protocols.base import GenerationSettings
from servegrid.records import FORMAT, RequestRecord, write_requests
from servegrid.server import Server, ServerError, ending
from servegrid.state import load_folder

WATCH_S = 0.1


class LoadRunner:
    """The loads of one session; prompts and request bodies are made once."""

    def __init__(self, session: Session, config: Config, prompts: Path, folder: Path, report: Callable[[str], None]) -> None:
        self.session, self.config, self.folder, self.report = session, config, folder, report
        self.protocol = protocols.get(engines.get(session.server.spec.engine).protocol)
        self.prompts = read_prompts(prompts)[: config.prompts.count]

    def run(self, load: Load, server: Server, launch: int) -> None:
        """Measure one load and write its records, load.json last.

        Raises:
            ServerError: when the server died meanwhile; the load is recorded as failed then.
        """
        begun_s = now_s()
        self._send(load, server, self._warm_up_prompts(load), "warming up")
        result = self._send(load, server, self.prompts, f"threads {load.threads}" if load.threads else load.id)
        death = None if server.alive else died(server)
        self._write(load, launch, begun_s, result, death)
        if death:
            raise death

    def _warm_up_prompts(self, load: Load) -> list[Prompt]:
        """As many as are in flight at once, so that every slot of the server was used before."""
        count = max(load.options.warmup_requests, min(load.threads or 1, self.session.server.spec.concurrency))
        return warmup_prompts(count if load.options.warmup_requests else 0, seed=0)

    def _send(self, load: Load, server: Server, prompts: list[Prompt], what: str) -> LoadResult:
        requests = [self._request(prompt, load, number) for number, prompt in enumerate(prompts)]
        endpoint = Endpoint(f"http://127.0.0.1:{server.port}{self.protocol.path}")
        timeouts = Timeouts(total_s=load.options.request_timeout_s, load_s=load.options.time_limit_s)
        self.report(f"{what}: {len(requests)} requests")
        with _watching(server) as dead:
            return run(_shape(load, len(requests)), endpoint, requests, self.protocol, timeouts=timeouts, stop=dead)

    def _request(self, prompt: Prompt, load: Load, number: int) -> Request:
        tokens = prompt.max_tokens or self.config.prompts.output_tokens
        settings = GenerationSettings(
            model=self.session.server.spec.model.name, max_tokens=tokens, temperature=load.options.temperature
        )
        return Request(f"{load.id}-{number}", prompt.id, self.protocol.body(prompt.text, settings), tokens)

    def _write(self, load: Load, launch: int, begun_s: float, result: LoadResult, death: ServerError | None) -> None:
        folder = load_folder(self.folder, load)
        write_requests(folder, result.records)
        status, reason = outcome(result.records, death)
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
            "end_s": result.end_s,
            "client_cpu_s": result.client_cpu_s,
        }
        write_json(folder / "load.json", record)


def _shape(load: Load, count: int) -> ClosedLoop | OpenLoop:
    if load.options.arrival == "closed":
        return ClosedLoop(load.threads or 1)
    assert load.options.rate
    plan = {"constant": arrivals.constant, "poisson": arrivals.poisson}[load.options.arrival]
    return OpenLoop(plan(load.options.rate, count))


def outcome(records: list[RequestRecord], death: ServerError | None) -> tuple[str, str | None]:
    """Status of a load (ok, partial, failed) and the reason in words."""
    good = sum(record.status == "ok" for record in records)
    if death:
        return "failed", str(death)
    if good == len(records):
        return "ok", None
    errors = Counter(f"{record.status}: {record.error or 'no reason given'}" for record in records if record.status != "ok")
    listed = "; ".join(f"{count} x {error}" for error, count in errors.most_common(3))
    return ("partial" if good else "failed"), f"{len(records) - good} of {len(records)} requests not ok: {listed}"


def died(server: Server) -> ServerError:
    """The error of a server that ended while it was loaded."""
    return ServerError("crashed", f"the server died under this load: {ending(server.ended)}")


@contextmanager
def _watching(server: Server) -> Iterator[threading.Event]:
    """An event that is set when the server dies, so that the load ends at once and not at its time limit."""
    dead, done = threading.Event(), threading.Event()

    def watch() -> None:
        while not done.wait(WATCH_S):
            if not server.alive:
                dead.set()
                return

    watcher = threading.Thread(target=watch, daemon=True, name="watch server")
    watcher.start()
    try:
        yield dead
    finally:
        done.set()
        watcher.join()
