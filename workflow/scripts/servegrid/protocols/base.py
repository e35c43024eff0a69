"""What a protocol tells the client: the request's body, and what an answer's events mean."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from servegrid.protocols.events import Events
from servegrid.records.request import RequestRecord, RequestStatus

Transport = Literal["http", "grpc"]
"""What carries a protocol. Over gRPC a request is one message, `path` the method, and every message of the answer an event."""


@dataclass(frozen=True, slots=True)
class GenerationSettings:
    """What the model is asked to do. Greedy by default, and exactly `max_tokens` long."""

    max_tokens: int
    model: str | None = None
    exact: bool = True  # not to stop before max_tokens
    temperature: float = 0.0
    seed: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)  # body fields that are added, replaced, or (None) left out


@dataclass(slots=True)
class Reading:
    """What a protocol found in an answer, besides what it wrote into the record."""

    finished: bool = False  # a finish reason or the end mark was seen
    end_mark: bool = False  # the protocol's last event was seen: nothing of use can be missing
    fault: tuple[RequestStatus, str] | None = None  # an error inside the stream


class Protocol(ABC):
    """A way to ask for text and to read the answer."""

    name: ClassVar[str]
    path: ClassVar[str]
    transport: ClassVar[Transport] = "http"
    headers: ClassVar[Mapping[str, str]] = {}

    @abstractmethod
    def fields(self, prompt: str, settings: GenerationSettings) -> dict[str, Any]:
        """The body's fields, `extra` aside."""

    @abstractmethod
    def parse(self, events: Events, record: RequestRecord) -> Reading:
        """Fill the record with what the events say: times, tokens, text."""

    def answer_bytes(self, max_tokens: int) -> int:
        """Bytes that an answer may have, if the user does not say: room for 8 KiB per token asked for, at least 1 MiB."""
        return max(1 << 20, max_tokens * 8192)

    def body(self, prompt: str, settings: GenerationSettings) -> bytes:
        """The request's body, UTF-8 JSON."""
        fields = {**self.fields(prompt, settings), **settings.extra}
        return json.dumps(
            {name: value for name, value in fields.items() if value is not None}, ensure_ascii=False
        ).encode("utf-8", "replace")


@dataclass(slots=True)
class Documents:
    """The JSON objects of a stream, each with its arrival and its event type (empty for most)."""

    found: list[tuple[float, dict[str, Any], str]] = field(default_factory=list)
    fault: tuple[RequestStatus, str] | None = None  # why it ends before the stream does


def documents(events: Events) -> Documents:
    """Read the events' data, up to the first that is no JSON object; other types than `message` may hold anything."""
    from pydantic_core import from_json  # faster than json by half; loaded after the load

    try:
        found = [from_json(data) for data in events.data]
    except (ValueError, RecursionError):
        return _one_by_one(events)
    if events.types or not set(map(type, found)) <= {dict}:
        return _one_by_one(events)
    return Documents([(t_s, each, "") for t_s, each in zip(events.times_s, found, strict=True)])


def _one_by_one(events: Events) -> Documents:
    documents = Documents()
    for number, (t_s, data) in enumerate(zip(events.times_s, events.data, strict=True)):
        kind = events.types.get(number, "")
        try:
            found = json.loads(data.decode("utf-8"))
            problem = "" if isinstance(found, dict) else "not a JSON object"
        except UnicodeDecodeError:
            problem = "not UTF-8"
        except (ValueError, RecursionError):
            problem = "not JSON"
        if not problem:
            documents.found.append((t_s, found, kind))
        elif kind in ("", "error"):
            words = data[:200].decode(errors="replace")
            documents.fault = ("error", words) if kind else ("malformed", f"event {number + 1} is {problem}: {words!r}")
            break
    return documents


_OVERLOADED = "Model is overloaded"  # on OpenAI's streams TGI gives 422 as the code of every error


def _as_json(message: Any) -> str:
    try:
        return json.dumps(message, ensure_ascii=False)
    except RecursionError:  # deep enough to be read, and too deep to be written
        return "an error nested too deeply to be shown"


def error_words(document: Any) -> tuple[RequestStatus, str] | None:
    """Status and words of the error an answer or event carries, in any of the shapes in use; None if it carries none.

    `{"error": {"message", "code"}}` (OpenAI, vLLM, llama.cpp), `{"error": "…", "error_type"}` (TGI, Triton),
    `{"object": "error", "message", "code"}` (TensorRT-LLM), `{"detail": …}` (FastAPI).
    """
    if not isinstance(document, dict):
        return None
    error = document.get("error", document.get("detail"))
    if error is None and (document.get("object") == "error" or document.get("type") == "error"):
        error = document
    if error is None or error is False:
        return None
    fields = error if isinstance(error, dict) else document
    code = fields.get("http_status_code", fields.get("code"))
    kind = fields.get("type", document.get("error_type"))
    message = error.get("message", error) if isinstance(error, dict) else error
    rejected = str(code) in ("429", "503") or kind == "overloaded" or message == _OVERLOADED
    text = message if isinstance(message, str) else _as_json(message)
    return ("rejected" if rejected else "error"), f"{kind}: {text}" if isinstance(kind, str) else text
