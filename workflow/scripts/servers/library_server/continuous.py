"""Scheduler for engines that make their own batches: each request is passed on as it arrives."""

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
    """Runs one task per request, in the event loop's thread.

    The metrics of running and waiting requests follow from the engine's limit: it runs max_batch_size at most.
    """

    policy = POLICY

    def __init__(self, backend: ContinuousBackend, options: Options, metrics: Metrics):
        self._backend = backend
        self._options = options
        self._metrics = metrics
        self._tasks: dict[Generation, asyncio.Task[None]] = {}

    def submit(self, generation: Generation) -> None:
        """Pass a request to the engine; ApiError 429 when too many wait for it."""
        limit = self._options.max_queued
        if limit is not None and len(self._tasks) >= limit + self._options.max_batch_size:
            self._metrics.requests_refused_total += 1
            raise ApiError(429, f"the queue is full: {limit} requests wait already", kind="rate_limit_error")
        task = self._tasks[generation] = asyncio.create_task(self._run(generation))
        task.add_done_callback(lambda _: self._on_task_done(generation))
        self._metrics.requests_total += 1
        self._metrics.prompt_tokens_total += len(generation.prompt)
        self._update_gauges()

    def cancel(self, generation: Generation) -> None:
        """Cancel a request whose client is gone."""
        generation.cancelled = True
        if task := self._tasks.get(generation):
            task.cancel()

    def stop(self, stop_timeout_s: float) -> bool:
        """End all requests and the engine; always True."""
        for generation in list(self._tasks):
            generation.fail("the server is stopping")
            self.cancel(generation)
        self._backend.close()
        return True

    async def _run(self, generation: Generation) -> None:
        try:
            async for token_ids, reason in self._backend.stream(generation):
                self._deliver(generation, token_ids, reason)
        except Exception as caught:
            traceback.print_exc(file=sys.stderr)
            generation.fail(f"the engine failed: {caught}")

    def _on_task_done(self, generation: Generation) -> None:
        """Forget a request that has left the engine; fail it if it got no last token."""
        del self._tasks[generation]
        self._update_gauges()
        if not generation.cancelled:
            generation.fail("the engine ended without a last token")
            self._metrics.requests_failed_total += generation.error is not None

    def _deliver(self, generation: Generation, token_ids: list[int], reason: str | None) -> None:
        self._metrics.output_tokens_total += len(token_ids)
        *leading, last = token_ids or [None]
        for token_id in leading:
            generation.push(token_id, None)
        if last is not None:
            generation.push(last, reason)

    def _update_gauges(self) -> None:
        in_engine, limit = len(self._tasks), self._options.max_batch_size
        self._metrics.requests_running = min(in_engine, limit)
        self._metrics.requests_waiting = max(0, in_engine - limit)


AnyScheduler = Scheduler | ContinuousScheduler


def scheduler_for(backend: AnyBackend, options: Options, metrics: Metrics) -> AnyScheduler:
    """Scheduler for this engine: static batches, or the engine's own."""
    return (ContinuousScheduler if backend.continuous else Scheduler)(backend, options, metrics)  # type: ignore[arg-type]
