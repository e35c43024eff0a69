"""The interface of an engine: capabilities, files, command line, endpoints; and the specification of a server."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from servegrid.engines.served_types import ServedTypes, TypeSources
from servegrid.engines.speculation import TRAINED, Speculation
from servegrid.util.identity import added_field, unhashed_field

Option = str | int | float | None
CACHE_FOLDER = "/cache"  # in containers, and XDG_CACHE_HOME there
NO_HEALTH_PATH = "none"  # as `health_path` of a server
SCRIPTS = Path(__file__).resolve().parents[2]
LAUNCH = "servegrid itself, at each launch"  # in place of a config key in `Engine.reserved_flags`


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A model of the grid. `folder` is relative to the folder of resources, or an absolute path of the user's.

    `gguf` and `quantized` name ready files and checkpoints by quantization, `speculators` weights by kind of speculation;
    each is a path, or a hub name that the engine itself fetches.
    """

    name: str
    revision: str
    checkpoint: str
    folder: str
    gguf: Mapping[str, str] = field(default_factory=dict)
    quantized: Mapping[str, str] | None = added_field(None)
    speculators: Mapping[str, str] | None = added_field(None)


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """Definition of a server: all that must be the same for it to be reused. Paths and ports are not part of it."""

    engine: str
    version: str
    runtime: str
    device: Mapping[str, object]
    speculation: Speculation
    quantization: str
    model: ModelRef
    draft: ModelRef | None
    concurrency: int
    context_tokens: int
    cpu_threads: int | None
    prefix_cache: bool
    options: Mapping[str, Option]
    env: Mapping[str, str]
    command: tuple[str, ...] | None = None
    url: str | None = None
    served_model: str | None = None
    image: str | None = added_field(None)
    memory_limit: str | None = added_field(None)  # of a container
    protocol: str | None = added_field(None)  # None: the engine's first
    memory_fraction: float | None = added_field(
        None
    )  # of the device's memory, for weights and cache together; None: the engine's own
    tensor_parallel: int = added_field(1)
    replicas: int = added_field(1)
    sharing: int = added_field(1)  # servers on the same device
    balancer: str | None = added_field(None)  # None: a single server
    weights: str | None = added_field(None)  # see `Engine.unquantized_type`
    ends: str | None = added_field(None)  # `natural`, see `Engine.ends_by_checkpoint`
    request: Mapping[str, Any] | None = added_field(None)  # body fields of the user's, see `Engine.extra_fields`
    api_key_env: str | None = unhashed_field(None)  # variable of the shell that holds the API key
    ca_file: str | None = unhashed_field(None)  # certificates to trust; None: the system's
    health_path: str | None = unhashed_field(None)  # asked in place of the engine's; NO_HEALTH_PATH: nothing is asked

    @property
    def trusted_file(self) -> Path | None:
        """`ca_file` as a path."""
        return Path(self.ca_file) if self.ca_file else None

    @property
    def copies(self) -> int:
        """Number of server processes, which are behind a balancer if more than one."""
        return self.replicas * self.sharing

    @property
    def kind(self) -> str:
        """Kind of the device: cpu, cuda, npu or remote."""
        return str(self.device["kind"])


@dataclass(frozen=True, slots=True)
class Launch:
    """What is settled only at launch: paths of the server's files, and where it listens."""

    files: Mapping[str, Path]
    ports: tuple[int, ...]
    folder: Path  # where the files of `Engine.settings_files` are written
    host: str = "127.0.0.1"
    copy: int = 0  # which of the servers that share the device

    @property
    def port(self) -> int:
        """The first port; the API's, where an engine has several."""
        return self.ports[0]


@dataclass(frozen=True, slots=True)
class Container:
    """Container settings that an engine's image needs, beyond its command."""

    port: int = 8000  # the first port inside; further ones follow it
    program: tuple[str, ...] = ()  # words before the arguments, where the image's entry point is not the server
    entrypoint: tuple[str, ...] | None = None  # in place of the image's own
    shm_size: str | None = "1g"
    ipc: str | None = None
    ulimits: Mapping[str, int] = field(default_factory=dict)
    cache: str | None = None  # folder inside that is kept between launches: compiled kernels, downloads
    init: bool = True  # a first process that hands signals on: a server that is the first itself may be deaf to SIGTERM
    privileged: bool = False
    devices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Metrics:
    """Names of the server's own metrics, by the quantity of the result columns; None where it has none."""

    running: str | None = None
    waiting: str | None = None
    kv_cache: str | None = None
    kv_cache_tokens: str | None = None  # room in the cache
    kv_cache_info: tuple[str, str] | None = None  # the same, as a label of a series: its name and the label
    drafted_tokens: str | None = None
    accepted_tokens: str | None = None
    acceptance_rate: str | None = None  # of servers that count neither
    drafts: str | None = None  # how often something was drafted, and verified
    acceptance_length: str | None = None  # of servers that do not count those
    cached_tokens: tuple[
        tuple[str, str], ...
    ] = ()  # counters of prompt tokens: those that were cached, and all; the first that count


