"""The grid is a pure function of the config: its points, their identity, and the reasons for what is left out."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helpers.grids import DEFAULT, MODEL, RESOLVED, grid, servers
from servegrid import engines
from servegrid.engines.base import ModelRef
from servegrid.plan.grid import Grid, Point
from servegrid.plan.resolve import Resolved


def one(grid: Grid, **axes: Any) -> Point:
    points = [point for point in grid.points if all(point.axes[axis] == value for axis, value in axes.items())]
    assert len(points) == 1, points
    return points[0]


def loads(grid: Grid) -> set[str]:
    return {load.id for session in grid.sessions for load in session.loads}


def test_the_product_of_the_axes() -> None:
    default_grid = grid()
    assert len(default_grid.points) == 2 * 4 * 3 * 2
    skipped = [point for point in default_grid.points if point.skip]
    assert {point.axes["engine"] for point in skipped} == {"ctranslate2"}
    assert {point.skip.reason for point in skipped if point.skip} == {"CTranslate2 has no speculative decoding"}
    assert len(servers(default_grid)) == 3 * 2 + 2
    assert len(default_grid.sessions) == 8 * 2


def test_sessions_run_round_by_round_and_always_in_the_same_order() -> None:
    order = [session.id for session in grid().sessions]
    assert [id[-1] for id in order] == ["1"] * 8 + ["2"] * 8
    assert order == [session.id for session in grid().sessions]
    assert [id[:-1] for id in order[:8]] != [id[:-1] for id in order[8:]]


def test_every_other_round_has_the_loads_of_a_server_in_reverse() -> None:
    threads = {session.rep: [load.threads for load in session.loads] for session in grid(repeats=3).sessions}
    assert threads == {1: [1, 2, 4, 8], 2: [8, 4, 2, 1], 3: [1, 2, 4, 8]}


def test_exclude_then_include() -> None:
    excluded = grid(grid__exclude=[{"engine": "ctranslate2", "speculation": [2, 8]}, {"threads": 8}])
    assert len(excluded.points) == 3 * (3 * 2 + 2)
    extra = grid(grid__include=[{"engine": "llamacpp", "speculation": "draft:4", "quantization": "none"}])
    added = [point for point in extra.points if point.axes["speculation"] == "draft:4"]
    assert [point.axes["threads"] for point in added] == [1, 2, 4, 8]
    again = grid(grid__include=[{"engine": "llamacpp", "speculation": 2, "quantization": "none"}])
    assert len(again.points) == len(grid().points)


def test_identity_is_content() -> None:
    before = grid()
    assert servers(grid(grid__threads=[1, 2])) == servers(before)
    assert loads(grid(grid__threads=[1, 2, 4, 8, 10])) > loads(before)
    assert servers(grid(report={"title": "x"}, repeats=2)) == servers(before)
    assert loads(grid(load__time_limit_s=9)) == loads(before)
    assert servers(grid(server__start_timeout_s=9)) == servers(before)
    assert not servers(grid(server__concurrency=8)) & servers(before)
    assert not loads(grid(prompts__output_tokens=33)) & loads(before)
    assert not loads(grid(load__temperature=0.5)) & loads(before)


def test_an_option_touches_its_engine_alone() -> None:
    options = copy.deepcopy(DEFAULT["engines"])
    options["llamacpp"]["options"]["batch-size"] = 64
    changed = servers(grid()) ^ servers(grid(engines=options))
    assert changed and all(id.startswith("llamacpp-") for id in changed)


@pytest.mark.parametrize(
    "resolved",
    [
        replace(RESOLVED, model=ModelRef("tiny", "r2", "c", "models/tiny")),
        replace(RESOLVED, lock_versions={"llamacpp": "2", "ctranslate2": "2"}),
    ],
)
def test_a_new_model_or_engine_version_is_a_new_server(resolved: Resolved) -> None:
    assert not servers(grid(resolved)) & servers(grid())


def test_another_prompt_set_is_another_load_of_the_same_server() -> None:
    other = grid(replace(RESOLVED, prompt_set_id="prompts-2"))
    assert servers(other) == servers(grid())
    assert not loads(other) & loads(grid())


def test_a_bare_length_is_the_engines_own_kind() -> None:
    both = grid(grid__speculation=[2, "ngram:2", 0, "none"], grid__engine=["llamacpp"])
    ids = {
        str(point.axes["speculation"]): point.server.id for point in both.points if point.axes["quantization"] == "none"
    }
    assert ids["2"] == ids["ngram:2"]
    assert ids["0"] == ids["none"]


def test_further_axes_of_server_load_and_engine() -> None:
    wide = grid(
        **{"grid__concurrency": [2, 4], "grid__temperature": [0, 0.7], "grid__options.batch-size": [64, "default"]}
    )
    assert wide.axes[5:] == ["concurrency", "temperature", "options.batch-size"]
    point = one(
        wide, engine="llamacpp", threads=1, speculation=2, quantization="int8", concurrency=2, temperature=0.7,
        **{"options.batch-size": 64},
    )  # fmt: skip
    assert point.server.spec.concurrency == 2
    assert point.server.spec.options["batch-size"] == 64
    assert point.load.options.temperature == 0.7
    default = [point for point in wide.points if point.axes["options.batch-size"] == "default"]
    assert not any("batch-size" in point.server.spec.options for point in default)


def test_none_is_the_checkpoints_own_type_on_a_gpu() -> None:
    """Also of a draft. What is quantized, a file of the user's, and all on a CPU stays what it was."""
    devices = {"cpu": {"kind": "cpu"}, "card": {"kind": "cuda"}}
    engines_config = {"llamacpp": {"runtime": "command", "command": ["llama-server"], "version": "b1"}}
    axes = {"grid__engine": ["llamacpp"], "grid__gpu": list(devices), "grid__speculation": ["none", "draft:2"]}
    ready = replace(RESOLVED, model=replace(RESOLVED.model, gguf={"none": "/my.gguf"}))
    made, named = (grid(resolved, devices=devices, engines=engines_config, **axes) for resolved in (RESOLVED, ready))

    def files(of: Grid, **axes: Any) -> dict[str, str]:
        spec = one(of, threads=1, **axes).server.spec
        return {role: Path(path).name for role, path in engines.get("llamacpp").files(spec).items()}

    for gpu, own in (("cpu", "f32.gguf"), ("card", "own.gguf")):
        assert files(made, gpu=gpu, speculation="none", quantization="none") == {"model": own}
        assert files(made, gpu=gpu, speculation="none", quantization="int8") == {"model": "q8_0.gguf"}
        assert files(made, gpu=gpu, speculation="draft:2", quantization="int8") == {"model": "q8_0.gguf", "draft": own}
        assert files(named, gpu=gpu, speculation="none", quantization="none") == {"model": "my.gguf"}
    unchanged = one(made, gpu="cpu", threads=1, speculation="none", quantization="none").server.spec
    assert unchanged.weights is None


