"""Measure one session: launch the server, run its loads one after another, stop it; again for what a crash left over."""

import shutil
import time
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, Literal

from servegrid import engines
from servegrid.config import Config
from servegrid.engines.base import Launch
from servegrid.host import describe, devices
from servegrid.host.device_lock import Busy, holding
from servegrid.launch import build, layout, record
from servegrid.launch.balancer import Balancer
from servegrid.launch.build import AnyServer
from servegrid.launch.remote import RemoteServer, at_port
from servegrid.launch.replicated import ReplicatedServer
from servegrid.launch.server import ServerError
from servegrid.launch.server_log import last_words, tail
from servegrid.measure.folders import Places
from servegrid.measure.load import LoadRunner
from servegrid.metrics.energy import IDLE_SAMPLES
from servegrid.plan.grid import Load, Session
from servegrid.plan.pending import missing
from servegrid.records.paths import load_folder, session_folder
from servegrid.records.schema import FORMAT
from servegrid.telemetry import Telemetry
from servegrid.util.clock import now_s, wall_anchor
from servegrid.util.files import read_json, write_json
from servegrid.util.secret_env import redacted
from servegrid.util.terminal import Progress

MOST_IDLE_S = 10.0


class SessionRun:
    """One job of the measure rule."""

    def __init__(self, session: Session, config: Config, places: Places, progress: Progress) -> None:
        self.session, self.config, self.places, self.progress = session, config, places, progress
        self.engine = engines.get(session.server.spec.engine)
        self.folder = session_folder(places.results, session)
        self.record = self._opened_record()
        self._launches: list[Launch] = []
        self._balancer: Balancer | None = None

    def run(self, again: Iterable[str] = ()) -> None:
        """Measure what is missing, and outcomes named in `again` once more. A server's failure is recorded, not raised; an interruption is recorded and raised.

        Raises:
            Busy: when the device is in use by somebody else; nothing is recorded then.
        """
        retry = set(again)
        while pending := missing(self.session, self.places.results, retry):
            retry.clear()  # what was asked for is in `pending` now; a load that fails again stays failed
            for load in pending:
                shutil.rmtree(load_folder(self.folder, load), ignore_errors=True)
            self._one_life(pending)

    def _opened_record(self) -> dict[str, Any]:
        server = self.session.server
        path = self.folder / "session.json"
        launches = read_json(path)["launches"] if path.exists() else []
        return {
            "format": FORMAT,
            "status": "running",
            "reason": None,
            "engine": server.name,
            "gpu": server.gpu,
            "rep": self.session.rep,
            "server": asdict(server.spec) | {"env": redacted(server.spec.env)},
            "host": describe.describe(),
            "launches": launches,
        }

    def _one_life(self, pending: list[Load]) -> None:
        """Launch, load, stop. The device is held from before the launch until the server is gone and its memory is back."""
        with holding(self.session.server.gpu):
            build.clear_away(self.config)
            gpus, memory_before = self._free_gpus()
            launch = self._new_launch(gpus)
            with Telemetry(self.folder, gpus, self.config.telemetry_interval_s) as telemetry:
                self._sample_idle(gpus)
                try:
                    self._guarded_serve(launch, telemetry, pending)
                finally:
                    launch["memory_not_back"] = devices.wait_memory_back(memory_before)
                    launch["others_on_gpu"] = _others(gpus)
            notes = {"error": telemetry.error, "notes": telemetry.notes[-20:], "cost": telemetry.summary}
            launch["telemetry"] = notes
            self._write()

    def _sample_idle(self, gpus: list[str]) -> None:
        """Let the telemetry see what the GPUs draw with nothing launched, which their energy is held against."""
        if gpus:
            self.progress("sampling the idle GPU")
            time.sleep(min(MOST_IDLE_S, IDLE_SAMPLES * self.config.telemetry_interval_s))

    def _free_gpus(self) -> tuple[list[str], dict[str, int | None]]:
        """The GPUs of the device that the server takes and the memory in use on each before the launch; raises Busy when somebody is on them."""
        try:
            found = devices.gpu_uuids(self.config.devices[self.session.server.gpu])
            gpus = layout.used_gpus(self.session.server.spec, found)
            reason, used = devices.why_busy(gpus), devices.memory_used(gpus)
        except LookupError as error:
            raise Busy(str(error)) from error
        if reason:
            raise Busy(reason)
        return gpus, used

    def _guarded_serve(self, launch: dict[str, Any], telemetry: Telemetry, pending: list[Load]) -> None:
        """Serve; a dead server is recorded and done with, an interruption is recorded and goes on upwards."""
        try:
            self._serve(launch, telemetry, pending)
        except ServerError as error:
            self._ended(launch, "failed", error.kind, f"{error}{last_words(self.folder / 'server.log')}")
        except BaseException as error:
            self._ended(launch, "interrupted", None, f"{type(error).__name__}: {error}")
            raise
        else:
            self._ended(launch, "ok", None, None)

    def _serve(self, launch: dict[str, Any], telemetry: Telemetry, pending: list[Load]) -> None:
        with self._server(launch["gpus"]) as server:
            telemetry.watch(*server.pids)
            self.progress("starting the server" if server.pids else "asking for the server")
            try:
                server.wait_ready(self._health_url(server), self.config.server.start_timeout_s)
            finally:
                launch["start_up"] = asdict(server.start_up)
            telemetry.watch(*server.pids)  # copies that share a device were started since
            if self.engine.metrics_path:
                telemetry.scrape(*self._metrics_urls(server), headers=server.headers)
            launch["answers"] = server.answers(self.engine.facts_paths, self._facts_base(server))
            launch["reported"] = asdict(self.engine.reported(launch["answers"]))
            if isinstance(server, ReplicatedServer):
                self._ask_copies(launch, server)
            launch["model"] = self._model_name(server)
            self._write()
            runner = LoadRunner(
                self.session, self.config, self.places, self.folder, self.progress, str(launch["model"])
            )
            for load in pending:
                runner.run(load, server, launch["number"])
            launch["stopping_s"] = now_s()
            telemetry.scrape()
        launch["stopped_s"] = now_s()

    def _server(self, gpus: list[str]) -> AnyServer:
        spec = self.session.server.spec
        log, grace_s = self.folder / "server.log", self.config.server.stop_timeout_s
        resources = self.places.resources
        return build.whole(spec, self._launches, self._balancer, gpus, resources, log, grace_s)

    def _health_url(self, server: AnyServer) -> str:
        return self._base("health", server) + self.engine.health_path

    def _metrics_urls(self, server: AnyServer) -> list[str]:
        """Of every copy: behind a balancer each would be asked by chance."""
        bases = [self._address("metrics", launch) for launch in self._launches] or [self._base("metrics", server)]
        return [f"{base}{self.engine.metrics_path}" for base in bases]

    def _base(self, what: Literal["health", "metrics"], server: AnyServer) -> str:
        """Where the server answers for this: mostly the port of its API; of several copies the balancer's."""
        if len(self._launches) == 1:
            return self._address(what, self._launches[0])
        spec = self.session.server.spec
        return at_port(server.url, self.engine.port_of(what, spec) - self.engine.port_of("api", spec))

    def _facts_base(self, server: AnyServer) -> str:
        """Of several copies the first is asked."""
        return self._address("health", self._launches[0]) if self._launches else self._base("health", server)

    def _address(self, what: Literal["health", "metrics"], launch: Launch) -> str:
        return f"http://127.0.0.1:{launch.ports[self.engine.port_of(what, self.session.server.spec)]}"

    def _ask_copies(self, launch: dict[str, Any], server: ReplicatedServer) -> None:
        """What each copy says of itself: two on one device need not have taken the same."""
        for entry, one, copy in zip(launch["copies"], self._launches, server.copies, strict=True):
            answers = copy.answers(self.engine.facts_paths, self._address("health", one))
            entry["reported"] = asdict(self.engine.reported(answers))

    def _model_name(self, server: AnyServer) -> str:
        spec = self.session.server.spec
        if isinstance(server, RemoteServer):
            return spec.served_model or server.first_model() or spec.model.name
        return self.engine.api_model(spec, self._launches[0]) if self._launches else spec.model.name

    def _new_launch(self, gpus: list[str]) -> dict[str, Any]:
        self._set_aside_earlier()
        spec, resources, folder = self.session.server.spec, self.places.resources, self.folder
        self._launches = build.prepared(spec, resources, folder / "server") if spec.runtime != "url" else []
        longest_s = self.config.load.request_timeout_s
        self._balancer = build.balancer_before(spec, self._launches, folder / "balancer", longest_s)
        number = len(self.record["launches"]) + 1
        launch = {"number": number, "status": "running", "anchor": wall_anchor()}
        launch |= record.of(spec, self._launches, self._balancer, gpus, resources)
        self.record["launches"].append(launch)
        self.record |= {"status": "running", "reason": None}
        self._write()
        return launch

    def _ended(self, launch: dict[str, Any], status: str, kind: str | None, reason: str | None) -> None:
        launch |= {"status": status, "kind": kind, "reason": reason, "log_tail": tail(self.folder / "server.log")}
        failed_at_start = status == "failed" and launch.get("start_up", {}).get("ready_s") is None
        outcome = "failed" if failed_at_start else "interrupted" if status == "interrupted" else "ok"
        self.record |= {"status": outcome, "reason": reason if outcome != "ok" else None}
        self._write()

    def _write(self) -> None:
        write_json(self.folder / "session.json", self.record)

    def _set_aside_earlier(self) -> None:
        """Keep the files of the launch before under launches/<its number>/, where its loads find them."""
        number = len(self.record["launches"])
        logs = [path.name for path in self.folder.glob("server*.log")]
        for name in (*logs, "telemetry.parquet", "server_metrics.parquet"):
            if number and (self.folder / name).exists():
                aside = self.folder / "launches" / str(number)
                aside.mkdir(parents=True, exist_ok=True)
                (self.folder / name).replace(aside / name)
        self.folder.mkdir(parents=True, exist_ok=True)


def _others(gpus: list[str]) -> str | None:
    """Who is on the GPUs after the server's end, in words; None if nobody, or if they do not answer."""
    try:
        return devices.why_busy(gpus)
    except LookupError:
        return None