@dataclass(frozen=True, slots=True)
class Reported:
    """What a running server reports about itself; None for what it does not report."""

    version: str | None = None
    context_tokens: int | None = None
    concurrency: int | None = None
    kv_cache_tokens: int | None = None


class Engine(ABC):
    """One inference engine. A subclass is one file; its lock file is envs/<name>.txt."""

    name: ClassVar[str]
    title: ClassVar[str]
    runtimes: ClassVar[tuple[str, ...]]
    program: ClassVar[str] = ""  # what the engine's environment runs, below workflow/scripts
    images: ClassVar[Mapping[str, str]] = {}  # kind of device -> image of runtime docker, where the config names none
    protocols: ClassVar[tuple[str, ...]] = ("openai-completions",)
    health_path: ClassVar[str] = "/health"
    metrics_path: ClassVar[str | None] = "/metrics"
    metrics: ClassVar[Metrics] = Metrics()
    info_paths: ClassVar[tuple[str, ...]] = ()  # asked once the server is ready; see `reported`
    type_sources: ClassVar[TypeSources] = TypeSources()
    devices: ClassVar[tuple[str, ...]] = ("cpu",)
    speculation_kinds: ClassVar[tuple[str, ...]] = ()
    quantizations: ClassVar[Mapping[str, str]]  # the grid's name -> the engine's own
    own_types: ClassVar[Mapping[str, str]] = {}  # kind of device -> conversion of the checkpoint that keeps its type
    reserved_flags: ClassVar[Mapping[str, Sequence[str]]] = {}  # config key -> the flags it sets, in all spellings
    port_count: ClassVar[int] = 1
    has_memory_fraction: ClassVar[bool] = False
    has_tensor_parallel: ClassVar[bool] = False
    has_prefix_cache: ClassVar[bool] = True
    greedy_fields: ClassVar[Mapping[str, Any]] = {}  # as `request_fields`, where temperature 0 alone is not greedy
    ends_by_checkpoint: ClassVar[bool] = (
        False  # exact lengths come from a checkpoint without an end token, not from the request
    )
    key_variable: ClassVar[str | None] = None  # environment variable that the server reads its API key from
    above_limit: ClassVar[Literal["queue", "reject", "no limit"]] = "queue"  # requests beyond the server's concurrency

    def unsupported(self, spec: ServerSpec) -> str | None:
        """Why this engine cannot run this server, None if it can. Decided before anything is launched."""
        if spec.runtime == "url" or spec.kind == "remote":
            return _unsupported_remote(spec)
        if spec.kind not in self.devices:
            return f"{self.title} is not set up here for devices of kind {spec.kind}"
        if spec.runtime == "docker" and not spec.image:
            return f"servegrid knows no image of {self.title} for devices of kind {spec.kind}; name one as `image`"
        return (
            self._unsupported_speculation(spec)
            or self._unsupported_quantization(spec)
            or self._unsupported_setting(spec)
        )

    def _unsupported_speculation(self, spec: ServerSpec) -> str | None:
        kind = spec.speculation.kind
        if kind not in ("none", *self.speculation_kinds):
            if not self.speculation_kinds:
                return f"{self.title} has no speculative decoding"
            return f"{self.title} has no speculation of kind {kind} (it has {', '.join(self.speculation_kinds)})"
        if kind == "draft" and spec.draft is None:
            return "draft speculation needs a draft model: set model.draft"
        if kind in TRAINED and kind not in (spec.model.speculators or {}):
            return f"{kind} speculation needs weights of its own: name them under model.speculators.{kind}"
        return None

    def _unsupported_quantization(self, spec: ServerSpec) -> str | None:
        if spec.quantization in self.quantizations:
            return None
        return f"{self.title} has no quantization {spec.quantization} (it has {', '.join(self.quantizations)})"

    def _unsupported_setting(self, spec: ServerSpec) -> str | None:
        if spec.memory_fraction is not None and not self.has_memory_fraction:
            return f"{self.title} cannot be given a share of the device's memory"
        if spec.tensor_parallel > 1 and not self.has_tensor_parallel:
            return f"{self.title} does not split a model over several GPUs here"
        if spec.prefix_cache and not self.has_prefix_cache:
            return f"{self.title} has no prefix cache"
        return None

    def keeps_prompts(self, spec: ServerSpec) -> bool:
        """Whether this server may answer with work on a prompt that it has seen before; at a URL nobody knows."""
        return spec.prefix_cache or spec.runtime == "url"

    def unquantized_type(self, spec: ServerSpec) -> str | None:
        """What an unquantized model, or draft, is converted to where that is its own type; None: what `quantizations` says of `none`."""
        converted = spec.quantization == "none" and "none" not in spec.model.gguf
        return self.own_types.get(spec.kind) if converted or spec.draft else None

    def reserved_by(self, option: str) -> str | None:
        """Config key that sets this option, however it is spelled (`_` for `-`, `no-`, `flag=value`, `flag.part`); None if it is free."""
        flag = option.lstrip("-").partition("=")[0].replace("_", "-").removeprefix("no-")
        for key, names in self.reserved_flags.items():
            if any(flag == name or flag.startswith(f"{name}.") for name in names):
                return key
        return None

    def default_speculation(self) -> str:
        """Kind of speculation that a bare length on the axis means."""
        return self.speculation_kinds[0] if self.speculation_kinds else "ngram"

    def lock(self, device_kind: str) -> str:
        """Name of the lock file in envs/ for this kind of device, without `.txt`; engines may share one."""
        return self.name

    def python_arguments(self) -> list[str]:
        """Arguments of the environment's Python that start the server, before those of `arguments`."""
        return [str(SCRIPTS / self.program)]

    @abstractmethod
    def files(self, spec: ServerSpec) -> dict[str, str]:
        """Model files the server needs, by role; paths are relative to the folder of resources unless absolute."""

    @abstractmethod
    def arguments(self, spec: ServerSpec, launch: Launch) -> list[str]:
        """Arguments of the program, to serve on `launch.host` and `launch.port`."""

    def settings_files(self, spec: ServerSpec, launch: Launch) -> dict[str, str]:
        """Settings files to write into `launch.folder` before the start: relative path -> text."""
        return {}

    def container(self, spec: ServerSpec) -> Container:
        """Container settings that the engine's image needs."""
        return Container()

    def api_model(self, spec: ServerSpec, launch: Launch) -> str:
        """Name of the model in requests to this server."""
        return spec.model.name

    def port_of(self, endpoint: Literal["api", "health", "metrics"], spec: ServerSpec) -> int:
        """Index of the port that serves this endpoint, counted from 0."""
        return 0

    def request_fields(self, spec: ServerSpec, max_tokens: int) -> Mapping[str, Any]:
        """Fields of a request's body that differ from the protocol's: added, replaced, or (None) left out."""
        return {}

    def exact_fields(self, spec: ServerSpec, max_tokens: int) -> Mapping[str, Any]:
        """As `request_fields`, of requests whose answers are not to end by themselves."""
        return {}

    def extra_fields(
        self, spec: ServerSpec, max_tokens: int, temperature: float = 0.0, exact: bool = True
    ) -> dict[str, Any]:
        """The engine's `request_fields`, `exact_fields` and, at temperature 0, `greedy_fields`; the user's own fields in place of them."""
        engine_fields = {
            **self.request_fields(spec, max_tokens),
            **(self.exact_fields(spec, max_tokens) if exact else {}),
        }
        greedy = self.greedy_fields if temperature == 0 else {}
        return {**engine_fields, **greedy, **(spec.request or {})}

    def reported(self, answers: Mapping[str, Any]) -> Reported:
        """What the server reports about itself, from its JSON answers at `info_paths`."""
        return Reported()

    def answered_types(self, answers: Mapping[str, Any]) -> ServedTypes:
        """Number types in the server's JSON answers at `info_paths`; see `served_types`."""
        return ServedTypes()

    def served_types(self, answers: Mapping[str, Any], log: str, command: Sequence[str]) -> ServedTypes:
        """Number types that the server really took: by its answers, else by its log, else by its command line."""
        return self.type_sources.read(self.answered_types(answers), log, command)

    def environment(self, spec: ServerSpec) -> dict[str, str]:
        """Environment variables of the server beyond those of the run; the config's win. `${NAME}` is the shell's variable."""
        # OpenMP's threads spin while they wait. On cores that are shared with the client that makes a CPU engine many times
        # slower, and how much depends on the moment.
        openmp = {"OMP_WAIT_POLICY": "PASSIVE"} if spec.kind == "cpu" else {}
        key = {self.key_variable: f"${{{spec.api_key_env}}}"} if self.key_variable and spec.api_key_env else {}
        return openmp | dict(spec.env) | key  # the client sends this one


