"""Resolve what the config refers to: versions, revisions, hashes, and which devices and clients this host lacks."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from servegrid import engines
from servegrid.config import Config, ConfigError, EngineConfig
from servegrid.config.models import all_axes
from servegrid.config.parse import as_list, engine_of
from servegrid.engines.base import ModelRef
from servegrid.model.builtin import DRAFT_NAME, DRAFT_REVISION, NAME, REVISION
from servegrid.util.files import REPOSITORY, named_or_shipped
from servegrid.util.identity import digest, readable_name

PROMPTS_VERSION = 1  # raise it when the generator makes another set from the same keys


@dataclass(frozen=True, slots=True)
class Resolved:
    """What the config's names mean on this host. Looked up once; with it the grid is a pure function of the config."""

    model: ModelRef
    draft: ModelRef | None
    prompt_set_id: str
    engine_versions: Mapping[str, str]  # entry of `engines` -> version, unless a lock file gives it
    lock_versions: Mapping[str, str] = field(default_factory=dict)  # name of a lock file -> version of what it installs
    absent_devices: Mapping[str, str] = field(default_factory=dict)  # device -> why this host lacks it
    absent_clients: Mapping[str, str] = field(default_factory=dict)  # kind of client -> what this host lacks for it
    absent_balancers: Mapping[str, str] = field(default_factory=dict)  # balancer -> what this host lacks for it
    checkpoint_hashes: Mapping[str, str] = field(
        default_factory=dict
    )  # path of a ready checkpoint or speculator -> its content
    trace_hashes: Mapping[str, str] = field(default_factory=dict)  # arrival trace -> SHA-256 of its content


def resolve(config: Config) -> Resolved:
    """Look up all files, versions and devices that the config refers to.

    Raises:
        ConfigError: when a file or folder that the config names is not there.
    """
    model = _resolve_model(config.model.source, config.model.revision, _absolute_paths(config.model.gguf))
    quantized, speculators = _absolute_paths(config.model.quantized), _absolute_paths(config.model.speculators)
    model = replace(model, quantized=quantized or None, speculators=speculators or None)
    draft = _resolve_draft(config.model.draft)
    versions = {name: _engine_version(name, entry) for name, entry in config.engines.items() if entry.runtime != "venv"}
    _check_published(config)
    return Resolved(
        model,
        draft,
        _prompt_set_id(config, model),
        versions,
        lock_versions=_lock_versions(config),
        absent_devices=_absent_devices(config),
        absent_clients=_absent_clients(config),
        absent_balancers=_absent_balancers(config),
        checkpoint_hashes=_checkpoint_hashes(config),
        trace_hashes=_trace_hashes(config),
    )


def _resolve_model(source: str, revision: str | None, gguf: Mapping[str, str]) -> ModelRef:
    if source == "builtin":
        return _built_model(NAME, REVISION)
    if Path(source).exists():
        return _local_model(source, gguf)
    return _hub_model(source, revision, gguf, "model.source")


def _absolute_paths(paths: Mapping[str, str]) -> dict[str, str]:
    """The paths, made absolute where they exist; others are hub names, or are reported missing later."""
    return {name: str(Path(path).absolute()) if Path(path).exists() else path for name, path in paths.items()}


def _checkpoint_hashes(config: Config) -> dict[str, str]:
    """Content hash of every ready checkpoint and speculator on this host, by its path."""
    from servegrid.model.identity import revision_of

    paths = [*_absolute_paths(config.model.quantized).values(), *_absolute_paths(config.model.speculators).values()]
    return {path: revision_of(Path(path)) for path in paths if Path(path).exists()}


def _local_model(source: str, gguf: Mapping[str, str]) -> ModelRef:
    from servegrid.model.identity import revision_of

    path = Path(source).resolve()
    revision = digest([revision_of(path), {name: revision_of(Path(file)) for name, file in gguf.items()}])
    return ModelRef(path.name, revision, str(path), f"models/{readable_name(path.name)}-{revision[:8]}", dict(gguf))


def _hub_model(source: str, revision: str | None, gguf: Mapping[str, str], key: str) -> ModelRef:
    if "/" not in source or source.startswith((".", "/", "~")):
        raise ConfigError(
            [f"{key} = {source!r}: is not there; allowed: builtin, a folder, or a hub name such as org/model"]
        )
    if revision is None:
        raise ConfigError([f"{key} = {source!r}: a hub name needs model.revision, since what a name means can change"])
    folder = f"models/{readable_name(source)}-{digest([source, revision], 8)}"
    return ModelRef(source, revision, f"{folder}/checkpoint", folder, dict(gguf))


