"""Expand a config into points, servers, loads and sessions, with the reason for every point that is skipped. Pure."""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, TypeVar

from servegrid import engines, protocols
from servegrid.config import Config
from servegrid.config.measuring import LoadConfig
from servegrid.config.models import all_axes
from servegrid.config.parse import as_list, engine_of
from servegrid.config.serving import EngineConfig, ServerConfig
from servegrid.engines.base import ModelRef, ServerSpec
from servegrid.engines.speculation import parse_speculation
from servegrid.launch import layout
from servegrid.plan import cache_policy, load_shape
from servegrid.plan.resolve import Resolved
from servegrid.plan.thread_levels import Shortage, shortages
from servegrid.prompts import salt
from servegrid.util.identity import digest, hashed_name

Axes = Mapping[str, Any]
S = TypeVar("S", ServerConfig, LoadConfig)


@dataclass(frozen=True, slots=True)
class Skip:
    """Why a point is not measured: `unsupported` (by the engine or client) or `absent` (this host lacks something)."""

    status: Literal["unsupported", "absent"]
    reason: str


@dataclass(frozen=True)
class Server:
    """A server of the grid: its definition `spec`, and as `id` the name of its folder, which ends in a hash of `spec`."""

    name: str  # the entry of `engines`
    gpu: str
    spec: ServerSpec
    id: str


@dataclass(frozen=True)
class Load:
    """A load of the grid: its options, and as `id` the name of its folder, which ends in a hash of `definition`."""

    threads: int | None  # None with planned arrivals
    options: LoadConfig
    definition: Mapping[str, Any]
    id: str

    @property
    def is_salted(self) -> bool:
        """Whether its prompts stand behind salts."""
        return "salt" in self.definition


@dataclass(frozen=True)
class Point:
    """One cell of the grid: its value on each axis, its server and load, and why it is skipped, if it is."""

    axes: Axes
    server: Server
    load: Load
    skip: Skip | None


@dataclass(frozen=True)
class Session:
    """One launch-to-stop run of one server: all loads that any point asks of it, one after another."""

    server: Server
    rep: int
    loads: tuple[Load, ...]

    @property
    def id(self) -> str:
        """Path of the session's folder below results/sessions."""
        return f"{self.server.id}/rep{self.rep}"


