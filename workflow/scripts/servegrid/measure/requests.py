"""The requests of a load: one for each prompt, or, where a server keeps prompts, one prompt more for each request."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import overload

from servegrid.client.exchange import Request
from servegrid.client.run import request_count
from servegrid.client.shape import Shape
from servegrid.config.measuring import LoadConfig
from servegrid.engines.base import Engine, ServerSpec
from servegrid.prompts.files import Prompt
from servegrid.protocols.base import GenerationSettings, Protocol

ENDLESS = 2**31
"""Requests of a load whose number nobody knows before."""


@dataclass(frozen=True)
class RequestMaker:
    """Makes the requests of one load.

    Attributes:
        load_id: what the requests' ids begin with.
        options: of the load.
        spec: of the server.
        model: its name at the server.
        output_tokens: asked for where the prompt does not say.
    """

    load_id: str
    options: LoadConfig
    spec: ServerSpec
    engine: Engine
    protocol: Protocol
    model: str
    output_tokens: int

    def request(self, number: int, prompt: Prompt) -> Request:
        """Request with this number in the load."""
        tokens, options = prompt.max_tokens or self.output_tokens, self.options
        exact = options.stop == "exact"
        settings = GenerationSettings(
            tokens,
            self.model,
            exact,
            temperature=options.temperature,
            top_p=options.top_p,
            top_k=options.top_k,
            extra=self.engine.extra_fields(self.spec, tokens, options.temperature, exact),
        )
        return Request(f"{self.load_id}-{number}", prompt.id, self.protocol.body(prompt.text, settings), tokens, exact)

    def requests(self, prompts: Sequence[Prompt]) -> list[Request]:
        """A request for each prompt."""
        return [self.request(number, prompt) for number, prompt in enumerate(prompts)]

    def every_request(self, prompt: Callable[[int], Prompt], shape: Shape, prompts: int) -> Sequence[Request]:
        """All requests of a shape, each with the prompt of its number; `prompts`: how many a shape without an end of its own sends."""
        count = request_count(shape, prompts)
        lazy = _LazyRequests(count or ENDLESS, self, prompt)
        return list(lazy) if count else lazy


@dataclass(frozen=True)
class _LazyRequests(Sequence[Request]):
    """Requests made when they are asked for, as their number is not known."""

    length: int
    maker: RequestMaker
    prompt: Callable[[int], Prompt]

    def __len__(self) -> int:
        return self.length

    @overload
    def __getitem__(self, index: int) -> Request: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Request]: ...
    def __getitem__(self, index: int | slice) -> Request | Sequence[Request]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(self.length))]
        if not 0 <= index < self.length:
            raise IndexError(index)
        return self.maker.request(index, self.prompt(index))
