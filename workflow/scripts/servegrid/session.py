"""Measure one session: launch the server, run its loads one after another, stop it; again for what a crash left over."""

import shutil
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from servegrid import devices, engines, host, launching
from servegrid.clock import now_s, wall_anchor
from servegrid.commands import command_line, environment
from servegrid.config import Config
from servegrid.engines.base import Launch
from servegrid.files import read_json, write_json
from servegrid.grid import Load, Session
from servegrid.launching import AnyServer
from servegrid.loads import LoadRunner
from servegrid.locks import Busy, holding
from servegrid.places import Places
from servegrid.progress import Progress
from servegrid.records import FORMAT
from servegrid.remote import RemoteServer, at_port
from servegrid.secrets import hidden
from servegrid.server import ServerError
from servegrid.server_log import last_words, tail
from servegrid.state import load_folder, missing, session_folder
from servegrid.telemetry import Telemetry


class SessionRun:
    """One job of the measure rule."""

    def __init__(self, session: Session, config: Config, places: Places, progress: Progress) -> None:
        self.session, self.config, self.places, self.progress = session, config, places, progress
        self.engine = engines.get(session.server.spec.engine)
        self.folder = session_folder(places.results, session)
        self.record = self._opened_record()
        self._launch: Launch | None = None

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
            "server": asdict(server.spec) | {"env": hidden(server.spec.env)},
            "host": host.describe(),
            "launches": launches,
        }

    def _one_life(self, pending: list[Load]) -> None:
        """Launch, load, stop. The device is held from before the launch until the server is gone and its memory is back."""
        with holding(self.session.server.gpu):
            gpus, memory_before = self._free_gpus()
            launch = self._new_launch(gpus)
            with Telemetry(self.folder, gpus, self.config.telemetry_interval_s) as telemetry:
                try:
                    self._guarded_serve(launch, telemetry, pending)
                finally:
                    launch["memory_not_back"] = devices.wait_memory_back(memory_before)
            notes = {"error": telemetry.error, "notes": telemetry.notes[-20:], "cost": telemetry.summary}
            launch["telemetry"] = notes
            self._write()

    def _free_gpus(self) -> tuple[list[str], dict[str, int | None]]:
        """The device's GPUs and the memory in use on each before the launch; raises Busy when somebody is on them."""
        try:
            gpus = devices.gpu_uuids(self.config.devices[self.session.server.gpu])
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
            if server.pid is not None:
                telemetry.watch(server.pid)
            self.progress("starting the server" if server.pid else "asking for the server")
            try:
                server.wait_ready(
                    self._address("health", server) + self.engine.health_path, self.config.server.start_timeout_s
                )
            finally:
                launch["start_up"] = asdict(server.start_up)
            if self.engine.metrics_path:
                telemetry.scrape(self._address("metrics", server) + self.engine.metrics_path, server.headers)
            launch["answers"] = server.answers(self.engine.facts_paths, self._address("health", server))
            launch["reported"] = asdict(self.engine.reported(launch["answers"]))
            launch["model"] = self._model_name(server)
            self._write()
            runner = LoadRunner(
                self.session, self.config, self.places, self.folder, self.progress, str(launch["model"])
            )
            for load in pending:
                runner.run(load, server, launch["number"])
            launch["stopping_s"] = now_s()
            telemetry.scrape(None)
        launch["stopped_s"] = now_s()

    def _server(self, gpus: list[str]) -> AnyServer:
        spec, entry = self.session.server.spec, self.config.engines[self.session.server.name]
        log, grace_s = self.folder / "server.log", self.config.server.stop_timeout_s
        return launching.server(spec, self._launch, entry, gpus, self.places.resources, log, grace_s)

    def _address(self, what: Literal["health", "metrics"], server: AnyServer) -> str:
        """Where the server answers for this: mostly the port of its API."""
        spec = self.session.server.spec
        number = self.engine.port_of(what, spec)
        if self._launch is None:
            return at_port(server.url, number - self.engine.port_of("api", spec))
        return f"http://127.0.0.1:{self._launch.ports[number]}"

    def _model_name(self, server: AnyServer) -> str:
        spec = self.session.server.spec
        if isinstance(server, RemoteServer):
            return spec.served_model or server.first_model() or spec.model.name
        return spec.model.name

    def _new_launch(self, gpus: list[str]) -> dict[str, Any]:
        self._set_aside_earlier()
        spec = self.session.server.spec
        launched = spec.runtime != "url"
        self._launch = launching.prepared(spec, self.places.resources, self.folder / "server") if launched else None
        launch = {
            "number": len(self.record["launches"]) + 1,
            "status": "running",
            "anchor": wall_anchor(),
            "command": command_line(spec, self.places.resources, self._launch) if self._launch else None,
            "url": spec.url,
            "environment": hidden(environment(spec)) if launched else {},
            "ports": self._launch.ports if self._launch else None,
            "gpus": gpus,
            "gpu_facts": devices.describe(gpus),
        }
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
        for name in ("server.log", "telemetry.parquet", "server_metrics.parquet"):
            if number and (self.folder / name).exists():
                aside = self.folder / "launches" / str(number)
                aside.mkdir(parents=True, exist_ok=True)
                (self.folder / name).replace(aside / name)
        self.folder.mkdir(parents=True, exist_ok=True)


def launch_folder(session: Path, number: int) -> Path:
    """Where log and telemetry of a launch lie: in the session's folder, unless a later launch set them aside."""
    aside = session / "launches" / str(number)
    return aside if aside.exists() else session