class Grid:
    """An expanded config: its points, and the sessions that measure them."""

    def __init__(self, config: Config, resolved: Resolved) -> None:
        self.config = config
        self.resolved = resolved
        self._servers: dict[tuple[Any, ...], Server] = {}
        self._skips: dict[str, Skip | None] = {}
        self._loads: dict[tuple[Any, ...], Load] = {}
        self.axes = list(all_axes(config.grid))
        self.points = [self._make_point(axes) for axes in _expand(config)]

    @cached_property
    def shortages(self) -> list[Shortage]:
        """Levels of threads whose loads have few requests for each thread."""
        loads = {point.load.id: (point.load.threads, point.load.options) for point in self.points}
        return shortages(loads.values(), self.config.prompts.count)

    @cached_property
    def sessions(self) -> list[Session]:
        """Sessions in the order they are to run: round by round, each in a shuffled order that depends only on their ids.

        The rounds spread a drift of the machine over all servers instead of laying it on the last ones, and every other round
        has each server's loads in reverse, so that a drift within sessions (heat, a cache that fills) falls on all of them and
        widens their intervals. With `repeats: auto` these are all possible sessions; see repeats.needed_sessions.
        """
        loads: dict[str, dict[str, Load]] = {}
        servers: dict[str, Server] = {}
        for point in self.points:
            if point.skip is None:
                servers[point.server.id] = point.server
                loads.setdefault(point.server.id, {})[point.load.id] = point.load
        rounds = range(1, self.config.repeats.at_most + 1)
        sessions = (
            Session(server, rep, tuple(loads[id].values())[:: 1 if rep % 2 else -1])
            for rep in rounds
            for id, server in servers.items()
        )
        return sorted(sessions, key=lambda session: (session.rep, digest(session.id)))

    def _make_point(self, axes: Axes) -> Point:
        server = self._server_of(axes)
        load = self._load_of(axes, server.spec)
        return Point(axes, server, load, self._skips[server.id] or self._skip_of_load(server, load))

    def _skip_of_load(self, server: Server, load: Load) -> Skip | None:
        protocol = protocols.get(server.spec.protocol or engines.get(server.spec.engine).protocols[0])
        reason = load_shape.unsupported(load.options, protocol.transport)
        if reason := reason or cache_policy.unsupported(server.spec, load.options):
            return Skip("unsupported", reason)
        if reason := self.resolved.absent_clients.get(load.options.client):
            return Skip("absent", reason)
        return None

    def _server_of(self, axes: Axes) -> Server:
        key = tuple((axis, str(value)) for axis, value in axes.items() if axis not in LOAD_AXES or axis == "stop")
        if key not in self._servers:
            spec = self._server_spec(axes)
            name_parts = [axes["engine"], axes["gpu"], f"spec-{spec.speculation}", f"quant-{axes['quantization']}"]
            server = Server(axes["engine"], axes["gpu"], spec, hashed_name(spec, *name_parts))
            self._servers[key] = server
            self._skips[server.id] = self._skip_of_server(server)
        return self._servers[key]

    def _server_spec(self, axes: Axes) -> ServerSpec:
        entry = self.config.engines[axes["engine"]]
        kind = engine_of(axes["engine"], entry)
        server = _override(self.config.server, axes)
        speculation = parse_speculation(axes["speculation"], engines.get(kind).default_speculation())
        device = {"name": axes["gpu"], **self.config.devices[axes["gpu"]].identifying_fields()}
        image = entry.image or engines.get(kind).images.get(device["kind"]) if entry.runtime == "docker" else None
        spec = ServerSpec(
            engine=kind,
            version=self._engine_version(axes["engine"], kind, device["kind"]),
            runtime=entry.runtime,
            device=device,
            speculation=speculation,
            quantization=str(axes["quantization"]),
            model=self._reduced_model(kind, str(axes["quantization"]), speculation.kind),
            draft=self.resolved.draft if speculation.kind == "draft" else None,
            concurrency=server.concurrency,
            context_tokens=server.context_tokens,
            cpu_threads=server.cpu_threads,
            prefix_cache=server.prefix_cache,
            options=_server_options(entry, axes),
            env=entry.env,
            command=tuple(entry.command) if entry.command else None,
            url=entry.url,
            served_model=entry.served_model,
            image=image,
            memory_limit=entry.memory_limit,
            protocol=entry.protocol,
            api_key_env=entry.api_key_env,
            ca_file=entry.ca_file,
            health_path=entry.health_path,
            request=entry.request or None,
            memory_fraction=server.memory_fraction,
            tensor_parallel=server.tensor_parallel,
            replicas=server.replicas,
            sharing=server.sharing,
            balancer=server.balancer if server.replicas * server.sharing > 1 else None,
        )
        ends = "natural" if engines.get(kind).ends_by_checkpoint and self._stops_naturally(axes, entry) else None
        return replace(spec, weights=engines.get(kind).unquantized_type(spec), ends=ends)

    def _stops_naturally(self, axes: Axes, entry: EngineConfig) -> bool:
        """Whether a server that is launched here is to let answers end where the model ends them."""
        return entry.runtime != "url" and _override(self.config.load, axes).stop == "natural"

    def _reduced_model(self, engine: str, quantization: str, speculation: str) -> ModelRef:
        """The model reduced to the checkpoint and speculator this server uses, so that other entries do not change its id."""
        names = {quantization, engines.get(engine).quantizations.get(quantization, quantization)}
        model = self.resolved.model
        quantized = {name: path for name, path in (model.quantized or {}).items() if name in names} or None
        speculators = {name: path for name, path in (model.speculators or {}).items() if name == speculation} or None
        paths = [*(quantized or {}).values(), *(speculators or {}).values()]
        local = {
            path: self.resolved.checkpoint_hashes[path] for path in paths if path in self.resolved.checkpoint_hashes
        }
        revision = digest([model.revision, local]) if local else model.revision
        return replace(model, revision=revision, quantized=quantized, speculators=speculators)

    def _engine_version(self, name: str, engine: str, device_kind: str) -> str:
        """Version of the engine; of an environment that of its lock file, `none` if there is none for this kind of device."""
        if self.config.engines[name].runtime == "venv":
            return self.resolved.lock_versions.get(engines.get(engine).lock(device_kind), "none")
        return self.resolved.engine_versions[name]

    def _skip_of_server(self, server: Server) -> Skip | None:
        spec, gpu_count = server.spec, self.config.devices[server.gpu].gpu_count
        reason = engines.get(spec.engine).unsupported(spec) or self._missing_environment(spec)
        if reason := reason or layout.unsupported(spec, server.gpu, gpu_count):
            return Skip("unsupported", reason)
        if reason := self.resolved.absent_devices.get(server.gpu) or self.resolved.absent_balancers.get(
            spec.balancer or ""
        ):
            return Skip("absent", reason)
        return None

    def _missing_environment(self, spec: ServerSpec) -> str | None:
        if spec.runtime != "venv" or spec.version != "none":
            return None
        engine = engines.get(spec.engine)
        return f"{engine.title} has no environment of servegrid's for devices of kind {spec.kind}; use another runtime"

    def _load_of(self, axes: Axes, spec: ServerSpec) -> Load:
        options = _override(self.config.load, axes)
        is_salted = cache_policy.cache_policy(spec, options) == "cold (salt)"
        key = (is_salted, *((axis, str(axes[axis])) for axis in LOAD_AXES if axis in axes))
        if key not in self._loads:
            threads = int(axes["threads"]) if options.arrival == "closed" else None
            definition = {"threads": threads, "prompts": self.resolved.prompt_set_id}
            definition |= load_shape.definition(options) | {"output_tokens": self.config.prompts.output_tokens}
            if options.arrival == "trace":
                definition["trace"] = self.resolved.trace_hashes[str(options.trace)]
            definition |= {"salt": salt.LETTERS} if is_salted else {}
            name = hashed_name(definition, load_shape.readable_name(options, threads))
            self._loads[key] = Load(threads, options, definition, name)
        return self._loads[key]


