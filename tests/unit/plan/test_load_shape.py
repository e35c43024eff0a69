"""Load shape and identity of a load, from the config's load options."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from servegrid.client.shape import ClosedLoop, OpenLoop
from servegrid.config import arrivals
from servegrid.config.measuring import LoadConfig
from servegrid.plan import load_shape


def options(**keys: Any) -> LoadConfig:
    return LoadConfig.model_validate(keys)


def offsets(**keys: Any) -> list[float]:
    shape = load_shape.shape(options(**keys), 1, prompts=4)
    assert isinstance(shape, OpenLoop)
    return list(shape.arrivals_s)


def test_closed() -> None:
    assert load_shape.shape(options(), 8, prompts=4) == ClosedLoop(8)
    assert load_shape.shape(options(requests=20), 8, 4) == ClosedLoop(8, 20)
    assert load_shape.shape(options(duration_s=3.0), 8, 4) == ClosedLoop(8, None, 3.0)


def test_planned_arrivals_end_with_the_prompts_a_number_or_a_duration() -> None:
    assert offsets(arrival="constant", rate=2.0) == [0.0, 0.5, 1.0, 1.5]
    assert len(offsets(arrival="constant", rate=2.0, requests=10)) == 10
    assert len(offsets(arrival="constant", rate=2.0, duration_s=20.0)) == 40
    assert offsets(arrival="poisson", rate=2.0) == offsets(arrival="poisson", rate=2.0)


def test_every_kind_takes_its_own_keys() -> None:
    assert offsets(arrival="burst", rate=2.0, burst_size=2) == [0.0, 0.0, 1.0, 1.0]
    assert offsets(arrival="gamma", rate=2.0, burstiness=0.5) != offsets(arrival="gamma", rate=2.0, burstiness=2.0)
    ramp = offsets(arrival="ramp", rate=1.0, end_rate=5.0, duration_s=4.0)
    gaps = [later - earlier for earlier, later in pairwise(ramp)]
    assert gaps == sorted(gaps, reverse=True) and 11 <= len(ramp) <= 13


def test_a_trace(tmp_path: Path) -> None:
    trace = tmp_path / "arrivals.txt"
    trace.write_text("10\n11\n14\n20\n")
    assert offsets(arrival="trace", trace=str(trace)) == [0, 1, 4, 10]
    assert offsets(arrival="trace", trace=str(trace), duration_s=5.0) == [0, 1, 4]
    assert offsets(arrival="trace", trace=str(trace), requests=2) == [0, 1]
    assert offsets(arrival="trace", trace=str(trace), rate=3.0)[-1] == pytest.approx(1.0)
    assert arrivals.arrival_mistake(options(arrival="trace", trace=str(tmp_path / "none"))) is not None


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"arrival": "poisson"}, "load.rate = null"),
        ({"arrival": "trace"}, "load.trace = null"),
        ({"arrival": "ramp", "rate": 1.0}, "load.end_rate = null"),
        ({"arrival": "ramp", "rate": 1.0, "end_rate": 2.0}, "load.duration_s = null"),
        ({"arrival": "gamma", "rate": 1.0}, None),
        ({}, None),
    ],
)
def test_what_is_missing(keys: dict[str, Any], message: str | None) -> None:
    mistake = arrivals.arrival_mistake(options(**keys))
    assert mistake is None if message is None else message in (mistake or "")


def test_what_a_kind_of_client_cannot_do_is_unsupported() -> None:
    assert load_shape.unsupported(options(client="requests")) is None
    assert "closed loops only" in (
        load_shape.unsupported(options(client="requests", arrival="constant", rate=1.0)) or ""
    )
    assert "no workers" in (load_shape.unsupported(options(client="parallel", workers=2)) or "")
    assert "number of requests" in (load_shape.unsupported(options(client="parallel", duration_s=2.0)) or "")


def test_options_that_are_not_used_do_not_name_a_load() -> None:
    plain = load_shape.definition(options())
    assert load_shape.definition(options(burstiness=3.0, burst_size=2, rate=9.0, workers=1, time_limit_s=9.0)) == plain
    assert load_shape.definition(options(workers=2)) != plain
    assert load_shape.definition(options(client="requests")) != plain
    gamma = options(arrival="gamma", rate=1.0)
    assert load_shape.definition(gamma) != load_shape.definition(options(arrival="gamma", rate=1.0, burstiness=3.0))


def test_a_load_is_named_by_what_it_is() -> None:
    assert load_shape.readable_name(options(), 8) == "threads-8"
    assert load_shape.readable_name(options(client="parallel"), 8) == "threads-8-parallel"
    assert load_shape.readable_name(options(arrival="gamma", rate=2.5), None) == "gamma-2.5"
    assert load_shape.readable_name(options(arrival="trace", trace="/a/b.txt"), None) == "trace-b"
