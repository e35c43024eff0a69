"""What every engine tells servegrid: what it can do, which files it needs, its command line, its endpoints."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from servegrid.engines.speculation import TRAINED, Speculation
from servegrid.util.identity import added_field, unhashed_field

Option = str | int | float | None
CACHE = "/cache"  # in containers, and XDG_CACHE_HOME there
SCRIPTS = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A model as the grid knows it: `folder` is relative to the folder of resources, or an absolute path of the user's.

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
    """All that must be the same for a server to be reused. Paths and ports are not part of it."""

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
    api_key_env: str | None = unhashed_field(None)  # variable of the shell that holds the API key

    @property
    def copies(self) -> int:
        """How many servers this is, behind a balancer if more than one."""
        return self.replicas * self.sharing

    @property
    def kind(self) -> str:
        """The device's kind."""
        return str(self.device["kind"])


@dataclass(frozen=True, slots=True)
class Launch:
    """What is known only when a server is started: where its files are and where it is to listen."""

    files: Mapping[str, Path]
    ports: tuple[int, ...]
    folder: Path  # what `Engine.written` names lies there
    host: str = "127.0.0.1"
    copy: int = 0  # which of the servers that share the device

    @property
    def port(self) -> int:
        """The first port: the one of the API, where an engine has several."""
        return self.ports[0]


@dataclass(frozen=True, slots=True)
class Container:
    """What an engine's image asks of the daemon, beyond its command."""

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
    """Names of the server's own metrics that mean what the columns of the results mean; None where it has none."""

    running: str | None = None
    waiting: str | None = None
    kv_cache: str | None = None
    kv_cache_tokens: str | None = None  # room in the cache
    kv_cache_info: tuple[str, str] | None = None  # the same, as a label of a series: its name and the label
    prompt_tokens: str | None = None
    output_tokens: str | None = None
    drafted_tokens: str | None = None
    accepted_tokens: str | None = None
    acceptance_rate: str | None = None  # of servers that count neither
    drafts: str | None = None  # how often something was drafted, and verified
    acceptance_length: str | None = None  # of servers that do not count those


