"""Interfaces of an engine's file: Backend, ContinuousBackend, BackendModule."""

from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from typing import Literal, Protocol

from tokenizers import Tokenizer

from library_server.generation import Generation
from library_server.options import Options

# (place in the batch, token id, None or the reason why this token is the sequence's last: "stop" or "length")
StepToken = tuple[int, int, str | None]
OnStep = Callable[[list[StepToken]], None]
# (token ids, None or the reason why the last of them is the sequence's last: "stop" or "length")
Tokens = tuple[list[int], str | None]


class Backend(Protocol):
    """A loaded engine that is given its batches.

    Its file is a BackendModule.
    """

    continuous: Literal[False]
    compute_type: str
    threads: int

    def batch_key(self, generation: Generation) -> Hashable:
        """Key of a generation; those with equal keys may share a batch."""
        ...

    def generate(self, batch: Sequence[Generation], on_step: OnStep) -> None:
        """Generate a batch to its end; called in a worker thread, by several at once with inter_threads > 1.

        Calls `on_step` from any thread, once per decoding step, with every token of that step. A generation that has
        its max_tokens or is cancelled gets no more tokens. Raises whatever the engine raises.
        """
        ...


class ContinuousBackend(Protocol):
    """A loaded engine that makes its own batches: it takes requests as they come, and queues those that are too many."""

    continuous: Literal[True]
    compute_type: str
    threads: int | None  # None: the engine's own choice

    def stream(self, generation: Generation) -> AsyncIterator[Tokens]:
        """Yield the tokens of a generation, step by step, in the event loop; a cancelled one is removed from the engine."""
        ...

    def close(self) -> None:
        """End the engine."""
        ...


AnyBackend = Backend | ContinuousBackend


class BackendModule(Protocol):
    """Functions that each file of this package has."""

    def version(self) -> str:
        """Version of the engine."""
        ...

    def load(self, options: Options, tokenizer: Tokenizer) -> AnyBackend:
        """Load the model, in a worker thread; raises what the engine raises, or ValueError."""
        ...
