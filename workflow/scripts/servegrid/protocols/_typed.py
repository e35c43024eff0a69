"""Chunks of OpenAI's protocols that are as they should be, read at once into types: several times faster than one by one.

Whatever is not exactly so (other types, error events, text that is not UTF-8) is not read here, and left to the way that takes
anything and says what is wrong.
"""

from typing import Any, Generic, TypeVar

import msgspec

from servegrid.protocols.events import Events

C = TypeVar("C")


class Usage(msgspec.Struct, gc=False):
    """Counts so far."""

    completion_tokens: int | None = None
    prompt_tokens: int | None = None


class TextChoice(msgspec.Struct, gc=False):
    """A choice of /v1/completions."""

    text: str | None = None
    finish_reason: str | None = None


class Delta(msgspec.Struct, gc=False):
    """What a choice of a chat adds. With calls of tools it is not plain."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: None = None


class ChatChoice(msgspec.Struct, gc=False):
    """A choice of /v1/chat/completions; a whole message is not plain."""

    delta: Delta
    finish_reason: str | None = None
    message: None = None


class Chunk(msgspec.Struct, Generic[C], gc=False):
    """An event; an error is not plain."""

    choices: list[C]
    usage: Usage | None = None
    timings: Any = None
    error: None = None


def delta_piece(choice: ChatChoice) -> str:
    """What a choice of a chat adds: thoughts, then text."""
    delta = choice.delta
    return (delta.reasoning_content or delta.reasoning or "") + (delta.content or "")


def reader(choice: type[C]) -> "msgspec.json.Decoder[Chunk[C]]":
    """Reads chunks with such choices."""
    return msgspec.json.Decoder(Chunk[choice])  # type: ignore[valid-type]


def read(events: Events, decoder: "msgspec.json.Decoder[Chunk[Any]]") -> list[Chunk[Any]] | None:
    """The chunks, one per event; None unless all of them are plain."""
    lines = b"\n".join(events.data)
    if events.types or not lines or lines[:1] != b"{" or lines[-1:] != b"}":
        return None
    # with every line an object from brace to brace, no value can reach over a line's end
    if not lines.count(b"}\n{") == lines.count(b"\n") == len(events.data) - 1:
        return None
    try:
        if not lines.isascii():
            lines.decode()  # what is skipped is not looked at
        chunks = decoder.decode_lines(lines)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return chunks if len(chunks) == len(events.data) else None
