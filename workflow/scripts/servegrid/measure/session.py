"""Measure one session: launch the server, run its loads one after another, stop it; launch again for loads left by a crash."""

import shutil
import time
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, Literal

from servegrid import engines
from servegrid.config import Config
from servegrid.engines.base import NO_HEALTH_PATH, Launch
from servegrid.host import describe, devices
from servegrid.host.device_lock import DeviceBusy, hold_device
from servegrid.launch import build, layout, record
from servegrid.launch.balancer import Balancer
from servegrid.launch.build import AnyServer
from servegrid.launch.remote import RemoteServer, url_at_port
from servegrid.launch.replicated import ReplicatedServer
from servegrid.launch.server import ServerError
from servegrid.launch.server_log import last_words, tail
from servegrid.measure.cached_tokens import CachedTokens
from servegrid.measure.folders import RunFolders
from servegrid.measure.load import LoadRunner
from servegrid.metrics.energy import IDLE_SAMPLES
from servegrid.plan.grid import Load, Session
from servegrid.plan.pending import pending_loads
from servegrid.protocols.server_url import join
from servegrid.records.paths import load_folder, session_folder
from servegrid.records.schema import FORMAT
from servegrid.telemetry import Telemetry
from servegrid.util.clock import now_s, wall_anchor
from servegrid.util.files import read_json, write_json
from servegrid.util.secret_env import redacted
from servegrid.util.terminal import Progress

MAX_IDLE_S = 10.0


