"""Decode well-formed chunks of OpenAI's protocols all at once into types: several times faster than one by one.

A stream that holds anything else (other types, error events, text that is not UTF-8) is not decoded here, but by the general reader,
which takes anything and says what is wrong.
"""

from typing import Any, Generic, TypeVar

import msgspec

from servegrid.protocols.events import Events

C = TypeVar("C")
_OPENS, _CLOSES = set(b"{"), set(b"}")


class Usage(msgspec.Struct, gc=False):
    """Token counts so far."""

    completion_tokens: int | None = None
    prompt_tokens: int | None = None
    completion_tokens_details: Any = None
    prompt_tokens_details: Any = None


class TextChoice(msgspec.Struct, gc=False):
    """A choice of /v1/completions."""

    text: str | None = None
    finish_reason: str | None = None


class Delta(msgspec.Struct, gc=False):
    """Output that a choice of a chat adds; with tool calls, a refusal or reasoning in parts it is not well-formed here."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    thinking: str | None = None
    reasoning_details: None = None
    tool_calls: None = None
    function_call: None = None
    refusal: None = None


class ChatChoice(msgspec.Struct, gc=False):
    """A choice of /v1/chat/completions; with a whole message it is not well-formed here."""

    delta: Delta
    finish_reason: str | None = None
    message: None = None


class Chunk(msgspec.Struct, Generic[C], gc=False):
    """An event of the stream; an error is not well-formed here."""

    choices: list[C]
    usage: Usage | None = None
    timings: Any = None
    error: None = None


def delta_text(choice: ChatChoice) -> str:
    """Text that a choice of a chat adds: reasoning, then content."""
    delta = choice.delta
    return (delta.reasoning_content or delta.reasoning or delta.thinking or "") + (delta.content or "")


def chunk_decoder(choice: type[C]) -> "msgspec.json.Decoder[Chunk[C]]":
    """Decoder of chunks with choices of this type."""
    return msgspec.json.Decoder(Chunk[choice])  # type: ignore[valid-type]


def decode_chunks(events: Events, decoder: "msgspec.json.Decoder[Chunk[Any]]") -> list[Chunk[Any]] | None:
    """Chunks, one per event; None unless all of them are well-formed."""
    data = events.data
    if events.types or not data or not all(data):
        return None
    lines = b"\n".join(data)
    # with every line an object from brace to brace, no value can reach over a line's end
    if (
        {event[0] for event in data} != _OPENS
        or {event[-1] for event in data} != _CLOSES
        or lines.count(b"\n") >= len(data)
    ):
        return None
    try:
        if not lines.isascii():
            lines.decode()  # what is skipped is not looked at
        chunks = decoder.decode_lines(lines)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return chunks if len(chunks) == len(data) else None
