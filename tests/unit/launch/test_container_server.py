"""A server in a container as its session sees it, with a script in the place of the keeper that says what its test tells it to."""

import json
import sys
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from docker.errors import DockerException

from helpers.specs import SPEC
from servegrid.launch.command_line import nominal_launch
from servegrid.launch.container import describe_container
from servegrid.launch.docker import server as module
from servegrid.launch.docker.daemon import DaemonUnreachable
from servegrid.launch.docker.image_record import record_path
from servegrid.launch.docker.images import ImageAbsent
from servegrid.launch.docker.keeper import ENDED_FILE, RUN_FILE, STARTED_FILE
from servegrid.launch.docker.server import ContainerServer, remove_orphaned_containers, require_image
from servegrid.launch.server import ServerError

pytestmark = pytest.mark.slow

KEEPER = """
import json, os, signal, sys, time
folder, said = sys.argv[1], json.load(open(sys.argv[1] + "/said.json"))
def write(name, what):
    with open(folder + "/beside", "w") as file:
        json.dump(what, file)
    os.rename(folder + "/beside", folder + "/" + name)
def stop(*_):
    write(ENDED, {"exit": 143})
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
if said.get("fails"):
    write(ENDED, {"exit": 1, **said["fails"]})
    sys.exit(1)
if said.get("dies"):
    sys.exit(2)
write(STARTED, {"pid": said["pid"], "secret": os.environ.get("HF_TOKEN")})
if "ends" in said:
    while not os.path.exists(folder + "/now"):
        time.sleep(0.01)
    write(ENDED, said["ends"])
time.sleep(600)
"""


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ContainerServer]:
    """Make a server whose keeper does what `said` says; what an earlier launch left is there."""
    script = tmp_path / "keeper.py"
    script.write_text(f"STARTED, ENDED = {STARTED_FILE!r}, {ENDED_FILE!r}\n" + KEEPER)
    monkeypatch.setattr(module, "_KEEPER_SCRIPT", script)
    folder = tmp_path / "box"

    def make(**said: Any) -> ContainerServer:
        folder.mkdir()
        (folder / "said.json").write_text(json.dumps({"pid": 4242, **said}))
        (folder / STARTED_FILE).write_text('{"pid": 1}')
        (folder / ENDED_FILE).write_text('{"exit": 9}')
        spec = replace(SPEC, runtime="docker", image="i", version="", memory_limit="4g")
        described = describe_container(spec, nominal_launch(spec, Path("resources")), [], {})
        run = replace(described, environment={"HF_TOKEN": "s3cret", "PLAIN": "x"})
        return ContainerServer(run, folder, tmp_path / "log", 8000, 3.0, {"A": "b"})

    return make


def test_it_starts_anew_and_keeps_its_secrets_off_the_disk(box: Callable[..., ContainerServer], tmp_path: Path) -> None:
    with box() as server:
        assert server.pid == 4242 and server.alive and server.ended is None and server.pids == (4242,)
        assert json.loads((tmp_path / "box" / STARTED_FILE).read_text())["secret"] == "s3cret"
        written = json.loads((tmp_path / "box" / RUN_FILE).read_text())
        assert written["environment"] == {"HF_TOKEN": None, "PLAIN": "x"}
        assert server.command[0] == sys.executable and server.command[2:] == [str(tmp_path / "box"), "3.0"]
        assert server._stop_timeout_s == 23.0 and server.headers == {"A": "b"}
    assert server.ended == {"exit": 143, "signal": 15, "memory_limit": "4g"}


@pytest.mark.parametrize(
    ("ends", "ended"),
    [
        ({"exit": 128}, {"exit": 128}),
        ({"exit": 129}, {"exit": 129, "signal": 1}),
        ({"exit": 137, "oom_killed": True}, {"exit": 137, "signal": 9, "oom_killed": True}),
    ],
)
def test_its_end_is_known_before_its_keeper_s(
    box: Callable[..., ContainerServer], tmp_path: Path, ends: dict[str, Any], ended: dict[str, Any]
) -> None:
    with box(ends=ends) as server:
        assert not server.dies_within(0.0)
        (tmp_path / "box" / "now").touch()
        assert server.dies_within(60.0) and not server.alive
        assert server.ended == {**ended, "memory_limit": "4g"}


@pytest.mark.parametrize(
    ("said", "kind", "reason"),
    [
        ({"fails": {"kind": "image", "error": "no such image"}}, "image", "could not be launched: no such image"),
        ({"fails": {"error": "port taken"}}, "launch", "could not be launched: port taken"),
        ({"dies": True}, "launch", "could not be launched: its keeper died"),
    ],
)
def test_it_does_not_start(box: Callable[..., ContainerServer], said: dict[str, Any], kind: str, reason: str) -> None:
    with pytest.raises(ServerError) as caught, box(**said):
        pass
    assert (caught.value.kind, str(caught.value)) == (kind, reason)


@contextmanager
def client(timeout_s: int = 60) -> Any:
    yield "the daemon"


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (ImageAbsent("it is gone"), "image", "no image i: it is gone; remove {path} to look the name up anew"),
        (DaemonUnreachable("nobody there", "start it"), "launch", "no container: nobody there"),
        (DockerException("odd"), "launch", "no container: odd"),
    ],
)
def test_an_image_that_cannot_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: str, reason: str
) -> None:
    path = tmp_path / record_path("i")

    def raises(*_: object) -> None:
        raise error

    with pytest.raises(ServerError) as caught:
        require_image("i", tmp_path)
    assert (caught.value.kind, str(caught.value)) == ("image", f"no image i: was not looked up ({path} is missing)")
    monkeypatch.setattr(module, "docker_client", client)
    monkeypatch.setattr(module, "ensure_present", raises)
    monkeypatch.setattr(module, "read_image_record", lambda *_: type("Record", (), {"error": None})())
    with pytest.raises(ServerError) as caught:
        require_image("i", tmp_path)
    assert (caught.value.kind, str(caught.value)) == (kind, reason.format(path=path))


def test_a_daemon_that_does_not_answer_has_no_orphans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "docker_client", client)
    monkeypatch.setattr(module, "remove_orphans", lambda daemon: [daemon])
    assert remove_orphaned_containers() == ["the daemon"]

    def raises(*_: object) -> None:
        raise DaemonUnreachable("nobody there", "start it")

    monkeypatch.setattr(module, "remove_orphans", raises)
    assert remove_orphaned_containers() == []