class SessionRun:
    """Measures one session and writes its record; one job of the measure rule."""

    def __init__(self, session: Session, config: Config, run_folders: RunFolders, progress: Progress) -> None:
        self.session, self.config, self.run_folders, self.progress = session, config, run_folders, progress
        self.engine = engines.get(session.server.spec.engine)
        self.folder = session_folder(run_folders.results, session)
        self.record = self._new_record()
        self._launches: list[Launch] = []
        self._balancer: Balancer | None = None

    def run(self, retry_outcomes: Iterable[str] = ()) -> None:
        """Measure the pending loads, and once more those whose outcome is in `retry_outcomes`.

        A server's failure is recorded, not raised; an interruption is recorded and raised.

        Raises:
            DeviceBusy: when the device is in use by another process; nothing is recorded then.
        """
        retry = set(retry_outcomes)
        while pending := pending_loads(self.session, self.run_folders.results, retry):
            retry.clear()  # those loads are in `pending` now; a load that fails again stays failed
            for load in pending:
                shutil.rmtree(load_folder(self.folder, load), ignore_errors=True)
            self._run_launch(pending)

    def _new_record(self) -> dict[str, Any]:
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
            "host": describe.describe_host(),
            "launches": launches,
        }

    def _run_launch(self, pending: list[Load]) -> None:
        """Launch, load, stop. The device is locked from before the launch until the server is gone and its memory is released."""
        with hold_device(self.session.server.gpu):
            build.remove_orphaned_containers(self.config)
            gpus, memory_before = self._require_free_gpus()
            launch = self._new_launch(gpus)
            with Telemetry(self.folder, gpus, self.config.telemetry_interval_s) as telemetry:
                self._sample_idle(gpus)
                try:
                    self._serve_recording_errors(launch, telemetry, pending)
                finally:
                    launch["memory_not_back"] = devices.wait_memory_back(memory_before)
                    launch["others_on_gpu"] = _other_gpu_users(gpus)
            telemetry_record = {"error": telemetry.error, "notes": telemetry.notes[-20:], "cost": telemetry.summary}
            launch["telemetry"] = telemetry_record
            self._write_record()

    def _sample_idle(self, gpus: list[str]) -> None:
        """Wait while the telemetry samples the GPUs' idle power, the baseline of their energy."""
        if gpus:
            self.progress("sampling the idle GPU")
            time.sleep(min(MAX_IDLE_S, IDLE_SAMPLES * self.config.telemetry_interval_s))

    def _require_free_gpus(self) -> tuple[list[str], dict[str, int | None]]:
        """The GPUs that the server takes, and the memory in use on each; raises DeviceBusy when a process uses one."""
        try:
            device_gpus = devices.gpu_uuids(self.config.devices[self.session.server.gpu])
            gpus = layout.used_gpus(self.session.server.spec, device_gpus)
            reason, used = devices.why_busy(gpus), devices.memory_used(gpus)
        except LookupError as error:
            raise DeviceBusy(str(error)) from error
        if reason:
            raise DeviceBusy(reason)
        return gpus, used

    def _serve_recording_errors(self, launch: dict[str, Any], telemetry: Telemetry, pending: list[Load]) -> None:
        """Serve, and record how it ended; a dead server is only recorded, an interruption is recorded and raised again."""
        try:
            self._serve(launch, telemetry, pending)
        except ServerError as error:
            self._record_end(launch, "failed", error.kind, f"{error}{last_words(self.folder / 'server.log')}")
        except BaseException as error:
            self._record_end(launch, "interrupted", None, f"{type(error).__name__}: {error}")
            raise
        else:
            self._record_end(launch, "ok", None, None)

    def _serve(self, launch: dict[str, Any], telemetry: Telemetry, pending: list[Load]) -> None:
        with self._build_server(launch["gpus"]) as server:
            telemetry.watch(*server.pids)
            self.progress("starting the server" if server.pids else "asking for the server")
            try:
                self._wait_ready(server)
            finally:
                launch["start_up"] = asdict(server.start_up)
            telemetry.watch(*server.pids)  # copies that share a device were started since
            if self.engine.metrics_path:
                telemetry.scrape(*self._metrics_urls(server), headers=server.headers, ca_file=server.ca_file)
            launch["answers"] = server.answers(self.engine.info_paths, self._info_url(server))
            launch["reported"] = asdict(self.engine.reported(launch["answers"]))
            if isinstance(server, ReplicatedServer):
                self._record_copies(launch, server)
            launch["model"] = self._model_name(server)
            self._write_record()
            runner = LoadRunner(
                self.session,
                self.config,
                self.run_folders,
                self.folder,
                self.progress,
                str(launch["model"]),
                CachedTokens(self.engine.metrics, self._metrics_urls(server), server.headers, server.ca_file),
            )
            for load in pending:
                runner.run(load, server, launch["number"])
            launch["stopping_s"] = now_s()
            telemetry.scrape()
        launch["stopped_s"] = now_s()

    def _build_server(self, gpus: list[str]) -> AnyServer:
        spec = self.session.server.spec
        log, stop_timeout_s = self.folder / "server.log", self.config.server.stop_timeout_s
        resources = self.run_folders.resources
        return build.build_server(spec, self._launches, self._balancer, gpus, resources, log, stop_timeout_s)

    def _wait_ready(self, server: AnyServer) -> None:
        """Wait until the server is ready; one that has no page for that is taken to be so."""
        path = self.session.server.spec.health_path or self.engine.health_path
        if path == NO_HEALTH_PATH:
            server.start_up.ready_s = now_s()
        else:
            server.wait_ready(join(self._base_url("health", server), path), self.config.server.start_timeout_s)

    def _metrics_urls(self, server: AnyServer) -> list[str]:
        """URLs of every copy's metrics: through a balancer a random copy would answer."""
        bases = [self._launch_url("metrics", launch) for launch in self._launches] or [
            self._base_url("metrics", server)
        ]
        return [join(base, str(self.engine.metrics_path)) for base in bases]

    def _base_url(self, endpoint: Literal["health", "metrics"], server: AnyServer) -> str:
        """Base URL for health or metrics: that of the only copy, else the balancer's or the remote server's."""
        if len(self._launches) == 1:
            return self._launch_url(endpoint, self._launches[0])
        spec = self.session.server.spec
        return url_at_port(server.url, self.engine.port_of(endpoint, spec) - self.engine.port_of("api", spec))

    def _info_url(self, server: AnyServer) -> str:
        """Base URL for the engine's info paths; of several copies the first."""
        return self._launch_url("health", self._launches[0]) if self._launches else self._base_url("health", server)

    def _launch_url(self, endpoint: Literal["health", "metrics"], launch: Launch) -> str:
        return f"http://127.0.0.1:{launch.ports[self.engine.port_of(endpoint, self.session.server.spec)]}"

    def _record_copies(self, launch: dict[str, Any], server: ReplicatedServer) -> None:
        """Record what each copy reports: copies on one device need not have the same cache size."""
        for copy_record, copy_launch, copy in zip(launch["copies"], self._launches, server.copies, strict=True):
            answers = copy.answers(self.engine.info_paths, self._launch_url("health", copy_launch))
            copy_record["reported"] = asdict(self.engine.reported(answers))

    def _model_name(self, server: AnyServer) -> str:
        spec = self.session.server.spec
        if isinstance(server, RemoteServer):
            return spec.served_model or server.first_model() or spec.model.name
        return self.engine.api_model(spec, self._launches[0]) if self._launches else spec.model.name

    def _new_launch(self, gpus: list[str]) -> dict[str, Any]:
        self._archive_previous_launch()
        spec, resources, folder = self.session.server.spec, self.run_folders.resources, self.folder
        self._launches = build.prepare_launches(spec, resources, folder / "server") if spec.runtime != "url" else []
        request_timeout_s = self.config.load.request_timeout_s
        self._balancer = build.prepare_balancer(spec, self._launches, folder / "balancer", request_timeout_s)
        number = len(self.record["launches"]) + 1
        launch = {"number": number, "status": "running", "anchor": wall_anchor()}
        launch |= record.launch_record(spec, self._launches, self._balancer, gpus, resources)
        self.record["launches"].append(launch)
        self.record |= {"status": "running", "reason": None}
        self._write_record()
        return launch

    def _record_end(self, launch: dict[str, Any], status: str, kind: str | None, reason: str | None) -> None:
        launch |= {"status": status, "kind": kind, "reason": reason, "log_tail": tail(self.folder / "server.log")}
        failed_at_start = status == "failed" and launch.get("start_up", {}).get("ready_s") is None
        outcome = "failed" if failed_at_start else "interrupted" if status == "interrupted" else "ok"
        self.record |= {"status": outcome, "reason": reason if outcome != "ok" else None}
        self._write_record()

    def _write_record(self) -> None:
        write_json(self.folder / "session.json", self.record)

    def _archive_previous_launch(self) -> None:
        """Move the files of the previous launch to launches/<its number>/, where its loads find them."""
        number = len(self.record["launches"])
        logs = [path.name for path in self.folder.glob("server*.log")]
        for name in (*logs, "telemetry.parquet", "server_metrics.parquet"):
            if number and (self.folder / name).exists():
                archive = self.folder / "launches" / str(number)
                archive.mkdir(parents=True, exist_ok=True)
                (self.folder / name).replace(archive / name)
        self.folder.mkdir(parents=True, exist_ok=True)


def _other_gpu_users(gpus: list[str]) -> str | None:
    """Which processes use the GPUs after the server's end; None if none does, or if the GPUs do not answer."""
    try:
        return devices.why_busy(gpus)
    except LookupError:
        return None
