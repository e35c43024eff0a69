"""Which servers are built from a specification: ports, settings files, GPUs, logs and variables of each copy, and what is recorded."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helpers.specs import DEVICES, SPEC
from servegrid.engines.base import ServerSpec
from servegrid.launch import build, record
from servegrid.launch.build import build_server, prepare_balancer, prepare_launches
from servegrid.launch.remote import RemoteServer
from servegrid.launch.replicated import ReplicatedServer
from servegrid.launch.server import Server, ServerError

GPUS = ["GPU-0", "GPU-1"]
LLAMACPP = replace(SPEC, runtime="command", command=("/opt/server",), device=DEVICES["cuda"], weights="f16")
TRITON = replace(LLAMACPP, engine="triton-vllm", command=("/opt/tritonserver",))


def built(spec: ServerSpec, folder: Path, gpus: list[str] | None = None) -> tuple[Any, dict[str, Any]]:
    """Server and record of a launch as a session makes them."""
    launches = prepare_launches(spec, Path("resources"), folder / "settings") if spec.runtime != "url" else []
    balancer = prepare_balancer(spec, launches, folder / "balancer", 60.0)
    gpus = GPUS if gpus is None else gpus
    server = build_server(spec, launches, balancer, gpus, Path("resources"), folder / "server.log", 7.0)
    return server, record.launch_record(spec, launches, balancer, gpus, Path("resources"))


@pytest.fixture(autouse=True)
def facts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record.devices, "describe_gpus", lambda gpus: [{"name": uuid} for uuid in gpus])


def test_one_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "s3cret")
    monkeypatch.setenv("MY_KEY", "k")
    spec = replace(LLAMACPP, env={"HF_TOKEN": "${MY_TOKEN}", "PLAIN": "$HOME"}, api_key_env="MY_KEY")
    server, left = built(spec, tmp_path)
    assert isinstance(server, Server) and server.command[0] == "/opt/server"
    port = server.command[server.command.index("--port") + 1]
    assert server.url == f"http://127.0.0.1:{port}" and server.headers == {"Authorization": "Bearer k"}
    assert server._env is not None and server._env["CUDA_VISIBLE_DEVICES"] == "GPU-0"
    assert (server._env["HF_TOKEN"], server._env["PLAIN"]) == ("s3cret", "$HOME")
    assert (server._log, server._stop_timeout_s) == (tmp_path / "server.log", 7.0)
    assert (left["ports"] == (int(port),) and left["command"][-len(server.command) :] == server.command) or left[
        "command"
    ]
    assert left["environment"]["HF_TOKEN"] == "${MY_TOKEN}" and "s3cret" not in str(left)
    assert left["gpus"] == GPUS and [gpu["name"] for gpu in left["gpu_facts"]] == GPUS
    assert left["image"] is left["image_digest"] is left["url"] is None and "copies" not in left


def test_files_are_named_whole(tmp_path: Path) -> None:
    server, _ = built(LLAMACPP, tmp_path)
    model = Path(server.command[server.command.index("--model") + 1])
    assert model.is_absolute() and model.name == "f16.gguf"


def test_a_variable_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOT_THERE", raising=False)
    with pytest.raises(ServerError) as caught:
        built(replace(LLAMACPP, env={"HF_TOKEN": "${NOT_THERE}"}), tmp_path)
    assert (caught.value.kind, str(caught.value)) == (
        "launch",
        "env.HF_TOKEN = ${NOT_THERE}: there is no such environment variable",
    )


def test_two_copies_have_ports_gpus_and_logs_of_their_own(tmp_path: Path) -> None:
    spec = replace(LLAMACPP, replicas=2, balancer="nginx")
    server, left = built(spec, tmp_path)
    assert isinstance(server, ReplicatedServer)
    first, second = server.copies
    assert isinstance(first, Server) and isinstance(second, Server)
    assert [copy._env["CUDA_VISIBLE_DEVICES"] for copy in (first, second) if copy._env] == GPUS
    assert [copy._log.name for copy in (first, second)] == ["server-1.log", "server-2.log"] and server._logs == [
        first._log,
        second._log,
    ]
    ports = [copy.url.rpartition(":")[2] for copy in (first, second)] + [server.url.rpartition(":")[2]]
    assert len(set(ports)) == 3
    config = (tmp_path / "balancer" / "nginx.conf").read_text()
    assert all(f"127.0.0.1:{port}" in config for port in ports)
    assert isinstance(server._balancer, Server) and server._balancer._stop_timeout_s == build.BALANCER_STOP_TIMEOUT_S
    assert server._balancer._log == server._log == tmp_path / "server.log"
    assert [copy["gpus"] for copy in left["copies"]] == [["GPU-0"], ["GPU-1"]]
    assert [str(copy["ports"][0]) for copy in left["copies"]] == ports[:2] and left["balancer"]["config"] == config
    assert (left["balancer"]["kind"], str(left["balancer"]["port"])) == ("nginx", ports[2])


def test_settings_files_are_of_each_copy(tmp_path: Path) -> None:
    """Triton has three ports; its model repository is written before the launch."""
    launches = prepare_launches(replace(TRITON, replicas=2), Path("resources"), tmp_path / "settings")
    assert [launch.folder for launch in launches] == [tmp_path / "settings-1", tmp_path / "settings-2"]
    assert all(list(launch.folder.rglob("config.pbtxt")) for launch in launches)
    assert [len(launch.ports) for launch in launches] == [3, 3]
    assert len({port for launch in launches for port in launch.ports}) == 6
    [alone] = prepare_launches(TRITON, Path("resources"), tmp_path / "settings")
    assert (
        alone.folder == tmp_path / "settings" and prepare_balancer(TRITON, [alone], tmp_path / "balancer", 60.0) is None
    )
    assert not (tmp_path / "balancer").exists()


def test_a_server_that_runs_already(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = replace(LLAMACPP, runtime="url", url="http://far:8000", device=DEVICES["remote"], api_key_env="MY_KEY")
    monkeypatch.delenv("MY_KEY", raising=False)
    with pytest.raises(ServerError, match="MY_KEY"):
        built(spec, tmp_path, [])
    monkeypatch.setenv("MY_KEY", "k")
    server, left = built(spec, tmp_path, [])
    assert (
        isinstance(server, RemoteServer)
        and server.url == "http://far:8000"
        and server.headers == {"Authorization": "Bearer k"}
    )
    assert (left["url"], left["command"], left["ports"], left["environment"]) == ("http://far:8000", None, None, {})
