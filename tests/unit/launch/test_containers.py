"""Settings of a container, without a daemon; image records, owners and exit reasons."""

import errno
import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helpers.specs import DEVICES, SPEC
from servegrid.consult.containers import _check_gpu_runtime
from servegrid.engines.base import Container
from servegrid.launch.command_line import command_line, nominal_launch
from servegrid.launch.container import ContainerRun, describe_container, docker_run_command
from servegrid.launch.docker import ownership
from servegrid.launch.docker.daemon import DaemonUnreachable, _check_reachable, docker_client
from servegrid.launch.docker.image_record import ImageRecord, read_image_record, record_path
from servegrid.launch.docker.images import ImageAbsent, _progress_lines, _repository_digest
from servegrid.launch.docker.keeper import RUN_ADAPTER, RUN_FILE, ContainerKeeper, create_arguments
from servegrid.launch.exit_reason import describe_exit, failure_kind

BOX = replace(SPEC, runtime="docker", image="an/image:1", version="")


def box(**changes: Any) -> ContainerRun:
    spec = replace(BOX, **changes)
    return describe_container(
        spec, nominal_launch(spec, Path("resources")), ["GPU-0"] if spec.kind == "cuda" else [], {}
    )


def test_ports_are_published_on_this_host_alone() -> None:
    assert create_arguments(box(), {}, {})["ports"] == {"8080/tcp": ("127.0.0.1", 8080)}


def test_gpus_by_uuid_and_never_all() -> None:
    (request,) = create_arguments(box(device=DEVICES["cuda"]), {}, {})["device_requests"]
    assert request["DeviceIDs"] == ["GPU-0"] and request["Count"] in (0, None)
    assert request["Capabilities"] == [["gpu"]]
    assert create_arguments(box(), {}, {})["device_requests"] == []


def test_models_are_read_only_and_a_cache_is_not() -> None:
    run = replace(box(), needs=Container(cache="/cache"), cache_volume="servegrid-cache")
    model, cache = create_arguments(run, {}, {})["mounts"]
    assert model["ReadOnly"] and model["Type"] == "bind" and model["Source"] == model["Target"]
    assert cache["Type"] == "volume" and cache["Target"] == "/cache" and not cache["ReadOnly"]


def test_privileges_only_where_an_engine_asks() -> None:
    assert not create_arguments(box(), {}, {})["privileged"] and not create_arguments(box(), {}, {})["devices"]
    run = replace(box(), needs=Container(privileged=True, devices=("/dev/npu0",)))
    assert create_arguments(run, {}, {})["privileged"] and create_arguments(run, {}, {})["devices"] == ["/dev/npu0"]
    assert {"--privileged", "--device"} <= set(docker_run_command(run))


def test_a_secret_comes_from_the_environment() -> None:
    run = replace(box(), environment={"API_TOKEN": None, "A": "1", "GONE_TOKEN": None})
    assert create_arguments(run, {"API_TOKEN": "hush"}, {})["environment"] == {"API_TOKEN": "hush", "A": "1"}
    line = docker_run_command(run)
    assert line[line.index("API_TOKEN") - 1] == "-e" and "A=1" in line


def test_a_description_comes_back_from_json() -> None:
    run = replace(box(device=DEVICES["cuda"], memory_limit="8g"), environment={"A": None})
    assert RUN_ADAPTER.validate_json(RUN_ADAPTER.dump_json(run)) == run
    assert create_arguments(run, {}, {})["mem_limit"] == create_arguments(run, {}, {})["memswap_limit"] == "8g"
    assert "--memory 8g --memory-swap 8g" in " ".join(docker_run_command(run))


def test_the_command_names_the_image_by_digest() -> None:
    launch = nominal_launch(BOX, Path("resources"))
    assert "an/image:1" in command_line(BOX, Path("resources"), launch)
    assert "an/image@sha256:1" in command_line(BOX, Path("resources"), launch, image="an/image@sha256:1")


def test_links_out_of_a_model_folder_and_parts_of_a_split_file_come_along(tmp_path: Path) -> None:
    blob, folder = tmp_path / "blobs" / "abc", tmp_path / "snapshot"
    for path in (blob, folder / "own"):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (folder / "model.safetensors").symlink_to("../blobs/abc")
    (folder / "again").symlink_to("own")
    parts = [tmp_path / f"m-0000{n}-of-00002.gguf" for n in (1, 2)]
    for part in [*parts, tmp_path / "m-00001-of-00003.gguf"]:
        part.touch()
    launch = replace(nominal_launch(BOX, Path("resources")), files={"model": parts[0], "checkpoint": folder})
    assert set(describe_container(BOX, launch, [], {}).mounts) == {*parts, folder, blob}


def test_the_digest_of_the_repository_that_was_asked_for() -> None:
    digests = ["mirror.example/x@sha256:1", "docker.io/an/image@sha256:2"]
    assert _repository_digest("an/image:1", digests) == "docker.io/an/image@sha256:2"
    assert _repository_digest("other:1", digests) == digests[0]
    assert _repository_digest("other:1", []) is None


def test_progress_of_a_pull_ends_and_errors_are_told() -> None:
    events = [{"status": "Downloading", "id": "a", "progressDetail": {"current": 1, "total": 2}}, {"status": "Pulled"}]
    assert list(_progress_lines(iter(events))) == ["done"]
    with pytest.raises(ImageAbsent, match="manifest unknown"):
        list(_progress_lines(iter([{"error": "manifest unknown"}])))


