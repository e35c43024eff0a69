"""A clone of the project with a config of its own, in which tests run real sweeps and count what was measured."""

import copy
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import yaml

from isolation import REPOSITORY, RESOURCES

PARTS = ("Snakefile", "workflow", "config", "envs", "profiles")
SMALL: dict[str, Any] = {
    "prompts": {"count": 4, "input_tokens": 12, "input_tokens_max": 24, "output_tokens": 8},
    "grid": {"engine": ["llamacpp"], "threads": [1, 2], "speculation": ["none"], "quantization": ["none"]},
    "repeats": 1,
    "load": {"warmup_requests": 1},
    "report": {"baseline": {"engine": "llamacpp"}},
    "telemetry_interval_s": 0.1,
}


class Project:
    """A fresh clone in `folder`; models and engine environments are those of `isolation.RESOURCES`."""

    def __init__(self, folder: Path, changes: Mapping[str, Any] | None = None) -> None:
        self.folder = folder
        for part in PARTS:
            source = REPOSITORY / part
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, folder / part, ignore=ignore) if source.is_dir() else shutil.copy(source, folder)
        default = yaml.safe_load((REPOSITORY / "config" / "config.yaml").read_text())
        self.config: dict[str, Any] = merged(default, SMALL)
        self.config["pathvars"] = {"resources": str(RESOURCES)}
        self.configure(changes or {})

    def configure(self, changes: Mapping[str, Any]) -> None:
        """Edit the config: mappings merge, everything else replaces."""
        self.config = merged(self.config, changes)
        (self.folder / "config" / "config.yaml").write_text(yaml.safe_dump(self.config))

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "snakemake", *arguments]

    def run(self, *arguments: str, status: int = 0) -> str:
        """Run snakemake to its end; give all it printed. Fails unless it ends with `status`."""
        done = subprocess.run(self.command(*arguments), cwd=self.folder, capture_output=True, text=True, timeout=900)
        text = done.stdout + done.stderr
        assert done.returncode == status, f"exit status {done.returncode}, wanted {status}:\n{text}"
        return text

    def measure(self, *arguments: str) -> str:
        """Run up to the table of points, without report."""
        return self.run("results/points.csv", *arguments)

    @contextmanager
    def running(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """Start snakemake in a process group of its own; what is left of it at the end is killed."""
        with (self.folder / "run.log").open("wb") as log:
            process = subprocess.Popen(
                self.command(*arguments), cwd=self.folder, stdout=log, stderr=log, start_new_session=True
            )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def adopt(self, other: "Project", *folders: str) -> None:
        """Copy folders of another clone, dates and all."""
        for name in folders:
            shutil.copytree(other.folder / name, self.folder / name)

    def loads(self) -> dict[str, int]:
        """Every finished load on disk, with the instant it was written: a load measured again has a new one."""
        results = self.folder / "results"
        paths = results.glob("sessions/*/rep*/loads/*/load.json")
        return {str(path.parent.relative_to(results)): path.stat().st_mtime_ns for path in paths}

    def points(self) -> pd.DataFrame:
        return pd.read_csv(self.folder / "results" / "points.csv")

    def servers(self) -> list[psutil.Process]:
        """Processes that serve this clone's sweep."""
        return [process for process in psutil.process_iter() if self._serves(process)]

    def _serves(self, process: psutil.Process) -> bool:
        try:
            line = process.cmdline()
            return any("/scripts/servers/" in word or "guard.py" in word for word in line) and any(
                str(self.folder) in word for word in line
            )
        except psutil.Error:
            return False


def jobs_of(snakemake: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Its measuring jobs."""
    jobs = []
    for process in psutil.Process(snakemake.pid).children(recursive=True):
        with suppress(psutil.Error):  # some come and go
            jobs += [process] if "measure.py" in " ".join(process.cmdline()) else []
    return jobs


def lives(process: psutil.Process) -> bool:
    """Whether it has not ended, be it that nobody has waited for it yet."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    result = copy.deepcopy(dict(base))
    for key, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if both else copy.deepcopy(value)
    return result


def until(condition: Any, limit_s: float = 120) -> None:
    """Wait until `condition()` is true; fail after `limit_s` seconds."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.05)
