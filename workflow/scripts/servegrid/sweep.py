"""The sweep as Snakemake asks for it: which sessions are still to be measured, and what each rule needs."""

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
    """A config, expanded and held against the records on disk. Methods that take wildcards are inputs and params of rules."""

    def __init__(self, raw: Mapping[str, Any], basedir: str | Path) -> None:
        self.config = parse_config(dict(raw))
        self._raw = raw
        self.facts = resolve.resolve(self.config)
        self.grid = Grid(self.config, self.facts)
        self._basedir = Path(basedir)
        self._results = Path(self.config.pathvars.results)
        self._resources = Path(self.config.pathvars.resources)

    @cached_property
    def _by_id(self) -> dict[str, tuple[int, Session]]:
        return {session.id: (position, session) for position, session in enumerate(self.grid.sessions)}

    def _session(self, wildcards: Any) -> Session:
        return self._by_id[f"{wildcards.server}/rep{wildcards.rep}"][1]

    @cached_property
    def _wanted(self) -> list[Session]:
        return needed_sessions(self.grid, self._results, self.config.retry)

    @cached_property
    def _servers(self) -> dict[str, list[Session]]:
        return sessions_by_server(self.grid)

    @cached_property
    def todo(self) -> list[Session]:
        """Sessions with at least one load that is not settled, in the order they are to run; with `repeats: auto` all that there may be."""
        return [session for session in self._wanted if pending_loads(session, self._results, self.config.retry)]

    def todo_marks(self, _wildcards: Any) -> list[str]:
        """Marks of the sessions to be measured; targets of their own, since Snakemake makes no input that is missing for an output that is there."""
        return [self._mark(session) for session in self.todo]

    def session_inputs(self, wildcards: Any) -> list[str]:
        """What collect waits for: the mark of every session to be measured; of a settled one its record, and the mark of what made it."""
        todo = {session.id for session in self.todo}
        settled = [session for session in self._wanted if session.id not in todo]
        known = [path for session in settled for path in (*self._last_mark(session), self._record(session))]
        return self.todo_marks(wildcards) + known + self._elsewhere

    @cached_property
    def _elsewhere(self) -> list[str]:
        """Records of other hosts that stand for devices that this one lacks."""
        found = sessions_of_other_hosts(self.grid, [Path(folder) for folder in self.config.report.also_from])
        paths = [
            session_folder(home, session) / "session.json" for home, sessions in found.values() for session in sessions
        ]
        return [str(path) for path in paths if path.exists()]

    def _mark(self, session: Session) -> str:
        """A file that does not exist yet: named by what is missing, and by how often the session was launched before.

        With an open number of sessions by those of its server, too: a session that was not needed may be, once the others changed.
        """
        loads = [load.id for load in pending_loads(session, self._results, self.config.retry)]
        counted = self._servers[session.server.id] if self.config.repeats.is_open else [session]
        name = digest([loads, *(launch_count(one, self._results) for one in counted)], 8)
        return str(session_folder(self._results, session) / "measured" / name)

    def _last_mark(self, session: Session) -> list[str]:
        """The mark that the session's last job left; none where the records came here without it."""
        folder = session_folder(self._results, session) / "measured"
        marks = [path for path in folder.glob("*") if not path.suffix]
        return [str(max(marks, key=lambda path: path.stat().st_mtime_ns))] if marks else []

    def _record(self, session: Session) -> str:
        return str(session_folder(self._results, session) / "session.json")

    def priority(self, wildcards: Any) -> int:
        """Higher runs first: the planned order of the sessions, backwards."""
        return len(self._by_id) - self._by_id[f"{wildcards.server}/rep{wildcards.rep}"][0]

    def gpus(self, wildcards: Any) -> int:
        """How many GPUs the session takes."""
        return self.config.devices[self._session(wildcards).server.gpu].gpu_count

    def session_needs(self, wildcards: Any) -> list[str]:
        """What must be there before a session can be measured: config, prompts, environment, image, model files, calibrations.

        Nothing for a session whose mark is there: it is settled, whatever became of its config, its model or its environment. (Inputs
        that are `ancient` would not do: Snakemake does not look behind a job that has to run, nor past an input that is ancient.)
        """
        if Path(
            self._results, "sessions", wildcards.server, f"rep{wildcards.rep}", "measured", wildcards.missing
        ).exists():
            return []
        session = self._session(wildcards)
        kinds = {load.options.client for load in session.loads}
        calibrations = [str(self._resources / calibration_file(kind)) for kind in sorted(kinds)]
        needs = [str(self._results / "config.json"), self.prompt_file, *self._parts(session.server.spec), *calibrations]
        return [
            path for path in needs if "{" not in path or not Path(path).exists()
        ]  # Snakemake takes braces for wildcards

    def _parts(self, spec: ServerSpec) -> list[str]:
        parts = [str(path) for path in needed_files(spec, self._resources).values() if not is_hub_name(path)]
        if spec.runtime == "venv":
            parts.append(str(self._resources / environment_folder(spec) / "ready"))
        if spec.runtime == "docker" and spec.image:
            parts.append(self._image_mark(spec.image))
        return parts

    @cached_property
    def _images(self) -> dict[str, str]:
        """Name of an image's record -> the image."""
        images = {point.server.spec.image for point in self.grid.points} - {None}
        return {Path(record_path(str(image))).stem: str(image) for image in images}

    def image_reference(self, wildcards: Any) -> str:
        """The image as the config names it."""
        return self._images[wildcards.image]

    def image_record(self, wildcards: Any) -> str:
        """The record of what the image's name means."""
        return str(self._resources / record_path(self._images[wildcards.image]))

    def _image_mark(self, image: str) -> str:
        """What a session needs to know of its image: its record, or the mark of another attempt to look it up."""
        path, known = self._resources / record_path(image), read_image_record(image, self._resources)
        if known and not known.error:
            return str(path)
        return str(path.with_suffix(f".{digest(path.read_text() if known else None, 8)}.done"))

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
        """Name of a lock -> the mark that says its environment is built."""
        return {
            lock: str(self._resources / "envs" / folder / "ready") for folder, (lock, _) in self._environments.items()
        }

    def lock_file(self, wildcards: Any) -> str:
        """The lock file that an engine environment is built from."""
        return self._environments[wildcards.environment][1]

    def environment_ready(self, lock: str) -> Callable[[Any], str]:
        """Input function: the mark of the environment of this lock."""
        return lambda _wildcards: self.environment_marks[lock]

    def environment_python(self, lock: str) -> Callable[[Any], str]:
        """Params function: the Python of the environment of this lock."""
        return lambda _wildcards: str(Path(self.environment_marks[lock]).parent / "bin" / "python")

    def _model(self, wildcards: Any) -> ModelRef:
        models = [self.facts.model, *([self.facts.draft] if self.facts.draft else [])]
        return next(model for model in models if model.folder == f"models/{wildcards.model}")

    def checkpoint(self, wildcards: Any) -> str:
        """The Hugging Face checkpoint that a model file is converted from."""
        return str(self._resources / self._model(wildcards).checkpoint)

    def own_checkpoint(self, _wildcards: Any) -> str:
        """The checkpoint of the model that is served; its tokenizer counts the prompts' tokens."""
        return str(self._resources / self.facts.model.checkpoint)

    def checkpoint_command(self, wildcards: Any) -> str:
        """The script that makes a checkpoint, with its arguments: built here, or fetched from the hub."""
        model = self._model(wildcards)
        if model is self.facts.draft:
            return "build_model.py --draft"
        if self.config.model.source == "builtin":
            return "build_model.py"
        return f"fetch_model.py --name {shlex.quote(model.name)} --revision {shlex.quote(model.revision)}"

    def rbln_python(self, _wildcards: Any) -> str:
        """The Python that compiles for NPUs: that of RBLN_PYTHON, else the one beside the program of an engine of the config."""
        specs = [point.server.spec for point in self.grid.points if point.server.spec.kind == "npu"]
        beside = [Path(spec.command[0]).with_name("python") for spec in specs if spec.command]
        return os.environ.get("RBLN_PYTHON") or next((str(python) for python in beside if python.exists()), "python3")

    @property
    def prompt_file(self) -> str:
        """The prompts of every load: the user's file as it is, or the generated set."""
        if self.config.prompts.source != "generated":
            return self.config.prompts.source
        return str(self._resources / "prompts" / f"{self.facts.prompt_set_id}.jsonl")

    def prompt_arguments(self, _wildcards: Any) -> str:
        """Arguments of build_prompts.py."""
        wanted = self.config.prompts
        tokenizer = self._resources / self.facts.model.checkpoint / "tokenizer.json"
        lengths = f"--input-mean {wanted.input_tokens} --input-min {min(4, wanted.input_tokens)} --input-max {wanted.input_tokens_max}"
        return (
            f"--tokenizer {shlex.quote(str(tokenizer))} --count {wanted.count} {lengths}"
            f" --output-tokens {wanted.output_tokens} --seed {wanted.seed}"
        )

    def code(self, script: str) -> Callable[[Any], str]:
        """Params function: the digest of a script and of all that it imports. Its edit makes anew what the script makes."""
        return lambda _wildcards: code_digest(SCRIPTS / f"{script}.py")

    @property
    def known_here(self) -> list[str]:
        """Marks that Snakemake's records of what made the results are here: one lies beside these records, one among the results."""
        name = digest([str(Path.cwd()), str(self._results)], 8)
        return [f".snakemake/servegrid/{name}", str(self._results / "made_in" / name)]

    def collect_token(self, _wildcards: Any) -> str:
        """Differs from that of the last collect as long as something is to be measured; else it is that of the last collect.

        For a run that asks for a table alone, where the marks of `todo` are no targets.
        """
        path = self._results / "collected.txt"
        last = path.read_text().strip() if path.exists() else ""
        return digest([last, [session.id for session in self.todo]]) if self.todo or not last else last

    def digest(self, _wildcards: Any) -> str:
        """Hash of what the result tables depend on beside records and code."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        """Of points, their names, prices, limits and the baseline."""
        points = [[dict(point.axes), point.server.id, point.load.id, str(point.skip)] for point in self.grid.points]
        prices = {name: device.usd_per_hour for name, device in self.config.devices.items()}
        elsewhere = [self._elsewhere] if self._elsewhere else []
        report = self.config.report
        limits = [report.slo] if report.slo else []
        return digest([points, self.config.repeats.model_dump(), prices, report.baseline, *limits, *elsewhere])

    def whole(self, _wildcards: Any) -> str:
        """The whole config as JSON."""
        return json.dumps(self._raw, sort_keys=True)

    def resolved(self, _wildcards: Any) -> str:
        """The config as JSON, without what is asked of one run alone."""
        return self._resolved

    @cached_property
    def _resolved(self) -> str:
        return json.dumps(
            {key: value for key, value in self._raw.items() if key not in ("commands", "retry")}, sort_keys=True
        )

    def published(self, _wildcards: Any) -> list[str | None]:
        """Params function: digests of the published tables. (A path is no input where it may hold braces: Snakemake takes them for wildcards.)"""
        return [content_digest(named_or_shipped(name)) for name in self.config.report.published]

    def device_facts(self, _wildcards: Any) -> str | None:
        """Params function: digest of the table of what devices can do."""
        return content_digest(self._basedir / "config" / "published" / "devices.csv")

    def captions(self, _wildcards: Any) -> list[str | None]:
        """Params function: digests of the texts of Snakemake's own report."""
        return [content_digest(path) for path in sorted((self._basedir / "workflow" / "report").glob("*.rst"))]

    def timeline_sessions(self, wildcards: Any) -> list[str]:
        """Folders of the sessions whose telemetry is drawn: the first of each server, up to the number in the config."""
        first = [session for session in self.grid.sessions if session.rep == 1]
        order = {point.server.id: number for number, point in reversed(list(enumerate(self.grid.points)))}
        first.sort(key=lambda session: order[session.server.id])
        return [str(session_folder(self._results, session)) for session in first[: self.config.report.timelines]]