def _unsupported_remote(spec: ServerSpec) -> str | None:
    """Why a server with runtime url or a remote device is refused: nothing can be set on a server that runs already."""
    if spec.runtime != "url":
        return "a device of kind remote goes with runtime url: nothing can be launched there"
    if spec.kind != "remote":
        return "a server at a URL is not launched on this device; give it one of kind remote"
    if spec.speculation.kind != "none" or spec.quantization != "none":
        return "a server at a URL is what it is: its speculation and quantization cannot be set from here"
    if spec.memory_fraction is not None or spec.tensor_parallel > 1 or spec.copies > 1:
        return "a server at a URL is what it is: its memory and its copies cannot be set from here"
    if spec.prefix_cache:
        return "a server at a URL is what it is: its prefix cache cannot be set from here; load.cache says whether prompts meet it"
    return None


def flag_word(name: str) -> str:
    """The flag as a word of the command line: `batch-size` -> `--batch-size`; one that has its dashes, such as `-fa`, stays."""
    return name if name.startswith("-") else f"--{name}"


def flags(options: Mapping[str, Option]) -> list[str]:
    """The options as command line flags: `{batch-size: 512, enforce-eager: None}` -> `--batch-size 512 --enforce-eager`."""
    pairs = ([flag_word(name)] if value is None else [flag_word(name), str(value)] for name, value in options.items())
    return [argument for pair in pairs for argument in pair]
