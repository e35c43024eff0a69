"""An engine that dies is a row with status, reason and log; the other points are measured; the exit status tells."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

from isolation import REPOSITORY, RESOURCES
from workflow.project import Project, until

Make = Callable[..., Project]
WRAPPER = """
import os, signal, subprocess, sys, time
flag, how = sys.argv[1], sys.argv[2]
if how == "start":
    print("out of luck: cannot allocate", flush=True)
    sys.exit(3)
server = subprocess.Popen(sys.argv[3:])
while server.poll() is None and not os.path.exists(flag):
    time.sleep(0.01)
if os.path.exists(flag):
    os.unlink(flag)  # the next one lives
server.kill()
print("dying now", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def llama_server() -> list[str]:
    """The command that the llama.cpp environment runs."""
    python = next((RESOURCES / "envs").glob("llamacpp-*/bin/python"))
    return [str(python), str(REPOSITORY / "workflow" / "scripts" / "servers" / "llama_server.py")]


def dying(clone: Project, how: str) -> dict[str, object]:
    """An engine entry whose server dies: at start, or when the file `flag` appears."""
    wrapper = clone.folder / "wrapper.py"
    wrapper.write_text(WRAPPER)
    command = [sys.executable, str(wrapper), str(clone.folder / "flag"), how, *llama_server()]
    return {"engine": "llamacpp", "runtime": "command", "command": command, "version": how}


def test_death_at_start(project: Make) -> None:
    clone = project()
    clone.run("--until", "engine_environment")
    clone.configure({"engines": {"dying": dying(clone, "start")}, "grid": {"engine": ["dying", "llamacpp"]}})
    assert "2 points failed" in clone.run(status=1)
    points = clone.points().set_index(["engine", "threads"])
    assert list(points.loc["dying", "status"]) == ["failed"] * 2
    assert "exit status 3; last words: out of luck: cannot allocate" in points.loc[("dying", 1), "reason"]
    assert list(points.loc["llamacpp", "status"]) == ["ok"] * 2
    assert "exit status 3" in (clone.folder / "reports" / "tables" / "article.html").read_text()
    assert (clone.folder / "reports" / "report.html").exists()
    session = next((clone.folder / "results" / "sessions").glob("dying-*/rep1/session.json"))
    assert "out of luck: cannot allocate" in json.loads(session.read_text())["launches"][-1]["log_tail"]

    before, written = clone.loads(), session.stat().st_mtime_ns
    assert "Measure " not in clone.run(status=1), "a failure is kept until somebody asks for another try"
    assert clone.loads() == before
    clone.run("--config", "retry=[failed]", status=1)
    assert session.stat().st_mtime_ns > written
    assert clone.loads() == before


def test_death_under_load(project: Make) -> None:
    clone = project({"prompts": {"count": 12, "output_tokens": 64}})
    clone.run("--until", "engine_environment", "gguf", "prompts")
    clone.configure({"engines": {"dying": dying(clone, "load")}, "grid": {"engine": ["dying", "llamacpp"]}})
    flag: Path = clone.folder / "flag"
    with clone.running() as process:
        log = clone.folder / "run.log"
        until(lambda: "dying" in log.read_text() and "threads 1: " in log.read_text().partition("dying")[2])
        flag.touch()
        assert process.wait(timeout=200) == 1
        assert not flag.exists()
    points = clone.points().set_index(["engine", "threads"])
    assert points.loc[("dying", 1), "status"] == "failed"
    assert "died under this load" in points.loc[("dying", 1), "reason"]
    assert points.loc[("dying", 2), "status"] == "ok", "the next load had a server of its own"
    assert list(points.loc["llamacpp", "status"]) == ["ok"] * 2
    assert (clone.folder / "reports" / "report.html").exists()