def test_a_record_of_an_image(tmp_path: Path) -> None:
    assert read_image_record("an/image:1", tmp_path) is None
    record = ImageRecord("an/image:1", id="sha256:0", digest="an/image@sha256:1")
    record.write(tmp_path / record_path("an/image:1"))
    assert read_image_record("an/image:1", tmp_path) == record
    assert record.name == "an/image@sha256:1" and record.provenance == "sha256:1"
    assert ImageRecord("mine", id="sha256:0").name == ImageRecord("mine", id="sha256:0").provenance == "sha256:0"
    assert record_path("an/image:1") != record_path("an/image-1")


def test_whose_a_container_is() -> None:
    labels = ownership.owner_labels()
    assert not ownership.is_orphan(labels, running=True)
    assert ownership.is_orphan(labels | {"servegrid.owner.start": "1"}, running=True), "the pid is another's by now"
    assert not ownership.is_orphan({}, running=True) and not ownership.is_orphan(
        {"servegrid.owner.pid": "1"}, running=False
    )
    inside = labels | {"servegrid.owner.pid_namespace": "pid:[1]", "servegrid.owner.start": "1"}
    assert not ownership.is_orphan(inside, running=True), "its pids cannot be seen from here"
    earlier = labels | {"servegrid.owner.boot": "before"}
    assert ownership.is_orphan(earlier, running=False) and not ownership.is_orphan(earlier, running=True)
    assert not ownership.is_orphan(earlier | {"servegrid.owner.host": "another"}, running=False)


@pytest.mark.parametrize(
    ("line", "expected_kind"),
    [
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", "out-of-memory"),
        ("ggml_gallocr_reserve_n: failed to allocate CUDA0 buffer of size 1", "out-of-memory"),
        ("terminate called after throwing an instance of 'std::bad_alloc'", "out-of-memory"),
        ("error: unknown argument", "crashed"),
    ],
)
def test_the_log_tells_that_memory_ran_out(tmp_path: Path, line: str, expected_kind: str) -> None:
    (tmp_path / "log").write_text(f"loading\n{line}\nbye\n")
    assert failure_kind({"exit": 1}, tmp_path / "log") == expected_kind
    assert ("out of memory" in describe_exit({"exit": 1}, tmp_path / "log")) == (expected_kind == "out-of-memory")


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_a_daemon_on_a_port_of_this_host_is_looked_for_there(name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        _check_reachable(f"tcp://{name}:{listener.getsockname()[1]}")
        listener.settimeout(10)
        listener.accept()[0].close()


@pytest.mark.parametrize(
    ("host", "reason", "remedy"),
    [
        ("unix:///nonexistent/docker.sock", "no daemon answers at unix:///nonexistent", "systemctl start docker"),
        ("tcp://127.0.0.1:1", "no daemon answers at tcp", "set DOCKER_HOST"),
        ("tcp://10.0.0.5:2375", "another machine's daemon", "runtime url"),
        ("ssh://somebody@far", "another machine's daemon", "runtime url"),
        ("nonsense", "cannot be used", "correct DOCKER_HOST"),
    ],
)
def test_a_daemon_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch, host: str, reason: str, remedy: str) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(DaemonUnreachable, match=reason) as caught, docker_client():
        pass
    assert remedy in caught.value.remedy


def test_a_socket_that_this_user_may_not_use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The refusal is simulated, since the tests may run as root, who may use every socket."""

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(DaemonUnreachable, match="this user may not use") as caught, docker_client():
        pass
    assert "group docker" in caught.value.remedy


@pytest.mark.parametrize(
    ("info", "state"),
    [
        ({"Runtimes": {"runc": {}, "nvidia": {}}}, "good"),
        ({"Runtimes": {"runc": {}}, "DiscoveredDevices": [{"Source": "cdi", "ID": "nvidia.com/gpu=0"}]}, "good"),
        ({"Runtimes": {"runc": {}}}, "miss"),
    ],
)
def test_the_way_to_gpus(monkeypatch: pytest.MonkeyPatch, info: dict[str, Any], state: str) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert _check_gpu_runtime(info).state == state


class EndedContainer:
    """An ended container of which the daemon hears in parts: its state at one look after another."""

    def __init__(self, *states: dict[str, Any]) -> None:
        self.states, self.attrs = list(states), {}

    def reload(self) -> None:
        self.attrs = {"State": self.states.pop(0) if len(self.states) > 1 else self.states[0]}


@pytest.mark.parametrize(("memory_limit", "known"), [("64m", True), (None, False)])
def test_a_kill_by_the_kernel_may_be_told_after_the_exit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory_limit: str | None, known: bool
) -> None:
    monkeypatch.setattr("servegrid.launch.docker.keeper._OOM_POLL_S", 0.0)
    (tmp_path / RUN_FILE).write_bytes(RUN_ADAPTER.dump_json(box(memory_limit=memory_limit)))
    keeper = ContainerKeeper(tmp_path, 1.0)
    killed, told = {"ExitCode": 137, "OOMKilled": False}, {"ExitCode": 137, "OOMKilled": True}
    assert keeper._final_state(EndedContainer(killed, killed, told))["OOMKilled"] is known
    assert keeper._final_state(EndedContainer(killed))["OOMKilled"] is False
    assert keeper._final_state(EndedContainer({"ExitCode": 1, "OOMKilled": False}, told))["ExitCode"] == 1
