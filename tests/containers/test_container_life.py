"""One container: its log, its end in words, its stop, and who clears it away when its keepers are killed."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from boxes import boxed

from servegrid.launch.docker import ownership
from servegrid.launch.docker.server import ContainerServer
from servegrid.launch.exit_reason import describe_exit, failure_kind
from servegrid.launch.server import ServerError
from servegrid.util.files import read_json
from workflow.project import until


def ended(server: ContainerServer) -> bool:
    return not server.alive


def container_id(folder: Path) -> str:
    return str(read_json(folder / "server" / "started.json")["id"])


def there(daemon: Any, container: str) -> bool:
    return container in [one.id for one in daemon.containers.list(all=True, ignore_removed=True)]


def test_its_log_has_the_first_line_and_its_end_is_its_own(tmp_path: Path, daemon: Any, image: str) -> None:
    with boxed(tmp_path, image, "echo first; echo second >&2; exit 3") as server:
        until(lambda: ended(server))
    assert sorted((tmp_path / "log").read_text().split()) == ["first", "second"]
    assert describe_exit(server.ended) == "exit status 3" and failure_kind(server.ended, tmp_path / "log") == "crashed"
    assert not there(daemon, container_id(tmp_path))


def test_its_processes_are_those_of_this_host(tmp_path: Path, image: str) -> None:
    with boxed(tmp_path, image, "sleep 1000 & wait") as server:
        tree = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
        until(lambda: any("sleep" in one.name() for one in psutil.Process(server.pid).children(recursive=True)))
    assert not any(one.is_running() for one in tree)


def test_a_memory_limit_ends_it_and_is_named(tmp_path: Path, image: str) -> None:
    hungry = "exec python3 -c 'kept = bytearray(10**9)'"
    with boxed(tmp_path, image, hungry, memory_limit="64m") as server:
        until(lambda: ended(server))
    assert server.ended["signal"] == signal.SIGKILL
    assert failure_kind(server.ended, tmp_path / "log") == "out-of-memory"
    assert "out of memory" in describe_exit(server.ended) and "memory_limit = 64m" in describe_exit(server.ended)


def test_a_server_that_is_deaf_is_killed_after_its_grace(tmp_path: Path, daemon: Any, image: str) -> None:
    with boxed(tmp_path, image, "trap '' TERM; echo up; while :; do sleep 1; done", stop_timeout_s=1) as server:
        until(lambda: "up" in (tmp_path / "log").read_text())
    assert server.ended["signal"] == signal.SIGKILL
    assert not there(daemon, container_id(tmp_path))


def test_signals_reach_a_server_that_takes_none_by_itself(tmp_path: Path, image: str) -> None:
    with boxed(tmp_path, image, "echo up; exec sleep 1000", stop_timeout_s=60) as server:
        until(lambda: "up" in (tmp_path / "log").read_text())
    assert server.ended["signal"] == signal.SIGTERM


def test_what_it_is_given(tmp_path: Path, daemon: Any, image: str) -> None:
    (tmp_path / "model").write_text("weights")
    more = {
        "environment": {"PLAIN": "1", "API_TOKEN": "hush"},
        "mounts": (tmp_path / "model",),
        "needs": {"shm_size": "96m", "ulimits": {"nofile": 4321}, "cache": "/cache"},
        "cache_volume": "servegrid-test-cache",
    }
    say = f"exec 2>&1; cat {tmp_path}/model; echo; echo $PLAIN $API_TOKEN; ulimit -n; df -m /dev/shm | tail -1; echo > {tmp_path}/model"
    with boxed(tmp_path, image, f"{say}; echo kept > /cache/it; sleep 1000", **more) as server:
        until(lambda: "only" in (tmp_path / "log").read_text())
        attributes = daemon.containers.get(container_id(tmp_path)).attrs
    log = (tmp_path / "log").read_text()
    assert log.splitlines()[:3] == ["weights", "1 hush", "4321"] and " 96 " in log and "Read-only file system" in log
    assert "hush" not in (tmp_path / "server" / "container.json").read_text()
    port = server.url.rpartition(":")[2]
    assert attributes["HostConfig"]["PortBindings"] == {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": port}]}
    assert not attributes["HostConfig"]["Privileged"] and not attributes["HostConfig"]["DeviceRequests"]
    volume = daemon.volumes.get("servegrid-test-cache")  # it outlives the container
    volume.remove()


def test_what_the_daemon_refuses_is_told(tmp_path: Path, image: str) -> None:
    with (
        pytest.raises(ServerError, match=r"refused the container: .*source path does not exist") as caught,
        boxed(tmp_path, image, "", mounts=(tmp_path / "nothing",)),
    ):
        pass
    assert caught.value.kind == "launch"
    with pytest.raises(ServerError, match="image is not there") as caught, boxed(tmp_path, "sha256:" + 64 * "0", ""):
        pass
    assert caught.value.kind == "image"


JOB = """
import sys
sys.path[:0] = {path!r}
from pathlib import Path
from boxes import boxed
with boxed(Path({folder!r}), {image!r}, "exec sleep 1000") as server:
    print(server._guard.pid, flush=True)
    sys.stdin.read()
"""


def keeper(folder: Path) -> psutil.Process:
    """The program that looks after the container."""
    found = [one for one in psutil.process_iter() if _is_keeper(one, str(folder))]
    return found[0]


def _is_keeper(process: psutil.Process, folder: str) -> bool:
    try:
        line = process.cmdline()
    except psutil.Error:
        return False
    return any(word.endswith("run_container.py") for word in line[:3]) and f"{folder}/server" in line


@pytest.mark.parametrize("victim", ["job", "guard"])
def test_who_is_killed_takes_the_container_along(tmp_path: Path, daemon: Any, image: str, victim: str) -> None:
    code = JOB.format(path=[p for p in sys.path if p], folder=str(tmp_path), image=image)
    with psutil.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1) as job:
        guard = int(job.stdout.readline())
        container = container_id(tmp_path)
        assert there(daemon, container)
        os.kill(job.pid if victim == "job" else guard, signal.SIGKILL)
        until(lambda: not there(daemon, container), limit_s=60)
        if victim == "guard":
            job.kill()


def test_what_its_keeper_could_not_clear_away_is_swept_and_nobody_elses(
    tmp_path: Path, daemon: Any, image: str
) -> None:
    ours = {"image": image, "entrypoint": ["sleep", "1000"], "detach": True}
    somebodys = daemon.containers.run(**ours, labels={"servegrid.session": "by hand"})
    living = daemon.containers.run(**ours, labels=ownership.owner_labels())
    try:
        with boxed(tmp_path, image, "exec sleep 1000") as server:
            left = container_id(tmp_path)
            keeper(tmp_path).kill()
            until(lambda: ended(server))
        assert there(daemon, left)
        ownership.remove_orphans(daemon)
        assert not there(daemon, left)
        assert there(daemon, somebodys.id) and there(daemon, living.id)
    finally:
        for one in (somebodys, living):
            one.remove(force=True)
