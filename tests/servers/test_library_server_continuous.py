"""Requests for an engine that makes its own batches; the engine here is a list of steps."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from library_server.continuous import ContinuousScheduler
from library_server.errors import ApiError
from library_server.generation import Generation
from library_server.metrics import Metrics


class Engine:
    continuous = True
    compute_type, threads = "float32", None

    def __init__(self, *steps: tuple[list[int], str | None] | Exception) -> None:
        self.steps = steps
        self.withdrawn = 0
        self.closed = False

    async def stream(self, generation: Generation) -> AsyncIterator[tuple[list[int], str | None]]:
        for step in self.steps:
            if isinstance(step, Exception):
                raise step
            yield step
        if not self.steps:
            try:
                await asyncio.sleep(60)
            finally:
                self.withdrawn += 1

    def close(self) -> None:
        self.closed = True


def scheduler(engine: Engine, **options: Any) -> tuple[ContinuousScheduler, Metrics]:
    metrics = Metrics()
    scheduler_options = SimpleNamespace(**{"max_batch_size": 2, "max_queued": None} | options)
    return ContinuousScheduler(engine, scheduler_options, metrics), metrics  # type: ignore[arg-type]


async def collected(generation: Generation) -> list[int]:
    tokens: list[int] = []
    while not generation.ended:
        tokens += await generation.tokens()
    return tokens


async def settled() -> None:
    """Until all that can go on without waiting has: a number of turns of the event loop, not a time."""
    for _ in range(100):
        await asyncio.sleep(0)


def test_tokens_of_a_step_come_together_and_the_reason_with_the_last() -> None:
    async def ask() -> tuple[list[int], Generation, Metrics]:
        made, metrics = scheduler(Engine(([1], None), ([2, 3], "length")))
        made.submit(generation := Generation([7, 8], 3))
        tokens = await collected(generation)
        await asyncio.sleep(0)
        return tokens, generation, metrics

    tokens, generation, metrics = asyncio.run(ask())
    assert tokens == [1, 2, 3] and generation.finish_reason == "length"
    assert (metrics.prompt_tokens_total, metrics.output_tokens_total, metrics.requests_running) == (2, 3, 0)


@pytest.mark.parametrize(
    ("steps", "error"),
    [
        ([([1], None), RuntimeError("no memory")], "the engine failed: no memory"),
        ([([1], None)], "the engine ended without a last token"),
    ],
)
def test_a_failure_of_the_engine_is_told(steps: list[Any], error: str) -> None:
    async def ask() -> tuple[Generation, Metrics]:
        made, metrics = scheduler(Engine(*steps))
        made.submit(generation := Generation([7], 3))
        await collected(generation)
        await asyncio.sleep(0)
        return generation, metrics

    generation, metrics = asyncio.run(ask())
    assert generation.error == error and metrics.requests_failed_total == 1


def test_those_beyond_the_limit_wait_and_are_then_refused() -> None:
    async def ask() -> tuple[Metrics, Engine]:
        made, metrics = scheduler(engine := Engine(), max_queued=1)
        asked = [Generation([7], 3) for _ in range(3)]
        for generation in asked:
            made.submit(generation)
        assert (metrics.requests_running, metrics.requests_waiting) == (2, 1)
        with pytest.raises(ApiError, match="the queue is full"):
            made.submit(Generation([7], 3))
        await settled()
        made.cancel(asked[0])
        await settled()
        assert (metrics.requests_running, metrics.requests_waiting) == (2, 0)
        assert made.stop(1.0) and asked[1].error == "the server is stopping"
        await settled()
        return metrics, engine

    metrics, engine = asyncio.run(ask())
    assert engine.withdrawn == 3 and engine.closed
    assert (metrics.requests_refused_total, metrics.requests_failed_total) == (1, 0)
