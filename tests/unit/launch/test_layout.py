"""Copies of a server: which GPUs each has, in which order they start, which layouts are impossible."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest

from helpers.grids import DEFAULT, RESOLVED, grid, servers
from helpers.specs import DEVICES, RESOURCES, SPEC, base
from servegrid import engines
from servegrid.config import ConfigError, parse_config
from servegrid.consult.preview import plan_text
from servegrid.launch import layout as layout_module
from servegrid.launch.command_line import configured_gpus, nominal_launch, shell_line
from servegrid.telemetry.scraper import ReplicaScraper, ScrapeFailed
from standins.answers import sized
from standins.scripted import ScriptedServer

GPUS = ["A", "B", "C", "D"]
COMMAND = {"llamacpp": {"runtime": "command", "command": ["llama-server"], "version": "b1"}}


def spec(replicas: int = 1, sharing: int = 1, tensor_parallel: int = 1) -> Any:
    device = DEVICES["cuda"]
    changes = {"replicas": replicas, "sharing": sharing, "tensor_parallel": tensor_parallel, "runtime": "command"}
    return replace(SPEC, device=device, balancer="nginx" if replicas * sharing > 1 else None, **changes)


@pytest.mark.parametrize(
    ("layout", "parts"),
    [
        ((1, 1, 1), ["A"]),
        ((1, 1, 4), ["ABCD"]),
        ((2, 1, 2), ["AB", "CD"]),
        ((3, 1, 1), ["A", "B", "C"]),
        ((1, 2, 1), ["A", "A"]),
        ((2, 2, 1), ["A", "A", "B", "B"]),
    ],
)
def test_gpus_of_each_copy(layout: tuple[int, int, int], parts: list[str]) -> None:
    server_spec = spec(*layout)
    assert ["".join(layout_module.gpus_of(server_spec, GPUS, copy)) for copy in range(server_spec.copies)] == parts
    assert "".join(layout_module.used_gpus(server_spec, GPUS)) == "".join(dict.fromkeys("".join(parts)))


def launchable() -> Iterator[tuple[str, str]]:
    for name in engines.names():
        engine = engines.get(name)
        for runtime in engine.runtimes:
            if runtime != "url" and "cuda" in engine.devices and not engine.unsupported(base(engine, runtime, "cuda")):
                yield name, runtime


@pytest.mark.parametrize(("name", "runtime"), list(launchable()))
def test_every_engine_sees_exactly_the_gpus_that_it_uses(name: str, runtime: str) -> None:
    engine = engines.get(name)
    for tensor_parallel, visible in ((1, "0"), (2, "0,1")):
        plain = base(engine, runtime, "cuda")
        device = {"name": "three", "kind": "cuda", "ids": [0, 1, 2]}
        two = replace(plain, device=device, tensor_parallel=tensor_parallel)
        if tensor_parallel > 1 and engine.unsupported(two):
            assert "over several GPUs" in str(engine.unsupported(two))
            continue
        gpus = layout_module.gpus_of(two, configured_gpus(two), 0)
        line = shell_line(two, RESOURCES, nominal_launch(two, RESOURCES), gpus)
        assert (f'"device={visible}"' if runtime == "docker" else f"CUDA_VISIBLE_DEVICES={visible} ") in line


def test_sharing_starts_one_after_the_other_and_replicas_at_once() -> None:
    assert layout_module.start_rounds(spec(replicas=3)) == [[0, 1, 2]]
    assert layout_module.start_rounds(spec(sharing=3)) == [[0], [1], [2]]
    assert layout_module.start_rounds(spec(replicas=2, sharing=2)) == [[0, 2], [1, 3]]
    assert [layout_module.position_on_device(spec(replicas=2, sharing=2), copy) for copy in range(4)] == [0, 1, 0, 1]


def test_too_few_gpus_are_a_reason_before_anything_is_launched() -> None:
    devices = {"card": {"kind": "cuda", "name": "A6000"}, "two": {"kind": "cuda", "name": "A6000", "count": 2}}
    axes = {"grid__engine": ["llamacpp"], "grid__gpu": list(devices), "grid__replicas": [1, 2, 4]}
    points = grid(devices=devices, engines=COMMAND, **axes).points
    reasons = {(point.axes["gpu"], point.axes["replicas"]): point.skip and point.skip.reason for point in points}
    assert reasons["card", 1] is reasons["two", 1] is reasons["two", 2] is None
    reason = "2 replicas x 1 GPUs (tensor_parallel) are 2, the device card has 1 (devices.card: uuids, ids or count)"
    assert reasons["card", 2] == reason
    assert "are 4, the device two has 2" in str(reasons["two", 4])


def test_one_gpu_is_the_same_device_as_before() -> None:
    device = {"card": {"kind": "cuda", "name": "A6000"}}
    counted = {"card": {"kind": "cuda", "name": "A6000", "count": 1}}
    two = {"card": {"kind": "cuda", "name": "A6000", "count": 2}}
    ids = [servers(grid(devices=devices, engines=COMMAND, grid__gpu=["card"], grid__engine=["llamacpp"]))
           for devices in (device, counted, two)]  # fmt: skip
    assert ids[0] == ids[1] and not ids[0] & ids[2]


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ({"kind": "cpu", "count": 2}, "takes no name, ids, uuids or count"),
        ({"kind": "cuda", "ids": [0, 1], "count": 2}, "count = 2 goes with a name alone"),
    ],
)
def test_a_count_that_says_nothing(device: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_config(DEFAULT | {"devices": {"cpu": {"kind": "cpu"}, "odd": device}})


def test_a_balancer_that_is_missing_makes_absent_rows() -> None:
    resolved = replace(RESOLVED, absent_balancers={"haproxy": "haproxy is not installed"})
    axes = {"grid__engine": ["llamacpp"], "grid__replicas": [1, 2], "grid__balancer": ["nginx", "haproxy"]}
    skips = {(point.axes["replicas"], point.axes["balancer"]): point.skip for point in grid(resolved, **axes).points}
    assert skips[1, "haproxy"] is skips[2, "nginx"] is None
    assert skips[2, "haproxy"] and skips[2, "haproxy"].status == "absent"
    assert skips[2, "haproxy"].reason == "haproxy is not installed"


def test_the_plan_shows_every_copy_and_the_balancer() -> None:
    axes = {"grid__engine": ["llamacpp"], "grid__speculation": ["none"], "grid__quantization": ["none"]}
    text = plan_text(grid(commands=True, grid__replicas=[2], grid__threads=[4], **axes))
    assert "# copy 1 of 2:" in text and "# copy 2 of 2:" in text
    assert "--port 8080" in text and "--port 8081" in text
    assert "on port 8082, nginx with balancer/nginx.conf:" in text
    assert "least_conn;" in text and "server 127.0.0.1:8081 max_fails=0;" in text


@pytest.mark.slow
def test_metrics_of_all_copies_are_one_sample() -> None:
    answers = [sized(b'm{a="1"} %d\nn 2\n' % number, kind="text/plain") for number in (3, 4)]
    with ScriptedServer([answers[0]]) as first, ScriptedServer([answers[1]]) as second:
        rows = ReplicaScraper([f"{first.url}/metrics", f"{second.url}/metrics"]).scrape()
        alone = ReplicaScraper([f"{first.url}/metrics"]).scrape()
    assert len({row["t_s"] for row in rows}) == 1
    assert [(row["labels"], row["value"]) for row in rows if row["name"] == "m"] == [
        ('{"a":"1","copy":"1"}', 3.0),
        ('{"a":"1","copy":"2"}', 4.0),
    ]
    assert [row["labels"] for row in alone] == ['{"a":"1"}', "{}"]


@pytest.mark.slow
def test_a_copy_without_metrics_makes_the_sample_fail() -> None:
    with ExitStack() as stack:
        answers = (sized(b"m 1\n", kind="text/plain"), sized(b"", "404 Not Found"))
        urls = [f"{stack.enter_context(ScriptedServer([answer])).url}/metrics" for answer in answers]
        with pytest.raises(ScrapeFailed, match="copy 2: HTTP status 404"):
            ReplicaScraper(urls).scrape()
