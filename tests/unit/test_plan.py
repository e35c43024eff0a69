"""What the plan warns of."""

from dataclasses import replace

from test_grid import FACTS, grid

from servegrid.plan import plan


def test_the_plan_says_what_an_engine_does_above_its_limit() -> None:
    entry = {"runtime": "command", "command": ["/bin/true"], "version": "1"}
    engines = dict.fromkeys(("llamacpp", "tgi"), entry)
    facts = replace(FACTS, engine_versions={"llamacpp": "1", "tgi": "1"})
    wide = grid(
        facts, engines=engines, grid={"engine": ["llamacpp", "tgi"], "threads": [2, 8, 16]}, server={"concurrency": 4}
    )
    text = plan(wide)
    assert "at 8, 16 threads requests will queue: servers work on 4 at once" in text
    assert "at 8, 16 threads tgi will refuse requests: servers work on 4 at once" in text
