"""Bytes of streamed answers, for scripts."""

import json
from collections.abc import Iterable
from typing import Any

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
CLOSE_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
END = b"0\r\n\r\n"
DONE = b"data: [DONE]\n\n"


def event(document: Any) -> bytes:
    return b"data: " + json.dumps(document).encode() + b"\n\n"


def completion(text: str, tokens: int | None = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    """A chunk of /v1/completions; `tokens` so far, if the server says."""
    chunk: dict[str, Any] = {"id": "x", "choices": [{"index": 0, "text": text, "finish_reason": finish}], **more}
    if tokens is not None:
        chunk["usage"] = {"prompt_tokens": 7, "completion_tokens": tokens, "total_tokens": 7 + tokens}
    return chunk


def usage(tokens: int, prompt: int = 7) -> dict[str, Any]:
    """The chunk that carries nothing but usage."""
    return {"id": "x", "choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": tokens}}


def events(tokens: int) -> list[bytes]:
    """A whole, good stream of so many tokens, each a word."""
    chunks = [event(completion(f" w{k}", k + 1, "length" if k == tokens - 1 else None)) for k in range(tokens)]
    return [*chunks, DONE]


def chunk(data: bytes) -> bytes:
    """One HTTP chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def chunked(pieces: Iterable[bytes]) -> bytes:
    """A whole response in chunks."""
    return HEAD + b"".join(chunk(piece) for piece in pieces) + END


def sized(body: bytes, status: str = "200 OK", kind: str = "text/event-stream", fields: str = "") -> bytes:
    """A whole response with Content-Length."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{fields}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body
