"""A small event loop: file descriptors and timers, nothing else.

Why not asyncio on uvloop: side by side it costs the same per read, but its timers count whole milliseconds, it takes longer
to import than everything else together, and it has no place for the pause below, which makes one waking serve several reads.
An exception, also one of a signal handler, leaves `run` at once.
"""

import select
import time
from collections.abc import Callable
from heapq import heappop, heappush
from time import monotonic
from typing import Any

PAUSE_FROM = 1000.0  # reads per second
LEAST_PAUSE_S = 0.0001
LATE_S = 0.001
"""Data that waited longer was read late: an idle client wakes within 0.1 ms, a busy one goes round in half a millisecond."""
_WAIT_S = 0.00005  # a call of the poller that took longer has waited: nothing was ready when it began
_BATCH = 256
_LONG_S = 3600.0
_FINE_S = 0.002  # epoll counts milliseconds, select microseconds
_SELECT_LIMIT = 1024

READ, WRITE = 1, 4  # EPOLLIN and EPOLLOUT, POLLIN and POLLOUT

Handler = Callable[[int], None]
"""Handler of a descriptor, called with the mask of what is ready."""


class _Poll:
    """`select.poll` with the interface of `select.epoll`, for systems without it."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self.register, self.modify, self.unregister = self._poll.register, self._poll.modify, self._poll.unregister

    def poll(self, timeout: float = -1, maxevents: int = -1) -> list[tuple[int, int]]:
        return self._poll.poll(None if timeout < 0 else int(timeout * 1000 + 0.999))

    def fileno(self) -> int:
        return _SELECT_LIMIT

    def close(self) -> None:
        return


class Loop:
    """Calls handlers when descriptors are ready and callbacks when they are due, in the thread that runs it."""

    def __init__(self) -> None:
        self._poller: Any = select.epoll() if hasattr(select, "epoll") else _Poll()
        self._handlers: list[Handler | None] = []  # by descriptor
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0  # of the timer, so that none is compared by its callback
        self._stopped = False
        self._reads = 0
        self.reads_per_s = 0.0
        self._counted_s = monotonic()
        self.pause_s = 0.0
        """Pause after some reads were handled, if there are many per second, so that one waking serves several."""
        self.on_time_from_s = self.on_time_until_s = 0.0
        """Data that is read now was read on time if it came between these instants, see `_note_waking`."""
        self._emptied_s = monotonic()  # when nothing was left to be read but what is read in this round

    def watch(self, descriptor: int, mask: int, handler: Handler) -> None:
        """Call the handler whenever the descriptor is ready; hang-ups and errors always are."""
        handlers = self._handlers
        handlers.extend([None] * (descriptor + 1 - len(handlers)))
        is_watched = handlers[descriptor] is not None
        handlers[descriptor] = handler
        (self._poller.modify if is_watched else self._poller.register)(descriptor, mask)

    def unwatch(self, descriptor: int) -> None:
        """Stop watching the descriptor; to be called before it is closed."""
        if 0 <= descriptor < len(self._handlers) and self._handlers[descriptor] is not None:
            self._handlers[descriptor] = None
            self._poller.unregister(descriptor)

    def call_at(self, due_s: float, callback: Callable[[], None]) -> None:
        """Call once, not before `due_s` of the monotonic clock."""
        self._number += 1
        heappush(self._timers, (due_s, self._number, callback))

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Call once, after what is ready now was handled."""
        self.call_at(monotonic(), callback)

    def stop(self) -> None:
        """Let `run` return."""
        self._stopped = True

    def run(self) -> None:
        """Run handlers and timers until `stop` is called."""
        handlers, poll, sleep = self._handlers, self._poller.poll, time.sleep
        while not self._stopped:
            left_s = self._time_to_timer_s()
            if left_s <= 0:
                self._call_due()
            polled_s = monotonic()
            ready = poll(left_s - 0.001, _BATCH) if left_s > _FINE_S else self._poll_briefly(left_s)
            self._note_waking(polled_s, monotonic(), bool(ready))
            for descriptor, mask in ready:
                handler = handlers[descriptor]
                if handler is not None:
                    handler(mask)
            self._reads += len(ready)
            # what the handlers have set for now, such as a thread's next request, is not to wait for a pause
            if self.pause_s and 0 < len(ready) < _BATCH and self._time_to_timer_s() > self.pause_s + _FINE_S:
                sleep(self.pause_s)

    def _note_waking(self, polled_s: float, woken_s: float, is_ready: bool) -> None:
        """Set within which instants data must have come to be read on time, in the round that begins at `woken_s`.

        Where the poller waited, nothing was there before: what woke it came just now, or the waking was late. Where it did not, data may
        have gathered since the round before, which is late if that, with its pause, took long. In this round others are read before.
        A poller that a stop of the process interrupts may find nothing though something is there.
        """
        if woken_s - polled_s > _WAIT_S:
            self.on_time_from_s = woken_s - LATE_S
        else:
            is_prompt = woken_s - self._emptied_s <= self.pause_s + LATE_S
            self.on_time_from_s = 0.0 if is_prompt else float("inf")
        self._emptied_s, self.on_time_until_s = woken_s if is_ready else polled_s, woken_s + LATE_S

    def _time_to_timer_s(self) -> float:
        """Seconds until the next timer."""
        return self._timers[0][0] - monotonic() if self._timers else _LONG_S

    def _poll_briefly(self, left_s: float) -> Any:
        """Poll descriptors for `left_s`, less than _FINE_S, or not at all."""
        if left_s > 0 and self._poller.fileno() >= _SELECT_LIMIT:
            return self._poller.poll(left_s, _BATCH)
        if left_s > 0:
            select.select([self._poller.fileno()], (), (), left_s)
        return self._poller.poll(0, _BATCH)

    def _call_due(self) -> None:
        """Call the timers that are due; those they add for now come after the descriptors had their turn."""
        now, timers = monotonic(), self._timers
        due = []
        while timers and timers[0][0] <= now:
            due.append(heappop(timers)[2])
        for callback in due:
            callback()

    def count_reads(self, now: float) -> None:
        """Update `reads_per_s`, the rate of reads since the last call; to be called regularly."""
        self.reads_per_s = self._reads / max(1e-6, now - self._counted_s)
        self._reads, self._counted_s = 0, now

    def set_pause(self, pause_s: float) -> None:
        """Set the pause after reads; none while there are few reads, or where it would be too short to matter."""
        many = self.reads_per_s > PAUSE_FROM
        self.pause_s = pause_s if many and pause_s >= LEAST_PAUSE_S else 0.0

    def close(self) -> None:
        """Close the poller."""
        self._poller.close()
