"""The clients that are held against each other: how each is called, and what it wrote down."""

import csv
import json
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
LOAD = REPOSITORY / "workflow" / "scripts" / "load.py"

Firsts = dict[str, float]
"""Instant at which the client says it had the first token, in s of CLOCK_MONOTONIC, by request id."""


@dataclass(frozen=True)
class Task:
    """One run: so many threads of work share so many requests."""

    port: int
    threads: int
    requests: int
    chunks: int
    out: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class Contender(ABC):
    """A load client."""

    name: str
    whole = True  # parses answers and writes a result, which the C reference does not

    @abstractmethod
    def command(self, task: Task) -> list[str]:
        """Its command line."""

    @abstractmethod
    def firsts(self, out: Path) -> Firsts:
        """What it wrote down."""


class Reference(Contender):
    """reference_client.c: reads and stamps only."""

    name, whole = "C, epoll, reads and stamps only", False

    def __init__(self, program: Path) -> None:
        self._program = program

    def command(self, task: Task) -> list[str]:
        numbers = {"--port": task.port, "--threads": task.threads, "--requests": task.requests, "--log": task.out}
        return [str(self._program), *(str(word) for pair in numbers.items() for word in pair)]

    def firsts(self, out: Path) -> Firsts:
        return {number: float(first) for number, _, first in csv.reader(out.open())}


class Script(Contender):
    """A Python program that writes load.py's JSON lines."""

    def __init__(self, name: str, python: Path, program: Path, *options: str) -> None:
        self.name, self._start, self._options = name, [str(python), str(program)], options

    def command(self, task: Task) -> list[str]:
        numbers = ["--threads", str(task.threads), "--requests", str(task.requests), "--jsonl", str(task.out)]
        return [*self._start, "--url", task.url, *numbers, *self._options]

    def firsts(self, out: Path) -> Firsts:
        lines = map(json.loads, out.open())
        return {line["id"]: line["start"] + line["ttft"] for line in lines if line["ttft"] is not None}


class Servegrid(Script):
    """servegrid's client, whole: records written as JSON lines."""

    def __init__(self, workers: int = 1) -> None:
        name = "servegrid" if workers == 1 else f"servegrid, {workers} workers"
        super().__init__(name, Path(sys.executable), LOAD, "--quiet", "--model", "reference", "--workers", str(workers))

    def command(self, task: Task) -> list[str]:
        return [*super().command(task), "--max-tokens", str(task.chunks)]


class VllmBench(Contender):
    """`vllm bench serve`, called in its own environment; without a test request beforehand."""

    name = "vllm bench serve"

    def __init__(self, python: Path, tokenizer: Path) -> None:
        self._python, self._tokenizer = python, tokenizer

    def command(self, task: Task) -> list[str]:
        options = {
            "--backend": "openai",
            "--base-url": task.url,
            "--model": "reference",
            "--tokenizer": self._tokenizer,
            "--dataset-name": "random",
            "--random-input-len": 8,
            "--random-output-len": task.chunks,
            "--num-prompts": task.requests,
            "--max-concurrency": task.threads,
            "--request-id-prefix": "v",
            "--ready-check-timeout-sec": 0,
            "--result-dir": task.out.parent,
            "--result-filename": task.out.name,
        }
        arguments = [str(word) for pair in options.items() for word in pair]
        program = str(HERE / "vllm_bench.py")
        return [str(self._python), program, *arguments, "--save-result", "--save-detailed", "--disable-tqdm"]

    def firsts(self, out: Path) -> Firsts:
        results = json.loads(out.read_text())
        pairs = zip(results["start_times"], results["ttfts"], strict=True)
        return {f"v{number}": start + ttft for number, (start, ttft) in enumerate(pairs)}
