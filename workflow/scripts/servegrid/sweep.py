"""What Snakemake asks of a sweep: the sessions that are still to be measured, and inputs and params of the rules."""

import json
import os
import shlex
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from servegrid import engines
from servegrid.client.calibration import calibration_file
from servegrid.config import parse_config
from servegrid.engines.base import ModelRef, ServerSpec
from servegrid.launch.command_line import environment_folder, needed_files
from servegrid.launch.docker.image_record import read_image_record, record_path
from servegrid.plan import resolve
from servegrid.plan.grid import Grid, Session
from servegrid.plan.other_hosts import sessions_of_other_hosts
from servegrid.plan.pending import launch_count, pending_loads
from servegrid.plan.repeats import needed_sessions, sessions_by_server
from servegrid.records.paths import session_folder
from servegrid.util.code_digest import ROOT as SCRIPTS
from servegrid.util.code_digest import code_digest, content_digest
from servegrid.util.files import named_or_shipped
from servegrid.util.hub import is_hub_name
from servegrid.util.identity import digest


class Sweep:
    """A config, expanded and compared with the records on disk. Methods that take wildcards are inputs and params of rules.

    Attributes:
        config: parsed.
        resolved: what of the config depends on this host.
        grid: points and sessions.
    """

    def __init__(self, raw: Mapping[str, Any], basedir: str | Path) -> None:
        self.config = parse_config(dict(raw))
        self._raw = raw
        self.resolved = resolve.resolve(self.config)
        self.grid = Grid(self.config, self.resolved)
        self._basedir = Path(basedir)
        self._results = Path(self.config.pathvars.results)
        self._resources = Path(self.config.pathvars.resources)

    @cached_property
    def _by_id(self) -> dict[str, tuple[int, Session]]:
        """Session id -> its position in the planned order, and the session."""
        return {session.id: (position, session) for position, session in enumerate(self.grid.sessions)}

    def _position_and_session(self, wildcards: Any) -> tuple[int, Session]:
        return self._by_id[f"{wildcards.server}/rep{wildcards.rep}"]

    @cached_property
    def _needed_sessions(self) -> list[Session]:
        return needed_sessions(self.grid, self._results, self.config.retry)

    @cached_property
    def _sessions_by_server(self) -> dict[str, list[Session]]:
        return sessions_by_server(self.grid)

    @cached_property
    def pending_sessions(self) -> list[Session]:
        """Sessions with at least one load that is not settled, in the order they are to run; with `repeats: auto` all that there may be."""
        return [
            session for session in self._needed_sessions if pending_loads(session, self._results, self.config.retry)
        ]

    def pending_marks(self, _wildcards: Any) -> list[str]:
        """Marks of the sessions to be measured; targets of their own, since Snakemake makes no input that is missing for an output that is there."""
        return [self._mark(session) for session in self.pending_sessions]

    def session_inputs(self, wildcards: Any) -> list[str]:
        """Inputs of collect: the mark of every session to be measured; of a settled one its record, and the mark of what made it."""
        pending = {session.id for session in self.pending_sessions}
        settled = [session for session in self._needed_sessions if session.id not in pending]
        records = [path for session in settled for path in (*self._last_mark(session), self._record(session))]
        return self.pending_marks(wildcards) + records + self._other_hosts_records

    @cached_property
    def _other_hosts_records(self) -> list[str]:
        """Records of other hosts that stand for devices that this one lacks."""
        by_server = sessions_of_other_hosts(self.grid, [Path(folder) for folder in self.config.report.also_from])
        paths = [
            session_folder(results, session) / "session.json"
            for results, sessions in by_server.values()
            for session in sessions
        ]
        return [str(path) for path in paths if path.exists()]

    def _mark(self, session: Session) -> str:
        """Path of a file that does not exist yet: named by what is missing, and by how often the session was launched before.

        With an open number of sessions it is named by the launches of all of its server: a session that was not needed may be, once
        the others changed.
        """
        loads = [load.id for load in pending_loads(session, self._results, self.config.retry)]
        sessions = self._sessions_by_server[session.server.id] if self.config.repeats.is_open else [session]
        name = digest([loads, *(launch_count(same_server, self._results) for same_server in sessions)], 8)
        return str(session_folder(self._results, session) / "measured" / name)

    def _last_mark(self, session: Session) -> list[str]:
        """Mark that the session's last job left, as a list of one; empty where the records came here without it."""
        folder = session_folder(self._results, session) / "measured"
        marks = [path for path in folder.glob("*") if not path.suffix]
        return [str(max(marks, key=lambda path: path.stat().st_mtime_ns))] if marks else []

    def _record(self, session: Session) -> str:
        return str(session_folder(self._results, session) / "session.json")

    def priority(self, wildcards: Any) -> int:
        """Priority of a session's job, the higher the earlier: the planned order of the sessions, backwards."""
        position, _ = self._position_and_session(wildcards)
        return len(self._by_id) - position

    def gpu_count(self, wildcards: Any) -> int:
        """Number of GPUs that the session takes."""
        _, session = self._position_and_session(wildcards)
        return self.config.devices[session.server.gpu].gpu_count

    def session_needs(self, wildcards: Any) -> list[str]:
        """Files that a session cannot be measured without: config, prompts, environment, image, model files, calibrations.

        Nothing for a session whose mark is there: it is settled, whatever became of its config, its model or its environment. (Inputs
        that are `ancient` would not do: Snakemake does not look behind a job that has to run, nor past an input that is ancient.)
        """
        if Path(
            self._results, "sessions", wildcards.server, f"rep{wildcards.rep}", "measured", wildcards.missing
        ).exists():
            return []
        _, session = self._position_and_session(wildcards)
        clients = {load.options.client for load in session.loads}
        calibrations = [str(self._resources / calibration_file(client)) for client in sorted(clients)]
        server_files = self._server_files(session.server.spec)
        needs = [str(self._results / "config.json"), self.prompt_file, *server_files, *calibrations]
        # Snakemake takes braces for wildcards
        return [path for path in needs if "{" not in path or not Path(path).exists()]

    def _server_files(self, spec: ServerSpec) -> list[str]:
        """Files that the server is launched from: model files, and the mark of its environment or image."""
        files = [str(path) for path in needed_files(spec, self._resources).values() if not is_hub_name(path)]
        if spec.runtime == "venv":
            files.append(str(self._resources / environment_folder(spec) / "ready"))
        if spec.runtime == "docker" and spec.image:
            files.append(self._image_mark(spec.image))
        return files

    @cached_property
    def _images(self) -> dict[str, str]:
        """Name of an image's record -> the image."""
        images = {point.server.spec.image for point in self.grid.points} - {None}
        return {Path(record_path(str(image))).stem: str(image) for image in images}

    def image_reference(self, wildcards: Any) -> str:
        """Name of the image in the config."""
        return self._images[wildcards.image]

    def image_record(self, wildcards: Any) -> str:
        """Path of the record of what the image's name means."""
        return str(self._resources / record_path(self._images[wildcards.image]))

    def _image_mark(self, image: str) -> str:
        """Path of the image's record; if there is none without an error, of the mark of another attempt to look it up."""
        path, record = self._resources / record_path(image), read_image_record(image, self._resources)
        if record and not record.error:
            return str(path)
        return str(path.with_suffix(f".{digest(path.read_text() if record else None, 8)}.done"))

    @cached_property
    def _environments(self) -> dict[str, tuple[str, str]]:
        """Folder name of each engine environment -> (name of its lock, lock file)."""
        specs = [point.server.spec for point in self.grid.points if point.server.spec.runtime == "venv"]
        locks = {environment_folder(spec): engines.get(spec.engine).lock(spec.kind) for spec in specs}
        return {
            Path(folder).name: (name, str(self._basedir / "envs" / f"{name}.txt")) for folder, name in locks.items()
        }

    @cached_property
    def environment_marks(self) -> dict[str, str]:
        """Name of a lock -> path of the mark that says its environment is built."""
        return {
            lock: str(self._resources / "envs" / folder / "ready") for folder, (lock, _) in self._environments.items()
        }

    def lock_file(self, wildcards: Any) -> str:
        """Lock file that an engine environment is built from."""
        return self._environments[wildcards.environment][1]

    def environment_ready(self, lock: str) -> Callable[[Any], str]:
        """Input function that returns the mark of the environment of this lock."""
        return lambda _wildcards: self.environment_marks[lock]

    def environment_python(self, lock: str) -> Callable[[Any], str]:
        """Params function that returns the Python of the environment of this lock."""
        return lambda _wildcards: str(Path(self.environment_marks[lock]).parent / "bin" / "python")

    def _model(self, wildcards: Any) -> ModelRef:
        """The model, of the served one and its draft, whose folder the wildcard names."""
        models = [self.resolved.model, *([self.resolved.draft] if self.resolved.draft else [])]
        return next(model for model in models if model.folder == f"models/{wildcards.model}")

    def checkpoint(self, wildcards: Any) -> str:
        """Folder of the Hugging Face checkpoint that a model file is converted from."""
        return str(self._resources / self._model(wildcards).checkpoint)

    def served_checkpoint(self, _wildcards: Any) -> str:
        """Folder of the checkpoint of the model that is served; its tokenizer counts the prompts' tokens."""
        return str(self._resources / self.resolved.model.checkpoint)

    def checkpoint_command(self, wildcards: Any) -> str:
        """Command line, from the name of the script on, that makes a checkpoint: builds it here, or fetches it from the hub."""
        model = self._model(wildcards)
        if model is self.resolved.draft:
            return "build_model.py --draft"
        if self.config.model.source == "builtin":
            return "build_model.py"
        return f"fetch_model.py --name {shlex.quote(model.name)} --revision {shlex.quote(model.revision)}"

    def rbln_python(self, _wildcards: Any) -> str:
        """Python that compiles for NPUs: that of RBLN_PYTHON, else the one beside the program of an engine of the config."""
        specs = [point.server.spec for point in self.grid.points if point.server.spec.kind == "npu"]
        pythons = [Path(spec.command[0]).with_name("python") for spec in specs if spec.command]
        return os.environ.get("RBLN_PYTHON") or next((str(path) for path in pythons if path.exists()), "python3")

    @property
    def prompt_file(self) -> str:
        """Path of the prompts of every load: the user's file as it is, or the generated set."""
        if self.config.prompts.source != "generated":
            return self.config.prompts.source
        return str(self._resources / "prompts" / f"{self.resolved.prompt_set_id}.jsonl")

    def prompt_arguments(self, _wildcards: Any) -> str:
        """Arguments of build_prompts.py, as one shell line."""
        prompts = self.config.prompts
        tokenizer = self._resources / self.resolved.model.checkpoint / "tokenizer.json"
        lengths = f"--input-mean {prompts.input_tokens} --input-min {min(4, prompts.input_tokens)} --input-max {prompts.input_tokens_max}"
        return (
            f"--tokenizer {shlex.quote(str(tokenizer))} --count {prompts.count} {lengths}"
            f" --output-tokens {prompts.output_tokens} --seed {prompts.seed}"
        )

    def code_digest(self, script: str) -> Callable[[Any], str]:
        """Params function that returns the digest of a script and all it imports; an edit makes anew what the script makes."""
        return lambda _wildcards: code_digest(SCRIPTS / f"{script}.py")

    @property
    def provenance_marks(self) -> list[str]:
        """Marks that Snakemake's records of what made the results are here: one lies beside these records, one among the results."""
        name = digest([str(Path.cwd()), str(self._results)], 8)
        return [f".snakemake/servegrid/{name}", str(self._results / "made_in" / name)]

    def collect_token(self, _wildcards: Any) -> str:
        """Token that differs from that of the last collect as long as something is to be measured, and else is the same.

        For a run that asks for a table alone, where the marks of `pending_sessions` are no targets. Its second part tells the code and
        the settings: tables put back from an older copy are known by it to be older.
        """
        path = self._results / "collected.txt"
        last = path.read_text().strip() if path.exists() else ""
        state = digest([code_digest(SCRIPTS / "collect.py"), self._tables_digest])
        if last.endswith(state) and not self.pending_sessions:
            return last
        return f"{digest([last, state, [session.id for session in self.pending_sessions]])}-{state}"

    def tables_digest(self, _wildcards: Any) -> str:
        """Params function: hash of what the result tables depend on beside records and code."""
        return self._tables_digest

    @cached_property
    def _tables_digest(self) -> str:
        """Hash of points, their names, prices, limits and the baseline."""
        points = [[dict(point.axes), point.server.id, point.load.id, str(point.skip)] for point in self.grid.points]
        prices = {name: device.usd_per_hour for name, device in self.config.devices.items()}
        other_hosts = [self._other_hosts_records] if self._other_hosts_records else []
        report = self.config.report
        limits = [report.slo] if report.slo else []
        return digest([points, self.config.repeats.model_dump(), prices, report.baseline, *limits, *other_hosts])

    def full_config(self, _wildcards: Any) -> str:
        """Params function: the whole config as JSON."""
        return json.dumps(self._raw, sort_keys=True)

    def stored_config(self, _wildcards: Any) -> str:
        """Params function: the config as JSON, without what is asked of one run alone."""
        return self._stored_config

    @cached_property
    def _stored_config(self) -> str:
        return json.dumps(
            {key: value for key, value in self._raw.items() if key not in ("commands", "retry")}, sort_keys=True
        )

    def published_digests(self, _wildcards: Any) -> list[str | None]:
        """Params function: digests of the published tables. (A path is no input where it may hold braces: Snakemake takes them for wildcards.)"""
        return [content_digest(named_or_shipped(name)) for name in self.config.report.published]

    def device_table_digest(self, _wildcards: Any) -> str | None:
        """Params function: digest of the table of what devices can do."""
        return content_digest(self._basedir / "config" / "published" / "devices.csv")

    def caption_digests(self, _wildcards: Any) -> list[str | None]:
        """Params function: digests of the texts of Snakemake's own report."""
        return [content_digest(path) for path in sorted((self._basedir / "workflow" / "report").glob("*.rst"))]

    def timeline_sessions(self, wildcards: Any) -> list[str]:
        """Folders of the sessions whose telemetry is drawn: the first of each server, up to the number in the config."""
        first = [session for session in self.grid.sessions if session.rep == 1]
        position = {point.server.id: number for number, point in reversed(list(enumerate(self.grid.points)))}
        first.sort(key=lambda session: position[session.server.id])
        return [str(session_folder(self._results, session)) for session in first[: self.config.report.timelines]]
