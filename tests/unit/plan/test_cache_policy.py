"""How a load is cold or warm is decided by its server and its config, and is part of its identity."""

from typing import Any

import pytest

from helpers.grids import MODEL, RESOLVED, grid
from servegrid.plan.cache_policy import cache_policy
from servegrid.plan.grid import Grid, Point
from servegrid.plan.resolve import Resolved

FAR = {"engines": {"far": {"engine": "openai", "runtime": "url", "url": "http://127.0.0.1:1"}}}
FAR |= {"devices": {"far": {"kind": "remote"}}, "grid": {"engine": ["far"], "gpu": ["far"], "threads": [1]}}
SERVE = {"engine": "transformers-serve", "runtime": "venv"}


def points(**changes: Any) -> list[Point]:
    resolved = Resolved(MODEL, None, "prompts-1", {"far": "1"}, {"transformers-cpu": "1", **RESOLVED.lock_versions})
    return grid(resolved, **{"report": {}, **changes}).points


def policies(**changes: Any) -> set[str]:
    return {cache_policy(point.server.spec, point.load.options) for point in points(**changes) if point.skip is None}


def ids(expanded: Grid | list[Point]) -> set[str]:
    return {point.load.id for point in (expanded.points if isinstance(expanded, Grid) else expanded)}


def test_servers_that_keep_nothing_are_sent_the_prompts_as_they_are_and_their_loads_keep_their_ids() -> None:
    assert policies() == {"cold (off)"} and policies(load__cache="cold") == {"cold (off)"}
    assert ids(points()) == ids(points(load__cache="cold"))
    assert ids(grid()) >= {"threads-1-707be0b5dc"}


def test_servers_that_keep_prompts_get_salted_ones_which_are_other_loads() -> None:
    assert policies(server__prefix_cache=True, grid__engine=["llamacpp"]) == {"cold (salt)"} == policies(**FAR)
    assert not ids(points(server__prefix_cache=True)) & ids(points())
    both = points(grid__prefix_cache=[False, True], grid__engine=["llamacpp"])
    assert {(point.axes["prefix_cache"], point.load.is_salted) for point in both} == {(False, False), (True, True)}


@pytest.mark.parametrize(("options", "policy"), [({}, "cold (off)"), ({"continuous-batching": None}, "cold (salt)")])
def test_an_engine_that_shares_blocks_whatever_is_set_keeps_prompts(options: dict[str, Any], policy: str) -> None:
    serve = {"engines": {"serve": SERVE | {"options": options}}, "grid": {"engine": ["serve"], "threads": [1]}}
    assert policies(**serve) == {policy}


def test_warm_is_another_load_and_takes_a_server_that_keeps_prompts() -> None:
    warm = points(load__cache="warm", server__prefix_cache=True, grid__engine=["llamacpp"])
    assert not any(point.skip or point.load.is_salted for point in warm)
    assert not ids(warm) & (ids(points()) | ids(points(server__prefix_cache=True)))
    assert policies(**FAR, load__cache="warm") == {"warm"}
    [skip] = {point.skip for point in points(load__cache="warm", grid__engine=["llamacpp"])}
    assert skip and skip.status == "unsupported" and "goes with server.prefix_cache = true" in skip.reason


def test_a_prefix_cache_cannot_be_set_at_a_url() -> None:
    [skip] = {point.skip for point in points(**FAR, server__prefix_cache=True)}
    assert skip and skip.status == "unsupported" and "load.cache says whether prompts meet it" in skip.reason
