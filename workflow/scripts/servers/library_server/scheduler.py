"""Scheduler of static batches and the threads the engine runs in; for engines that are given their batches.

The policy, which is part of what is measured: static batches. Whenever the engine is free (one of `inter_threads`
workers), the requests that wait, oldest first and up to `max_batch_size`, form the next batch; a batch that is not full
first waits until its oldest request has waited `batch_wait_ms`. Requests share a batch only if the engine can run them
together (same way of sampling, same minimum of tokens). No request joins a batch at work. Each request's tokens are
sent as they are made; a request that has its max_tokens, or whose client is gone, leaves while the batch runs on.
"""

import asyncio
import functools
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable

from library_server.backends.base import Backend, StepToken
from library_server.errors import ApiError
from library_server.generation import Generation
from library_server.metrics import Metrics
from library_server.options import Options

POLICY = (
    "static batches: when the engine is free, waiting requests, oldest first and up to max_batch_size, form the next "
    "batch; one that is not full waits until its oldest request has waited batch_wait_ms; no request joins a batch at "
    "work; each request's tokens are sent as they are made; a request at its max_tokens or whose client is gone leaves "
    "while the batch runs on"
)


class Scheduler:
    """The queue of requests and the workers that take batches from it.

    Its public methods are called in the event loop's thread, the private ones in the workers' threads, except
    `_on_batch_begun`, `_deliver` and `_on_batch_done`, which workers pass to the event loop.
    """

    policy = POLICY

    def __init__(self, backend: Backend, options: Options, metrics: Metrics):
        self._backend = backend
        self._options = options
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Generation] = deque()
        self._running: set[Generation] = set()
        self._changed = threading.Condition()
        self._stopping = False
        self._workers = [threading.Thread(target=self._work, daemon=True) for _ in range(options.inter_threads)]
        for worker in self._workers:
            worker.start()

    def submit(self, generation: Generation) -> None:
        """Queue a request; ApiError 429 when the queue is full."""
        limit = self._options.max_queued
        with self._changed:
            if limit is not None and len(self._waiting) >= limit:
                self._metrics.requests_refused_total += 1
                raise ApiError(429, f"the queue is full: {limit} requests wait already", kind="rate_limit_error")
            self._waiting.append(generation)
            self._metrics.requests_waiting = len(self._waiting)
            self._changed.notify()
        self._metrics.requests_total += 1

    def cancel(self, generation: Generation) -> None:
        """Cancel a request whose client is gone: removed from the queue at once, or from its batch after the present step."""
        generation.cancelled = True
        with self._changed:
            if generation in self._waiting:
                self._waiting.remove(generation)
            self._metrics.requests_waiting = len(self._waiting)
        self._remove_running(generation)

    def stop(self, stop_timeout_s: float) -> bool:
        """End all requests and then the workers; False when a worker is still in the engine after `stop_timeout_s`."""
        with self._changed:
            self._stopping = True
            for generation in (*self._waiting, *self._running):
                generation.cancelled = True
                generation.fail("the server is stopping")
            self._waiting.clear()
            self._changed.notify_all()
        deadline = time.monotonic() + stop_timeout_s
        for worker in self._workers:
            worker.join(max(0.0, deadline - time.monotonic()))
        return not any(worker.is_alive() for worker in self._workers)

    def _work(self) -> None:
        while batch := self._next_batch():
            self._call_in_loop(self._on_batch_begun, batch)
            error = None
            try:
                self._backend.generate(batch, functools.partial(self._call_in_loop, self._deliver, batch))
            except Exception as caught:
                traceback.print_exc(file=sys.stderr)
                error = f"the engine failed: {caught}"
            self._call_in_loop(self._on_batch_done, batch, error)

    def _call_in_loop(self, callback: Callable[..., None], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:  # the loop is closed: the server is stopping and nobody listens
            self._stopping = True

    def _next_batch(self) -> list[Generation]:
        """Wait for the next batch and return it; empty when the server stops."""
        with self._changed:
            while not self._stopping:
                due_s = self._due_s()
                if due_s is not None and due_s <= 0:
                    return self._take_batch()
                self._changed.wait(due_s)
            return []

    def _due_s(self) -> float | None:
        """Seconds until a batch may begin; None if no request waits."""
        if not self._waiting:
            return None
        if len(self._waiting) >= self._options.max_batch_size:
            return 0.0
        return self._waiting[0].queued_s + self._options.batch_wait_ms / 1000 - time.monotonic()

    def _take_batch(self) -> list[Generation]:
        """Remove the oldest request and those that fit into a batch with it from the queue, and return them."""
        key = self._backend.batch_key(self._waiting[0])
        fitting = [waiting for waiting in self._waiting if self._backend.batch_key(waiting) == key]
        batch = fitting[: self._options.max_batch_size]
        for generation in batch:
            self._waiting.remove(generation)
        self._running.update(batch)
        return batch

    def _on_batch_begun(self, batch: list[Generation]) -> None:
        self._metrics.requests_waiting = len(self._waiting)
        self._metrics.requests_running += len(batch)
        self._metrics.batches_total += 1
        self._metrics.batch_size_last = len(batch)
        self._metrics.prompt_tokens_total += sum(len(generation.prompt) for generation in batch)

    def _deliver(self, batch: list[Generation], step: list[StepToken]) -> None:
        self._metrics.steps_total += 1
        self._metrics.output_tokens_total += len(step)
        for index, token_id, finish_reason in step:
            batch[index].push(token_id, finish_reason)
            if finish_reason:
                self._remove_running(batch[index])

    def _on_batch_done(self, batch: list[Generation], error: str | None) -> None:
        for generation in batch:
            if not generation.ended and not generation.cancelled:
                self._metrics.requests_failed_total += 1
                generation.fail(error or "the engine ended without a last token")
            self._remove_running(generation)

    def _remove_running(self, generation: Generation) -> None:
        with self._changed:
            if generation in self._running:
                self._running.remove(generation)
                self._metrics.requests_running -= 1
