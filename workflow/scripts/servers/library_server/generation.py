"""State of one generation in the engine."""

import asyncio
import time
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Sampling:
    """Sampling settings: temperature 0 is greedy; top_p 1 and top_k 0 mean all tokens."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0


GREEDY = Sampling()


@dataclass(eq=False)
class Generation:
    """A request as the engine sees it, and the queue in which its tokens arrive.

    The engine's thread reads all fields; `cancelled` may turn true at any time and asks it to make no more tokens.
    The queue is used from the event loop's thread only.
    """

    prompt: list[int]
    max_tokens: int
    min_tokens: int = 0
    ignore_eos: bool = False
    sampling: Sampling = GREEDY
    cancelled: bool = False
    queued_s: float = field(default_factory=time.monotonic)
    finish_reason: str | None = None
    error: str | None = None
    _queue: list[int] = field(default_factory=list)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def ended(self) -> bool:
        """Whether no more tokens will arrive."""
        return self.finish_reason is not None or self.error is not None

    def push(self, token_id: int, finish_reason: str | None) -> None:
        """Queue a token; with a reason (stop, length) it is the last."""
        self._queue.append(token_id)
        self.finish_reason = finish_reason
        self._changed.set()

    def fail(self, message: str) -> None:
        """End the generation with an error, if it has not ended yet."""
        if not self.ended:
            self.error = message
            self._changed.set()

    async def tokens(self) -> list[int]:
        """Wait for tokens and remove them from the queue; may return none when the generation has failed."""
        if not self._queue and not self.ended:
            self._changed.clear()
            await self._changed.wait()
        arrived, self._queue = self._queue, []
        return arrived
