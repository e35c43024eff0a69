"""What the grid has to know beside the config: versions, revisions, hashes, and which devices this host has."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from servegrid import engines
from servegrid.config import Config, ConfigError, EngineConfig
from servegrid.config.models import further_axes
from servegrid.config.parse import engine_of
from servegrid.engines.base import ModelRef
from servegrid.model.builtin import DRAFT_NAME, DRAFT_REVISION, NAME, REVISION
from servegrid.util.files import REPOSITORY, named_or_shipped
from servegrid.util.identity import digest, readable_name

PROMPTS_VERSION = 1  # raise it when the generator makes another set from the same keys


@dataclass(frozen=True, slots=True)
class Facts:
    """Looked up once, before the grid is expanded; with them the grid is a pure function of the config."""

    model: ModelRef
    draft: ModelRef | None
    prompts: str
    engine_versions: Mapping[str, str]  # entry of `engines` -> version, where its environment does not say
    locks: Mapping[str, str] = field(default_factory=dict)  # name of a lock file -> version of what it installs
    absent: Mapping[str, str] = field(default_factory=dict)  # device -> why this host lacks it
    absent_clients: Mapping[str, str] = field(default_factory=dict)  # kind of client -> what this host lacks for it
    absent_balancers: Mapping[str, str] = field(default_factory=dict)  # balancer -> what this host lacks for it
    ready: Mapping[str, str] = field(default_factory=dict)  # path of a ready checkpoint or speculator -> its content
    traces: Mapping[str, str] = field(default_factory=dict)  # arrival trace -> SHA-256 of its content


def gather(config: Config) -> Facts:
    """Look up what the config refers to.

    Raises:
        ConfigError: when a file or folder that the config names is not there.
    """
    model = _model(config.model.source, config.model.revision, _whole(config.model.gguf))
    quantized, speculators = _whole(config.model.quantized), _whole(config.model.speculators)
    model = replace(model, quantized=quantized or None, speculators=speculators or None)
    draft = _draft(config.model.draft)
    versions = {name: _engine_version(name, entry) for name, entry in config.engines.items() if entry.runtime != "venv"}
    _published(config)
    return Facts(
        model,
        draft,
        _prompts(config, model),
        versions,
        locks=_locks(config),
        absent=_absent(config),
        absent_clients=_absent_clients(config),
        absent_balancers=_absent_balancers(config),
        ready=_ready(config),
        traces=_traces(config),
    )


def _model(source: str, revision: str | None, gguf: Mapping[str, str]) -> ModelRef:
    if source == "builtin":
        return _made(NAME, REVISION)
    if Path(source).exists():
        return _local(source, gguf)
    return _hub(source, revision, gguf, "model.source")


def _whole(named: Mapping[str, str]) -> dict[str, str]:
    """Paths that are there made absolute; what is not there is a name on the hub, or is missed later."""
    return {name: str(Path(path).absolute()) if Path(path).exists() else path for name, path in named.items()}


def _ready(config: Config) -> dict[str, str]:
    """Content of every ready checkpoint and speculator that lies on this machine, by its path."""
    from servegrid.model.identity import revision_of

    named = [*_whole(config.model.quantized).values(), *_whole(config.model.speculators).values()]
    return {name: revision_of(Path(name)) for name in named if Path(name).exists()}


def _local(source: str, gguf: Mapping[str, str]) -> ModelRef:
    from servegrid.model.identity import revision_of

    path = Path(source).resolve()
    revision = digest([revision_of(path), {name: revision_of(Path(file)) for name, file in gguf.items()}])
    return ModelRef(path.name, revision, str(path), f"models/{readable_name(path.name)}-{revision[:8]}", dict(gguf))


def _hub(source: str, revision: str | None, gguf: Mapping[str, str], key: str) -> ModelRef:
    if "/" not in source or source.startswith((".", "/", "~")):
        raise ConfigError(
            [f"{key} = {source!r}: is not there; allowed: builtin, a folder, or a hub name such as org/model"]
        )
    if revision is None:
        raise ConfigError([f"{key} = {source!r}: a hub name needs model.revision, since what a name means can change"])
    folder = f"models/{readable_name(source)}-{digest([source, revision], 8)}"
    return ModelRef(source, revision, f"{folder}/checkpoint", folder, dict(gguf))


def _made(name: str, revision: str) -> ModelRef:
    folder = f"models/{readable_name(name)}-{digest(revision, 8)}"
    return ModelRef(name, revision, f"{folder}/checkpoint", folder)


def _draft(source: str | None) -> ModelRef | None:
    if source is None:
        return None
    if source == "builtin":
        return _made(DRAFT_NAME, DRAFT_REVISION)
    if not Path(source).exists():
        raise ConfigError([f"model.draft = {source!r}: is not there; allowed: builtin, a folder, or null"])
    return _local(source, {})


def _engine_version(name: str, entry: EngineConfig) -> str:
    """The version the user states, or the hash of the user's program; an image's is in its name."""
    if entry.version or entry.runtime in ("url", "docker"):
        return entry.version or "unstated"
    assert entry.command
    program = Path(entry.command[0])
    if not program.is_file():
        raise ConfigError(
            [f"engines.{name}.command[0] = {str(program)!r}: is not a file; give its whole path, or `version`"]
        )
    return f"file {hashlib.sha256(program.read_bytes()).hexdigest()[:12]}"


def _locks(config: Config) -> dict[str, str]:
    """Version of every lock file that an engine of the config may be installed from."""
    used = {engine_of(name, entry) for name, entry in config.engines.items() if entry.runtime == "venv"}
    kinds = {device.kind for device in config.devices.values()}
    files = {name: lock_file(name) for engine in used for kind in kinds for name in [engines.get(engine).lock(kind)]}
    return {
        name: f"lock {hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"
        for name, path in files.items()
        if path.is_file()
    }


def lock_file(name: str) -> Path:
    """The lock file of this name."""
    return REPOSITORY / "envs" / f"{name}.txt"


def _prompts(config: Config, model: ModelRef) -> str:
    """Identity of the prompt set: of a file its content, of a generated set all that goes into making it."""
    wanted = config.prompts
    if wanted.source == "generated":
        return digest([PROMPTS_VERSION, model.revision, wanted.model_dump()])
    if not Path(wanted.source).is_file():
        raise ConfigError(
            [f"prompts.source = {wanted.source!r}: is not there; allowed: generated, or a JSON Lines file"]
        )
    content = hashlib.sha256(Path(wanted.source).read_bytes()).hexdigest()
    return digest([content, wanted.count, wanted.output_tokens])


def _published(config: Config) -> None:
    for index, name in enumerate(config.report.published):
        if not named_or_shipped(name).is_file():
            raise ConfigError([f"report.published[{index}] = {name!r}: is not there; allowed: a CSV file"])


def _values(config: Config, axis: str) -> list[Any]:
    """All values that the grid gives to an axis, those of its extra points among them."""
    own = getattr(config.grid, axis, None) or further_axes(config.grid).get(axis, [])
    extra = [point[axis] for point in config.grid.include if axis in point]
    return [*own, *(value for given in extra for value in (given if isinstance(given, list) else [given]))]


def _absent_clients(config: Config) -> dict[str, str]:
    from servegrid.client.kinds import missing_programs

    used = {config.load.client, *_values(config, "client")}
    return {"parallel": reason} if "parallel" in used and (reason := missing_programs()) else {}


def _absent_balancers(config: Config) -> dict[str, str]:
    from servegrid.launch.balancer import PACKAGES, missing

    used = {config.server.balancer, *map(str, _values(config, "balancer"))}
    return {kind: reason for kind in sorted(used & set(PACKAGES)) if (reason := missing(kind))}


def _traces(config: Config) -> dict[str, str]:
    named = {config.load.trace, *_values(config, "trace")} - {None}
    files = {str(name): Path(str(name)) for name in named}
    return {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in files.items() if file.is_file()}


def _absent(config: Config) -> dict[str, str]:
    from servegrid.host.devices import why_absent

    named = {name: config.devices[name] for name in _values(config, "gpu")}
    used = {name: device for name, device in named.items() if device.kind in ("cuda", "npu")}
    return {name: reason for name, device in used.items() if (reason := why_absent(device))}
