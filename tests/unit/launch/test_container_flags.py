"""One container with every setting there is, three times told: as `docker run`, as the daemon is told, and as Compose."""

from pathlib import Path

import pytest
import yaml

from servegrid.engines.base import Container
from servegrid.launch.container import ContainerRun, docker_run_command
from servegrid.launch.deploy import compose_file
from servegrid.launch.docker.keeper import create_arguments

NEEDS = Container(
    port=80,
    entrypoint=("/bin/sh", "-c"),
    shm_size="2g",
    ipc="host",
    ulimits={"memlock": -1, "stack": 67108864},
    cache="/cache",
    init=False,
    privileged=True,
    devices=("/dev/rbln0", "/dev/rsd0"),
)
FULL = ContainerRun(
    image="an/image@sha256:1",
    words=("serve", "--model", "$M"),
    ports={80: 8080, 81: 8081},
    mounts=(Path("/models/m"), Path("/settings")),
    environment={"API_TOKEN": "hush", "PRICE": "5$", "UNSET": None},
    gpus=("GPU-0", "GPU-1"),
    memory_limit="8g",
    needs=NEEDS,
    cache_volume="servegrid-cache",
    labels={"a": "b"},
)
BARE = ContainerRun(
    image="i",
    words=("serve",),
    ports={80: 8080},
    mounts=(),
    environment={},
    gpus=(),
    memory_limit=None,
    needs=Container(shm_size=None),
    cache_volume=None,
    labels={},
)


def test_as_docker_run() -> None:
    assert " ".join(docker_run_command(FULL)) == (
        "docker run --rm --shm-size 2g --ipc host --ulimit memlock=-1 --ulimit stack=67108864 --device /dev/rbln0 --device /dev/rsd0"
        ' --privileged --gpus "device=GPU-0,GPU-1" --memory 8g --memory-swap 8g -p 127.0.0.1:8080:80 -p 127.0.0.1:8081:81'
        " -v /models/m:/models/m:ro -v /settings:/settings:ro -v servegrid-cache:/cache -e API_TOKEN -e PRICE=5$ -e UNSET"
        " --entrypoint /bin/sh an/image@sha256:1 -c serve --model $M"
    )
    assert docker_run_command(BARE) == ["docker", "run", "--rm", "--init", "-p", "127.0.0.1:8080:80", "i", "serve"]


def test_as_the_daemon_is_told() -> None:
    told = create_arguments(FULL, {"UNSET": "u", "API_TOKEN": "other"}, {"c": "d"})
    [gpus], mounts, ulimits = told.pop("device_requests"), told.pop("mounts"), told.pop("ulimits")
    assert (gpus["DeviceIDs"], gpus["Capabilities"]) == (["GPU-0", "GPU-1"], [["gpu"]])
    assert [(mount["Source"], mount["Target"], mount["Type"], mount["ReadOnly"]) for mount in mounts] == [
        ("/models/m", "/models/m", "bind", True),
        ("/settings", "/settings", "bind", True),
        ("servegrid-cache", "/cache", "volume", False),
    ]
    assert [(limit["Name"], limit["Soft"], limit["Hard"]) for limit in ulimits] == [
        ("memlock", -1, -1),
        ("stack", 67108864, 67108864),
    ]
    assert told == {
        "image": "an/image@sha256:1",
        "command": ["serve", "--model", "$M"],
        "entrypoint": ["/bin/sh", "-c"],
        "environment": {"API_TOKEN": "hush", "PRICE": "5$", "UNSET": "u"},
        "ports": {"80/tcp": ("127.0.0.1", 8080), "81/tcp": ("127.0.0.1", 8081)},
        "shm_size": "2g",
        "ipc_mode": "host",
        "devices": ["/dev/rbln0", "/dev/rsd0"],
        "init": False,
        "privileged": True,
        "mem_limit": "8g",
        "memswap_limit": "8g",
        "labels": {"a": "b", "c": "d"},
    }
    bare = create_arguments(BARE, {}, {})
    assert bare["entrypoint"] is bare["shm_size"] is bare["mem_limit"] is None
    assert (
        bare["mounts"] == bare["device_requests"] == bare["ulimits"] == bare["devices"] == [] and bare["init"] is True
    )


def test_as_compose() -> None:
    document = yaml.safe_load(compose_file(FULL))
    assert document["volumes"] == {"servegrid-cache": {"name": "servegrid-cache"}}
    service = document["services"]["server"]
    [device] = service.pop("deploy")["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "device_ids": ["GPU-0", "GPU-1"], "capabilities": ["gpu"]}
    wanted = {
        "image": "an/image@sha256:1",
        "command": ["serve", "--model", "$$M"],
        "entrypoint": ["/bin/sh", "-c"],
        "ports": ["127.0.0.1:8080:80", "127.0.0.1:8081:81"],
        "volumes": ["/models/m:/models/m:ro", "/settings:/settings:ro", "servegrid-cache:/cache"],
        "mem_limit": "8g",
        "memswap_limit": "8g",
        "shm_size": "2g",
        "ipc": "host",
        "ulimits": {"memlock": -1, "stack": 67108864},
        "privileged": True,
        "devices": ["/dev/rbln0", "/dev/rsd0"],
    }
    assert {name: service[name] for name in wanted} == wanted
    assert service["environment"]["PRICE"] == "5$$" and "hush" not in str(document)
    assert yaml.safe_load(compose_file(BARE)) == {
        "services": {"server": {"image": "i", "command": ["serve"], "ports": ["127.0.0.1:8080:80"], "init": True}}
    }


@pytest.mark.parametrize("name", ["docker run", "compose"])
def test_no_secret_is_told(name: str) -> None:
    assert "hush" not in (" ".join(docker_run_command(FULL)) if name == "docker run" else compose_file(FULL))