def test_a_device_that_is_not_here_is_absent() -> None:
    devices = {"cpu": {"kind": "cpu"}, "a6000": {"kind": "cuda", "name": "A6000"}}
    resolved = replace(RESOLVED, absent_devices={"a6000": "no NVIDIA driver"})
    engines = {"llamacpp": {"runtime": "command", "command": ["llama-server"], "version": "b1"}}
    both = grid(resolved, devices=devices, engines=engines, grid__engine=["llamacpp"], grid__gpu=["cpu", "a6000"])
    skips = {point.skip for point in both.points if point.axes["gpu"] == "a6000"}
    assert {(skip.status, skip.reason) for skip in skips if skip} == {("absent", "no NVIDIA driver")}


def test_planned_arrivals_ignore_threads() -> None:
    planned = grid(load={"arrival": "poisson", "rate": 5.0}, grid__engine=["llamacpp"])
    assert all(point.load.threads is None for point in planned.points)
    assert len(loads(planned)) == 1


def test_ten_thousand_points_are_cheap_to_expand() -> None:
    big = grid(grid__threads=list(range(1, 51)), prompts__count=50, **{"grid__options.batch-size": list(range(1, 18))})
    assert len(big.points) > 10_000
    assert len({point.server.id for point in big.points}) == 2 * 3 * 2 * 17


def test_a_ready_checkpoint_is_another_servers_business() -> None:
    plain = servers(grid())
    named = replace(MODEL, quantized={"awq": "/models/m-awq"}, speculators={"eagle3": "/models/m-eagle3"})
    assert servers(grid(replace(RESOLVED, model=named, checkpoint_hashes={"/models/m-awq": "1"}))) == plain


def test_answers_that_end_by_themselves_are_another_load_and_with_tgi_another_server() -> None:
    axes = {"engine": ["tgi", "vllm"], "gpu": ["gpu"], "threads": [4], "stop": ["exact", "natural"]}
    entries = {name: {"runtime": "command", "command": [f"/{name}"], "version": "1"} for name in ("tgi", "vllm")}
    resolved = Resolved(MODEL, None, "prompts-1", engine_versions={"tgi": "1", "vllm": "1"})
    stops = grid(resolved, engines=entries, devices={"gpu": {"kind": "cuda"}}, grid=axes, report={})
    points = {(point.axes["engine"], point.axes["stop"]): point for point in stops.points}
    assert len({point.load.id for point in points.values()}) == 2
    assert len({point.server.id for (engine, _), point in points.items() if engine == "vllm"}) == 1
    files = {stop: engines.get("tgi").files(points["tgi", stop].server.spec)["model"] for stop in ("exact", "natural")}
    assert files["exact"].endswith("checkpoint-no-eos") and files["natural"] == MODEL.checkpoint
    only_exact = grid(
        resolved, engines=entries, devices={"gpu": {"kind": "cuda"}}, grid=axes | {"stop": ["exact"]}, report={}
    )
    assert servers(only_exact) == {point.server.id for (_, stop), point in points.items() if stop == "exact"}
