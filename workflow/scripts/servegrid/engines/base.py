"""What every engine tells servegrid: what it can do, which files it needs, its command line, its endpoints."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from servegrid.speculation import Speculation

Option = str | int | float | None


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A model as the grid knows it: `folder` is relative to the folder of resources, or an absolute path of the user's."""

    name: str
    revision: str
    checkpoint: str
    folder: str
    gguf: Mapping[str, str] = field(default_factory=dict)


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


@dataclass(frozen=True, slots=True)
class Metrics:
    """Names of the server's own metrics that mean what the columns of the results mean; None where it has none."""

    running: str | None = None
    waiting: str | None = None
    kv_cache: str | None = None
    prompt_tokens: str | None = None
    output_tokens: str | None = None
    drafted_tokens: str | None = None
    accepted_tokens: str | None = None


class Engine(ABC):
    """One inference engine. A subclass is one file; its lock file is envs/<name>.txt."""

    name: ClassVar[str]
    title: ClassVar[str]
    runtimes: ClassVar[tuple[str, ...]]
    program: ClassVar[str]  # what the engine's environment runs, below workflow/scripts
    protocol: ClassVar[str] = "openai-completions"
    health_path: ClassVar[str] = "/health"
    metrics_path: ClassVar[str | None] = "/metrics"
    metrics: ClassVar[Metrics] = Metrics()
    devices: ClassVar[tuple[str, ...]] = ("cpu",)
    speculation_kinds: ClassVar[tuple[str, ...]] = ()
    quantizations: ClassVar[Mapping[str, str]]  # the grid's name -> the engine's own

    def unsupported(self, spec: ServerSpec) -> str | None:
        """Why this engine cannot be this server, in words, or None if it can. Decided before anything is launched."""
        if spec.runtime == "url" or spec.device["kind"] == "remote":
            return _not_remote(spec)
        if spec.device["kind"] not in self.devices:
            return f"{self.title} is not set up here for devices of kind {spec.device['kind']}"
        if spec.speculation.kind not in ("none", *self.speculation_kinds):
            return self._no_speculation(spec.speculation)
        if spec.quantization not in self.quantizations:
            return f"{self.title} has no quantization {spec.quantization} (it has {', '.join(self.quantizations)})"
        return None

    def _no_speculation(self, asked: Speculation) -> str:
        if not self.speculation_kinds:
            return f"{self.title} has no speculative decoding"
        return f"{self.title} has no speculation of kind {asked.kind} (it has {', '.join(self.speculation_kinds)})"

    def default_speculation(self) -> str:
        """The kind that a bare length on the speculation axis means."""
        return self.speculation_kinds[0] if self.speculation_kinds else "ngram"

    @abstractmethod
    def files(self, spec: ServerSpec) -> dict[str, str]:
        """Model files the server needs, by role; paths are relative to the folder of resources unless absolute."""

    @abstractmethod
    def arguments(self, spec: ServerSpec, files: Mapping[str, Path], port: int) -> list[str]:
        """The command line after the program, to serve on 127.0.0.1:`port`."""

    def environment(self, spec: ServerSpec) -> dict[str, str]:
        """Environment variables of the server beyond those of the run; the config's own win."""
        # OpenMP's threads spin while they wait. On cores that are shared with the client that makes a CPU engine many times
        # slower, and how much depends on the moment.
        passive = {"OMP_WAIT_POLICY": "PASSIVE"} if spec.device["kind"] == "cpu" else {}
        return passive | dict(spec.env)


def _not_remote(spec: ServerSpec) -> str | None:
    """A server that runs already is what it is."""
    if spec.runtime != "url":
        return "a device of kind remote goes with runtime url: nothing can be launched there"
    if spec.device["kind"] != "remote":
        return "a server at a URL is not launched on this device; give it one of kind remote"
    if spec.speculation.kind != "none" or spec.quantization != "none":
        return "a server at a URL is what it is: its speculation and quantization cannot be set from here"
    return None


def flags(options: Mapping[str, Option]) -> list[str]:
    """`{batch-size: 512, enforce-eager: None}` -> `--batch-size 512 --enforce-eager`."""
    return [word for name, value in options.items() for word in _flag(name, value)]


def _flag(name: str, value: Option) -> list[str]:
    return [f"--{name}"] if value is None else [f"--{name}", str(value)]
