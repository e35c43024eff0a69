"""Notes of `snakemake plan`: queueing requests, levels with few requests and limits that cannot be decided."""

from dataclasses import replace
from typing import Any

import pytest

from helpers.grids import RESOLVED, grid
from servegrid.consult.doctor import _check_threads
from servegrid.consult.preview import plan_text


def test_the_plan_says_what_an_engine_does_above_its_limit() -> None:
    entry = {"runtime": "command", "command": ["/bin/true"], "version": "1"}
    engines = dict.fromkeys(("llamacpp", "tgi"), entry)
    resolved = replace(RESOLVED, engine_versions={"llamacpp": "1", "tgi": "1"})
    wide = grid(
        resolved,
        prompts__count=16,
        engines=engines,
        grid={"engine": ["llamacpp", "tgi"], "threads": [2, 8, 16]},
        server={"concurrency": 4},
    )
    text = plan_text(wide)
    assert "at 8, 16 threads requests will queue: servers work on 4 at once" in text
    assert "at 8, 16 threads tgi will refuse requests: servers work on 4 at once" in text


def test_the_plan_says_whose_prompts_are_salted() -> None:
    note = "Note: prompts to llamacpp stand behind a salt of a few tokens"
    assert note in plan_text(grid(server={"prefix_cache": True}, grid__engine=["llamacpp"]))
    assert "behind a salt" not in plan_text(grid())


@pytest.mark.parametrize(
    ("requests", "repeats", "note"),
    [
        (None, 1, "report.slo.ttft_ms_p99 will stay unknown: it takes 100 requests, and a load has 24 requests"),
        (9, 1, "report.slo.itl_ms_p99 will stay unknown: it takes 10 requests, and a load has 9 requests"),
        (40, 2, "it takes 100 requests, and a load has 40 requests in each of 2 sessions"),
        (50, 2, None),
        (None, 5, None),
    ],
)
def test_the_plan_says_which_limit_has_too_few_requests(requests: int | None, repeats: int, note: str | None) -> None:
    limits = {"ttft_ms_p99": 100, "itl_ms_p99": 10, "e2e_ms_p50": 1000}
    text = plan_text(grid(prompts={"count": 24}, load={"requests": requests}, repeats=repeats, report={"slo": limits}))
    assert text.count("ttft_ms_p99 will stay unknown") == (note is not None)
    assert note is None or note in text


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"prompts": {"count": 128}}, "at 64, 128 threads a load has 128 requests: fewer than 4 for each thread; raise "
         "prompts.count or load.requests to 512"),
        ({"load": {"requests": 10}}, "at 24, 64, 128 threads a load has 10 requests: fewer than 4 for each thread; raise load.requests to 512"),
        ({"prompts": {"count": 1}, "load": {"requests": 511}}, "at 128 threads a load has 511 requests"),
        ({"prompts": {"count": 512}}, None),
        ({"load": {"duration_s": 9.0}}, None),
        ({"load": {"arrival": "poisson", "rate": 3.0}}, None),
    ],
)  # fmt: skip
def test_plan_and_doctor_say_where_threads_have_few_requests(changes: dict[str, Any], note: str | None) -> None:
    wide = grid(grid__threads=[24, 64, 128], **changes)
    assert ("fewer than 4" in plan_text(wide), len(list(_check_threads(wide)))) == (note is not None, note is not None)
    assert note is None or f"Note: {note}" in plan_text(wide)
