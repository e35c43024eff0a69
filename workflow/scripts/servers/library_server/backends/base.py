"""What the server asks of an engine's file."""

from collections.abc import Callable, Hashable, Sequence
from typing import Protocol

from tokenizers import Tokenizer

from library_server.generation import Generation
from library_server.options import Options

# (place in the batch, token id, None or the reason why this token is the sequence's last: "stop" or "length")
StepToken = tuple[int, int, str | None]
OnStep = Callable[[list[StepToken]], None]


class Backend(Protocol):
    """A loaded engine.

    Its file is a BackendModule.
    """

    compute_type: str
    threads: int

    def batch_key(self, generation: Generation) -> Hashable:
        """Generations of equal keys may share a batch."""
        ...

    def generate(self, batch: Sequence[Generation], on_step: OnStep) -> None:
        """Generates a batch to its end; called in a worker thread, by several at once with inter_threads > 1.

        Calls `on_step` from any thread, once per decoding step, with every token of that step. A generation that has
        its max_tokens or is cancelled gets no more tokens. Raises whatever the engine raises.
        """
        ...


class BackendModule(Protocol):
    """What a file of this package has."""

    def version(self) -> str:
        """The engine's version."""
        ...

    def load(self, options: Options, tokenizer: Tokenizer) -> Backend:
        """Loads the model, in a worker thread; raises what the engine raises, or ValueError."""
        ...
