"""Requests for an engine that makes its own batches: each is handed to it as it comes."""

import asyncio
import sys
import traceback

from library_server.backends.base import AnyBackend, ContinuousBackend
from library_server.errors import ApiError
from library_server.generation import Generation
from library_server.metrics import Metrics
from library_server.options import Options
from library_server.scheduler import Scheduler

POLICY = (
    "continuous batches, the engine's own: every request is handed to it as it comes; it runs up to max_batch_size at "
    "once and queues the others"
)


class ContinuousScheduler:
    """One task per request, in the event loop's thread.

    What is told as running and waiting follows from the engine's limit: it runs max_batch_size at most.
    """

    policy = POLICY

    def __init__(self, backend: ContinuousBackend, options: Options, metrics: Metrics):
        self._backend = backend
        self._options = options
        self._metrics = metrics
        self._tasks: dict[Generation, asyncio.Task[None]] = {}

    def submit(self, generation: Generation) -> None:
        """Hands a request to the engine; ApiError 429 when too many wait for it."""
        limit = self._options.max_queued
        if limit is not None and len(self._tasks) >= limit + self._options.max_batch_size:
            self._metrics.requests_refused_total += 1
            raise ApiError(429, f"the queue is full: {limit} requests wait already", kind="rate_limit_error")
        task = self._tasks[generation] = asyncio.create_task(self._run(generation))
        task.add_done_callback(lambda _: self._left(generation))
        self._metrics.requests_total += 1
        self._metrics.prompt_tokens_total += len(generation.prompt)
        self._count()

    def withdraw(self, generation: Generation) -> None:
        """Nobody wants more of it."""
        generation.cancelled = True
        if task := self._tasks.get(generation):
            task.cancel()

    def stop(self, patience_s: float) -> bool:
        """Ends all requests and the engine."""
        for generation in list(self._tasks):
            generation.fail("the server is stopping")
            self.withdraw(generation)
        self._backend.close()
        return True

    async def _run(self, generation: Generation) -> None:
        try:
            async for token_ids, reason in self._backend.stream(generation):
                self._deliver(generation, token_ids, reason)
        except Exception as caught:
            traceback.print_exc(file=sys.stderr)
            generation.fail(f"the engine failed: {caught}")

    def _left(self, generation: Generation) -> None:
        """It is out of the engine, however that came."""
        del self._tasks[generation]
        self._count()
        if not generation.cancelled:
            generation.fail("the engine ended without a last token")
            self._metrics.requests_failed_total += generation.error is not None

    def _deliver(self, generation: Generation, token_ids: list[int], reason: str | None) -> None:
        self._metrics.output_tokens_total += len(token_ids)
        *before, last = token_ids or [None]
        for token_id in before:
            generation.push(token_id, None)
        if last is not None:
            generation.push(last, reason)

    def _count(self) -> None:
        inside, most = len(self._tasks), self._options.max_batch_size
        self._metrics.requests_running = min(inside, most)
        self._metrics.requests_waiting = max(0, inside - most)


AnyScheduler = Scheduler | ContinuousScheduler


def scheduler_for(backend: AnyBackend, options: Options, metrics: Metrics) -> AnyScheduler:
    """What stands between requests and this engine."""
    return (ContinuousScheduler if backend.continuous else Scheduler)(backend, options, metrics)  # type: ignore[arg-type]