@dataclass(frozen=True, slots=True)
class Reported:
    """What a running server says of itself; None where it does not."""

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
    facts_paths: ClassVar[tuple[str, ...]] = ()  # asked once the server is ready; see `reported`
    devices: ClassVar[tuple[str, ...]] = ("cpu",)
    speculation_kinds: ClassVar[tuple[str, ...]] = ()
    quantizations: ClassVar[Mapping[str, str]]  # the grid's name -> the engine's own
    port_count: ClassVar[int] = 1
    has_memory_fraction: ClassVar[bool] = False
    has_tensor_parallel: ClassVar[bool] = False
    has_prefix_cache: ClassVar[bool] = True
    key_variable: ClassVar[str | None] = None  # environment variable that the server reads its API key from
    above_limit: ClassVar[Literal["queue", "reject", "no limit"]] = "queue"  # requests beyond the server's concurrency

    def unsupported(self, spec: ServerSpec) -> str | None:
        """Why this engine cannot be this server, in words, or None if it can. Decided before anything is launched."""
        if spec.runtime == "url" or spec.kind == "remote":
            return _not_remote(spec)
        if spec.kind not in self.devices:
            return f"{self.title} is not set up here for devices of kind {spec.kind}"
        if spec.runtime == "docker" and not spec.image:
            return f"servegrid knows no image of {self.title} for devices of kind {spec.kind}; name one as `image`"
        return self._no_speculation(spec) or self._no_quantization(spec) or self._no_setting(spec)

    def _no_speculation(self, spec: ServerSpec) -> str | None:
        asked = spec.speculation
        if asked.kind not in ("none", *self.speculation_kinds):
            if not self.speculation_kinds:
                return f"{self.title} has no speculative decoding"
            return f"{self.title} has no speculation of kind {asked.kind} (it has {', '.join(self.speculation_kinds)})"
        if asked.kind == "draft" and spec.draft is None:
            return "draft speculation needs a draft model: set model.draft"
        if asked.kind in TRAINED and asked.kind not in (spec.model.speculators or {}):
            return f"{asked.kind} speculation needs weights of its own: name them under model.speculators.{asked.kind}"
        return None

    def _no_quantization(self, spec: ServerSpec) -> str | None:
        if spec.quantization in self.quantizations:
            return None
        return f"{self.title} has no quantization {spec.quantization} (it has {', '.join(self.quantizations)})"

    def _no_setting(self, spec: ServerSpec) -> str | None:
        if spec.memory_fraction is not None and not self.has_memory_fraction:
            return f"{self.title} cannot be given a share of the device's memory"
        if spec.tensor_parallel > 1 and not self.has_tensor_parallel:
            return f"{self.title} does not split a model over several GPUs here"
        if spec.prefix_cache and not self.has_prefix_cache:
            return f"{self.title} has no prefix cache"
        return None

    def default_speculation(self) -> str:
        """The kind that a bare length on the speculation axis means."""
        return self.speculation_kinds[0] if self.speculation_kinds else "ngram"

    def lock(self, device_kind: str) -> str:
        """Name of the lock file in envs/ for this kind of device; engines may share one."""
        return self.name

    def started_by(self) -> list[str]:
        """The words after the environment's Python."""
        return [str(SCRIPTS / self.program)]

    @abstractmethod
    def files(self, spec: ServerSpec) -> dict[str, str]:
        """Model files the server needs, by role; paths are relative to the folder of resources unless absolute."""

    @abstractmethod
    def arguments(self, spec: ServerSpec, launch: Launch) -> list[str]:
        """The command line after the program, to serve on `launch.host` and `launch.port`."""

    def written(self, spec: ServerSpec, launch: Launch) -> dict[str, str]:
        """Files that are written into `launch.folder` before the start: relative path -> text."""
        return {}

    def container(self, spec: ServerSpec) -> Container:
        """What the image asks of the daemon."""
        return Container()

    def api_model(self, spec: ServerSpec, launch: Launch) -> str:
        """What the model is called in requests to this server."""
        return spec.model.name

    def port_of(self, what: Literal["api", "health", "metrics"], spec: ServerSpec) -> int:
        """Which of the ports answers for this, counted from 0."""
        return 0

    def request_fields(self, spec: ServerSpec, max_tokens: int) -> Mapping[str, Any]:
        """Fields of a request's body that differ from the protocol's: added, replaced, or (None) left out."""
        return {}

    def reported(self, answers: Mapping[str, Any]) -> Reported:
        """What the server says of itself, from its answers (JSON) at `facts_paths`."""
        return Reported()

    def environment(self, spec: ServerSpec) -> dict[str, str]:
        """Environment variables of the server beyond those of the run; the config's own win. `${NAME}` is the shell's variable."""
        # OpenMP's threads spin while they wait. On cores that are shared with the client that makes a CPU engine many times
        # slower, and how much depends on the moment.
        passive = {"OMP_WAIT_POLICY": "PASSIVE"} if spec.kind == "cpu" else {}
        key = {self.key_variable: f"${{{spec.api_key_env}}}"} if self.key_variable and spec.api_key_env else {}
        return passive | dict(spec.env) | key  # the client sends this one


def _not_remote(spec: ServerSpec) -> str | None:
    """A server that runs already is what it is."""
    if spec.runtime != "url":
        return "a device of kind remote goes with runtime url: nothing can be launched there"
    if spec.kind != "remote":
        return "a server at a URL is not launched on this device; give it one of kind remote"
    if spec.speculation.kind != "none" or spec.quantization != "none":
        return "a server at a URL is what it is: its speculation and quantization cannot be set from here"
    if spec.memory_fraction is not None or spec.tensor_parallel > 1 or spec.copies > 1:
        return "a server at a URL is what it is: its memory and its copies cannot be set from here"
    return None


def flags(options: Mapping[str, Option]) -> list[str]:
    """`{batch-size: 512, enforce-eager: None}` -> `--batch-size 512 --enforce-eager`."""
    return [word for name, value in options.items() for word in _flag(name, value)]


def _flag(name: str, value: Option) -> list[str]:
    return [f"--{name}"] if value is None else [f"--{name}", str(value)]
