"""The sweep as Snakemake asks for it: which sessions are still to be measured, and what each rule needs."""

import json
import os
import shlex
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from servegrid import engines
from servegrid import facts as facts_of
from servegrid.calibration import file_name
from servegrid.commands import environment_folder, needed_files
from servegrid.config import parse_config
from servegrid.config.load import engine_of
from servegrid.docker_runtime.record import record_path, recorded
from servegrid.elsewhere import merged
from servegrid.engines.base import ModelRef
from servegrid.files import named_or_shipped
from servegrid.grid import Grid, Session
from servegrid.hub import is_hub_name
from servegrid.identity import digest
from servegrid.report.settings import PLACE
from servegrid.rounds import by_server, wanted
from servegrid.state import launches, missing, session_folder


class Sweep:
    """A config, expanded and held against the records on disk. Methods that take wildcards are inputs and params of rules."""

    def __init__(self, raw: Mapping[str, Any], basedir: str | Path) -> None:
        self.config = parse_config(dict(raw))
        self._raw = raw
        self.facts = facts_of.gather(self.config)
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
        return wanted(self.grid, self._results, self.config.retry)

    @cached_property
    def _servers(self) -> dict[str, list[Session]]:
        return by_server(self.grid)

    @cached_property
    def todo(self) -> list[Session]:
        """Sessions with at least one load that is not settled, in the order they are to run; with `repeats: auto` all that there may be."""
        return [session for session in self._wanted if missing(session, self._results, self.config.retry)]

    def session_inputs(self, _wildcards: Any) -> list[str]:
        """What collect waits for: the mark of every session to be measured; of a finished one its record."""
        todo = {session.id for session in self.todo}
        own = [self._mark(session) if session.id in todo else self._record(session) for session in self._wanted]
        return own + self._elsewhere

    @cached_property
    def _elsewhere(self) -> list[str]:
        """Records of other hosts that stand for devices that this one lacks."""
        found = merged(self.grid, [Path(folder) for folder in self.config.report.also_from])
        paths = [
            session_folder(home, session) / "session.json" for home, sessions in found.values() for session in sessions
        ]
        return [str(path) for path in paths if path.exists()]

    def _mark(self, session: Session) -> str:
        """A file that does not exist yet: named by what is missing, and by how often the session was launched before.

        With an open number of sessions by those of its server, too: a session that was not needed may be, once the others changed.
        """
        loads = [load.id for load in missing(session, self._results, self.config.retry)]
        counted = self._servers[session.server.id] if self.config.repeats.is_open else [session]
        name = digest([loads, *(launches(one, self._results) for one in counted)], 8)
        return str(session_folder(self._results, session) / "measured" / name)

    def _record(self, session: Session) -> str:
        return str(session_folder(self._results, session) / "session.json")

    def priority(self, wildcards: Any) -> int:
        """Higher runs first: the planned order of the sessions, backwards."""
        return len(self._by_id) - self._by_id[f"{wildcards.server}/rep{wildcards.rep}"][0]

    def gpus(self, wildcards: Any) -> int:
        """How many GPUs the session takes."""
        return self.config.devices[self._session(wildcards).server.gpu].gpu_count

    def session_parts(self, wildcards: Any) -> list[str]:
        """What must be there before the server can start: its environment and its model files."""
        spec = self._session(wildcards).server.spec
        parts = [str(path) for path in needed_files(spec, self._resources).values() if not is_hub_name(path)]
        if spec.runtime == "venv":
            parts.append(str(self._resources / environment_folder(spec) / "ready"))
        if spec.runtime == "docker" and spec.image:
            parts.append(self._image_record(spec.image))
        return parts

    @cached_property
    def _images(self) -> dict[str, str]:
        """Name of an image's record -> the image."""
        images = {point.server.spec.image for point in self.grid.points} - {None}
        return {Path(record_path(str(image))).stem: str(image) for image in images}

    def image_reference(self, wildcards: Any) -> str:
        """The image as the config names it."""
        return self._images[wildcards.image]

    def _image_record(self, image: str) -> str:
        """What a session that is to be measured needs to know of its image. That it could not be had is forgotten: this run tries anew."""
        path, found = self._resources / record_path(image), recorded(image, self._resources)
        if found and found.error:
            path.unlink(missing_ok=True)
        return str(path)

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

    def calibrations(self, wildcards: Any) -> list[str]:
        """What the clients of this session cost on this host; measured once per host."""
        kinds = {load.options.client for load in self._session(wildcards).loads}
        return [str(self._resources / file_name(kind)) for kind in sorted(kinds)]

    def rbln_python(self, _wildcards: Any) -> str:
        """The Python that compiles for NPUs: that of RBLN_PYTHON, else the one beside the program of an engine of the config."""
        specs = [point.server.spec for point in self.grid.points if point.server.spec.kind == "npu"]
        beside = [Path(spec.command[0]).with_name("python") for spec in specs if spec.command]
        return os.environ.get("RBLN_PYTHON") or next((str(python) for python in beside if python.exists()), "python3")

    def prompt_file(self, _wildcards: Any) -> str:
        """The prompts of every load: the user's file as it is, or the generated set."""
        if self.config.prompts.source != "generated":
            return self.config.prompts.source
        return str(self._resources / "prompts" / f"{self.facts.prompts}.jsonl")

    def prompt_arguments(self, _wildcards: Any) -> str:
        """Arguments of build_prompts.py."""
        wanted = self.config.prompts
        tokenizer = self._resources / self.facts.model.checkpoint / "tokenizer.json"
        lengths = f"--input-mean {wanted.input_tokens} --input-min {min(4, wanted.input_tokens)} --input-max {wanted.input_tokens_max}"
        return (
            f"--tokenizer {shlex.quote(str(tokenizer))} --count {wanted.count} {lengths}"
            f" --output-tokens {wanted.output_tokens} --seed {wanted.seed}"
        )

    def code(self, *names: str) -> list[str]:
        """Scripts whose change makes a table or figure stale."""
        return [str(self._basedir / "workflow" / "scripts" / name) for name in names]

    @cached_property
    def collect_token(self) -> str:
        """Differs from that of the last collect as long as something is to be measured; else it is that of the last collect.

        A missing mark alone would not do: Snakemake does not make an input that is missing for an output that is there.
        """
        last = self._results / "collected.txt"
        if self.todo or not last.exists():
            return digest([[session.id for session in self.todo], time.time_ns()])
        return last.read_text().strip()

    @cached_property
    def digest(self) -> str:
        """Hash of what the result tables depend on beside records: points, their names, prices, limits and the baseline."""
        points = [[dict(point.axes), point.server.id, point.load.id, str(point.skip)] for point in self.grid.points]
        prices = {name: device.usd_per_hour for name, device in self.config.devices.items()}
        elsewhere = [self._elsewhere] if self._elsewhere else []
        report = self.config.report
        limits = [report.slo] if report.slo else []
        return digest([points, self.config.repeats.model_dump(), prices, report.baseline, *limits, *elsewhere])

    @cached_property
    def whole(self) -> str:
        """The whole config as JSON."""
        return json.dumps(self._raw, sort_keys=True)

    @cached_property
    def resolved(self) -> str:
        """The config as JSON, without what is asked of one run alone."""
        return json.dumps(
            {key: value for key, value in self._raw.items() if key not in ("commands", "retry")}, sort_keys=True
        )

    @property
    def published(self) -> list[str]:
        """The published tables, where they are."""
        return [str(named_or_shipped(name)) for name in self.config.report.published]

    @cached_property
    def report_settings(self) -> str:
        """The report's part of the config, the further axes and the names, as JSON: a change of it redraws, and measures nothing."""
        engines = {name: engine_of(name, entry) for name, entry in self.config.engines.items()}
        devices = {name: device.name or "" for name, device in self.config.devices.items()}
        server = self.config.server.model_dump(include=set(PLACE))
        more = {"axes": self.grid.axes[5:], "engines": engines, "devices": devices, "server": server}
        return json.dumps(self.config.report.model_dump() | more, sort_keys=True)

    def timeline_sessions(self, wildcards: Any) -> list[str]:
        """Folders of the sessions whose telemetry is drawn: the first of each server, up to the number in the config."""
        first = [session for session in self.grid.sessions if session.rep == 1]
        order = {point.server.id: number for number, point in reversed(list(enumerate(self.grid.points)))}
        first.sort(key=lambda session: order[session.server.id])
        return [str(session_folder(self._results, session)) for session in first[: self.config.report.timelines]]
