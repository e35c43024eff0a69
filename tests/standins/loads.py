"""Loads of a few requests against scripted servers, for tests of the client."""

from collections.abc import Callable, Iterable
from typing import Any

from servegrid import protocols
from servegrid.client.endpoint import Endpoint
from servegrid.client.exchange import Request
from servegrid.client.run import LoadResult, run
from servegrid.client.shape import ClosedLoop, Shape, Timeouts
from servegrid.protocols.base import GenerationSettings
from servegrid.records.request import RequestRecord
from standins.answers import chunked, events
from standins.scripted import ScriptedServer, Seen, Step

PROTOCOL = protocols.get("openai-completions")
TOKENS = 3
GOOD = chunked(events(TOKENS))
TIMES_OUT = Timeouts(total_s=2.0)  # time enough for a server on this host to begin its answer


def requests(number: int, tokens: int = TOKENS, exact: bool = True) -> list[Request]:
    body = PROTOCOL.body("Hi", GenerationSettings(max_tokens=tokens))
    return [Request(f"r{n}", f"p{n}", body, tokens, exact) for n in range(number)]


def load(server: ScriptedServer | str, shape: Shape | None = None, number: int = 1, **keys: Any) -> LoadResult:
    url = server if isinstance(server, str) else server.url
    endpoint = keys.pop("endpoint", None) or Endpoint(url + PROTOCOL.path)
    todo = keys.pop("todo", None) or requests(number)
    return run(endpoint, todo, shape or ClosedLoop(1), PROTOCOL, **keys)


def one(script: Callable[[Seen], Iterable[Step]] | Iterable[Step], **keys: Any) -> RequestRecord:
    """The record of one request to a server that answers so."""
    with ScriptedServer(script) as server:
        [record] = load(server, **keys).records
    return record