LOAD_AXES = ("threads", *LoadConfig.model_fields)


def _override(section: S, axes: Axes) -> S:
    """The section of the config with its keys overridden by the point's further axes."""
    values = {axis: value for axis, value in axes.items() if axis in type(section).model_fields}
    return type(section).model_validate(section.model_dump() | values) if values else section


def _server_options(entry: EngineConfig, axes: Axes) -> dict[str, Any]:
    """The entry's options with those of the point's axes `options.<flag>`; a level `default` leaves the entry's."""
    levels = {axis.removeprefix("options."): level for axis, level in axes.items() if axis.startswith("options.")}
    options = entry.options | {name: level for name, level in levels.items() if level != "default"}
    return {name.removeprefix("--"): value for name, value in options.items()}


def _expand(config: Config) -> Iterator[Axes]:
    """Yield the product of the axes without `exclude`, then `include`; every point once."""
    lists = all_axes(config.grid)
    exclude = config.grid.exclude
    product = (point for point in _product(lists) if not any(matches(point, entry) for entry in exclude))
    included = itertools.chain.from_iterable(_product(lists | _value_lists(entry)) for entry in config.grid.include)
    seen: set[tuple[str, ...]] = set()
    for point in itertools.chain(product, included):
        key = tuple(map(str, point.values()))
        if key not in seen:
            seen.add(key)
            yield point


def _product(lists: Mapping[str, Iterable[Any]]) -> Iterator[dict[str, Any]]:
    return (dict(zip(lists, values, strict=True)) for values in itertools.product(*lists.values()))


def _value_lists(entry: Mapping[str, Any]) -> dict[str, list[Any]]:
    return {axis: as_list(value) for axis, value in entry.items()}


def matches(point: Axes, entry: Mapping[str, Any]) -> bool:
    """Whether the point has, on every axis that the entry names, one of the entry's values."""
    return all(str(point[axis]) in map(str, values) for axis, values in _value_lists(entry).items())