def _built_model(name: str, revision: str) -> ModelRef:
    folder = f"models/{readable_name(name)}-{digest(revision, 8)}"
    return ModelRef(name, revision, f"{folder}/checkpoint", folder)


def _resolve_draft(source: str | None) -> ModelRef | None:
    if source is None:
        return None
    if source == "builtin":
        return _built_model(DRAFT_NAME, DRAFT_REVISION)
    if not Path(source).exists():
        raise ConfigError([f"model.draft = {source!r}: is not there; allowed: builtin, a folder, or null"])
    return _local_model(source, {})


def _engine_version(name: str, entry: EngineConfig) -> str:
    """The version that the user states, or a hash of the user's program; an image's is in its name."""
    if entry.version or entry.runtime in ("url", "docker"):
        return entry.version or "unstated"
    assert entry.command
    program = Path(entry.command[0])
    if not program.is_file():
        raise ConfigError(
            [f"engines.{name}.command[0] = {str(program)!r}: is not a file; give its whole path, or `version`"]
        )
    return f"file {hashlib.sha256(program.read_bytes()).hexdigest()[:12]}"


def _lock_versions(config: Config) -> dict[str, str]:
    """Version (a hash) of every lock file that an engine of the config may be installed from."""
    used = {engine_of(name, entry) for name, entry in config.engines.items() if entry.runtime == "venv"}
    kinds = {device.kind for device in config.devices.values()}
    files = {name: lock_file(name) for engine in used for kind in kinds for name in [engines.get(engine).lock(kind)]}
    return {
        name: f"lock {hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"
        for name, path in files.items()
        if path.is_file()
    }


def lock_file(name: str) -> Path:
    """Path of the lock file of this name."""
    return REPOSITORY / "envs" / f"{name}.txt"


def _prompt_set_id(config: Config, model: ModelRef) -> str:
    """Hash of the prompt set: of a file's content, or of all that determines a generated set."""
    prompts = config.prompts
    if prompts.source == "generated":
        return digest([PROMPTS_VERSION, model.revision, prompts.model_dump()])
    if not Path(prompts.source).is_file():
        raise ConfigError(
            [f"prompts.source = {prompts.source!r}: is not there; allowed: generated, or a JSON Lines file"]
        )
    content = hashlib.sha256(Path(prompts.source).read_bytes()).hexdigest()
    return digest([content, prompts.count, prompts.output_tokens])


def _check_published(config: Config) -> None:
    for index, name in enumerate(config.report.published):
        if not named_or_shipped(name).is_file():
            raise ConfigError([f"report.published[{index}] = {name!r}: is not there; allowed: a CSV file"])


def _axis_values(config: Config, axis: str) -> list[Any]:
    """All values that the grid gives to an axis, including those of `include`."""
    listed = all_axes(config.grid).get(axis, [])
    return [*listed, *(value for point in config.grid.include for value in as_list(point.get(axis, [])))]


def _absent_clients(config: Config) -> dict[str, str]:
    from servegrid.client.kinds import missing_programs

    used = {config.load.client, *_axis_values(config, "client")}
    return {"parallel": reason} if "parallel" in used and (reason := missing_programs()) else {}


def _absent_balancers(config: Config) -> dict[str, str]:
    from servegrid.launch.balancer import PACKAGES, why_missing

    used = {config.server.balancer, *map(str, _axis_values(config, "balancer"))}
    return {kind: reason for kind in sorted(used & set(PACKAGES)) if (reason := why_missing(kind))}


def _trace_hashes(config: Config) -> dict[str, str]:
    names = {config.load.trace, *_axis_values(config, "trace")} - {None}
    files = {str(name): Path(str(name)) for name in names}
    return {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in files.items() if file.is_file()}


def _absent_devices(config: Config) -> dict[str, str]:
    from servegrid.host.devices import why_absent

    devices = {name: config.devices[name] for name in _axis_values(config, "gpu")}
    accelerators = {name: device for name, device in devices.items() if device.kind in ("cuda", "npu")}
    return {name: reason for name, device in accelerators.items() if (reason := why_absent(device))}
