"""A sweep that is interrupted, however roughly, loses at most the load in flight and leaves no server behind."""

import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress

import psutil
import pytest

from workflow.project import Project, jobs_of, until

Make = Callable[..., Project]
# Long enough to be hit before the last of them ends.
LOADS = {"grid": {"threads": [1, 2, 3]}, "prompts": {"count": 12, "output_tokens": 32}}


def interrupt(process: subprocess.Popen[bytes]) -> None:
    """Ctrl-C: SIGINT to the foreground process group."""
    os.killpg(process.pid, signal.SIGINT)


def terminate(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGTERM)


def kill_tree(process: subprocess.Popen[bytes]) -> None:
    tree = psutil.Process(process.pid).children(recursive=True)
    for one in [psutil.Process(process.pid), *tree]:
        with suppress(psutil.NoSuchProcess):  # it has followed one that was killed before it
            one.kill()


def kill_snakemake(process: subprocess.Popen[bytes]) -> None:
    process.kill()


def kill_job(process: subprocess.Popen[bytes]) -> None:
    """The measuring job alone is killed without a word, then Snakemake."""
    for job in jobs_of(process):
        job.kill()
    process.kill()


@pytest.mark.parametrize("blow", [interrupt, terminate, kill_tree, kill_snakemake, kill_job])
def test_interrupted_then_the_same_command_again(project: Make, blow: Callable[..., None]) -> None:
    clone = project(LOADS)
    clone.run("--until", "gguf", "prompts", "engine_environment")
    with clone.running("results/points.csv") as process:
        until(lambda: clone.loads() and clone.servers())
        blow(process)
        until(lambda: not clone.servers(), limit_s=60)
        process.wait(timeout=60)
    kept = clone.loads()
    assert 1 <= len(kept) < 3

    clone.measure()
    after = clone.loads()
    assert len(after) == 3
    assert {load: after[load] for load in kept} == kept, "what was finished was measured again"
    assert set(clone.points()["status"]) == {"ok"}
