"""Base class of protocols, which build request bodies and parse the events of answers."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

from servegrid.protocols.events import Events
from servegrid.records.request import RequestRecord, RequestStatus

Transport = Literal["http", "grpc"]
"""Transport of a protocol. Over gRPC a request is one message, `path` the method, and every message of the answer an event."""


GOOD_ENDS = frozenset(
    {"stop", "length", "eos", "eos_token", "stop_sequence", "end_turn", "max_tokens", "tool_calls", "function_call"}
)
"""Finish reasons, in lower case, of an answer that is whole: the model ended it, or its limit was reached. Any other says failure
(`error`, `abort`, `content_filter`), or nothing that is known."""


@dataclass(frozen=True, slots=True)
class GenerationSettings:
    """Settings of one generation: greedy by default, and exactly `max_tokens` long."""

    max_tokens: int
    model: str | None = None
    exact: bool = True  # not to stop before max_tokens
    temperature: float = 0.0
    top_p: float | None = None  # None: the engine's own
    top_k: int | None = None
    seed: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)  # see `Protocol.body`

    def with_references(self, prompt: str) -> "GenerationSettings":
        """The settings with what they are, or the prompt, in place of each reference in `extra`."""
        values = {"prompt": prompt, **{name: getattr(self, name) for name in REFERENCES if name != "prompt"}}
        return replace(self, extra=_filled_in(self.extra, {f"<{name}>": value for name, value in values.items()}))


REFERENCES = ("prompt", "max_tokens", "model", "temperature", "top_p", "top_k", "seed")
"""Names that a text `<name>` among the further fields of a request may have: it is replaced by what the request has under it."""


@dataclass(slots=True)
class ParseResult:
    """Result of parsing an answer, besides what was written into the record."""

    finished: bool = False  # a finish reason or the end mark was seen
    end_mark: bool = False  # the protocol's last event was seen: nothing of use can be missing
    fault: tuple[RequestStatus, str] | None = None  # an error inside the stream


class Protocol(ABC):
    """A protocol: path, request body and the parser of its answers."""

    name: ClassVar[str]
    path: ClassVar[str]
    transport: ClassVar[Transport] = "http"
    has_template: ClassVar[bool] = False  # whether servers put a text of their own around the prompt
    headers: ClassVar[Mapping[str, str]] = {}
    sampling_object: ClassVar[str | None] = None
    """Body field that holds the generation's settings; one of `extra` is merged into it."""

    @abstractmethod
    def fields(self, prompt: str, settings: GenerationSettings) -> dict[str, Any]:
        """Fields of the request body, without `extra`."""

    @abstractmethod
    def parse(self, events: Events, record: RequestRecord) -> ParseResult:
        """Fill the record with what the events say: times, tokens, text."""

    def max_answer_bytes(self, max_tokens: int) -> int:
        """Default limit of an answer's size: 8 KiB per token asked for, at least 1 MiB."""
        return max(1 << 20, max_tokens * 8192)

    def body(self, prompt: str, settings: GenerationSettings) -> bytes:
        """Body of a request, with the fields of `settings.extra` added, in place of the protocol's, or (None) left out.

        A text `<name>` there, at any depth, is a reference, see REFERENCES: a field gets another name by being left out and referred
        to. An object with None in it is merged into the protocol's, as one of `sampling_object` always is; others replace it.
        """
        return self.encode(prompt, settings.with_references(prompt))

    def encode(self, prompt: str, settings: GenerationSettings) -> bytes:
        """As `body`, of settings whose references are filled in: UTF-8 JSON."""
        fields = self.fields(prompt, settings)
        extra = {
            name: _replaced(fields[name], value) if self._is_merged(name, value, fields) else value
            for name, value in settings.extra.items()
        }
        return json.dumps(_replaced(fields, extra), ensure_ascii=False).encode("utf-8", "replace")

    def _is_merged(self, name: str, value: Any, fields: Mapping[str, Any]) -> bool:
        are_objects = isinstance(value, Mapping) and isinstance(fields.get(name), Mapping)
        return are_objects and (name == self.sampling_object or None in value.values())


def _filled_in(value: Any, references: Mapping[str, Any]) -> Any:
    """The value with those of the references in their place, at any depth; a field that refers to None is left out."""
    if isinstance(value, Mapping):
        unset = {reference for reference, value in references.items() if value is None}
        given = {name: part for name, part in value.items() if not (isinstance(part, str) and part in unset)}
        return {name: _filled_in(part, references) for name, part in given.items()}
    if isinstance(value, list):
        return [_filled_in(part, references) for part in value]
    return references.get(value, value) if isinstance(value, str) else value


def _replaced(fields: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """The fields with those of `extra` added or in their place; without those that are None then."""
    return {name: value for name, value in {**fields, **extra}.items() if value is not None}


@dataclass(slots=True)
class JsonEvents:
    """JSON objects of a stream: time of arrival in s, object, event type (empty for most)."""

    objects: list[tuple[float, dict[str, Any], str]] = field(default_factory=list)
    fault: tuple[RequestStatus, str] | None = None  # why reading ended before the stream does


def parse_json_events(events: Events) -> JsonEvents:
    """Parse the events' data up to the first that is no JSON object; event types other than `message` may hold anything."""
    from pydantic_core import from_json  # faster than json by half; loaded after the load

    try:
        documents = [from_json(data) for data in events.data]
    except (ValueError, RecursionError):
        return _parse_one_by_one(events)
    if events.types or not set(map(type, documents)) <= {dict}:
        return _parse_one_by_one(events)
    return JsonEvents([(t_s, document, "") for t_s, document in zip(events.times_s, documents, strict=True)])


def _parse_one_by_one(events: Events) -> JsonEvents:
    """As `parse_json_events`, slower, with the number of the faulty event."""
    json_events = JsonEvents()
    for number, (t_s, data) in enumerate(zip(events.times_s, events.data, strict=True)):
        event_type = events.types.get(number, "")
        try:
            document = json.loads(data.decode("utf-8"))
            problem = "" if isinstance(document, dict) else "not a JSON object"
        except UnicodeDecodeError:
            problem = "not UTF-8"
        except (ValueError, RecursionError):
            problem = "not JSON"
        if not problem:
            json_events.objects.append((t_s, document, event_type))
        elif event_type in ("", "error"):
            excerpt = data[:200].decode(errors="replace")
            json_events.fault = (
                ("error", excerpt) if event_type else ("malformed", f"event {number + 1} is {problem}: {excerpt!r}")
            )
            break
    return json_events


_OVERLOADED_MESSAGE = "Model is overloaded"  # on OpenAI's streams TGI gives 422 as the code of every error


def _error_text(message: Any) -> str:
    try:
        return json.dumps(message, ensure_ascii=False)
    except RecursionError:  # deep enough to be read, and too deep to be written
        return "an error nested too deeply to be shown"


def find_error(document: Any) -> tuple[RequestStatus, str] | None:
    """Status and text of the error that an answer or event carries, in any of the shapes in use; None if it carries none.

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
    error_type = fields.get("type", document.get("error_type"))
    message = error.get("message", error) if isinstance(error, dict) else error
    rejected = str(code) in ("429", "503") or error_type == "overloaded" or message == _OVERLOADED_MESSAGE
    text = message if isinstance(message, str) else _error_text(message)
    return ("rejected" if rejected else "error"), f"{error_type}: {text}" if isinstance(error_type, str) else text
