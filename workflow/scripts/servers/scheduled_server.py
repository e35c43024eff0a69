"""Streaming server with known send times, against which the load client is calibrated.

    python scheduled_server.py --chunks 128 [--gap-ms 20] --log sent.jsonl

Prints the port that it listens on (127.0.0.1). Every POST is answered with an event stream in the shape of OpenAI's completions, one
write per event: event k of a stream is due at (arrival of the request + (k + 1) x gap), or as soon as the socket takes it when there
is no gap. The monotonic clock is read just before each write; at the end of standard input the times are written to the log, one JSON
line per request: `{"id": <x-request-id>, "sent": [s, ...]}`.
"""

import argparse
import json
import os
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from servegrid.client.loop import READ, WRITE, Loop
from servegrid.client.stream_client import raise_open_file_limit

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def events(count: int) -> list[bytes]:
    """Writes of an answer, one per event; the last one ends it."""
    writes = [_chunk(_event(number, count)) for number in range(count)]
    writes[-1] += _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"
    return writes


def _event(number: int, count: int) -> bytes:
    choice = {"index": 0, "text": f" token{number}", "finish_reason": "length" if number == count - 1 else None}
    usage = {"prompt_tokens": 8, "completion_tokens": number + 1, "total_tokens": number + 9}
    document = {"id": "cmpl-scheduled", "object": "text_completion", "created": 0, "model": "scheduled"}
    return b"data: " + json.dumps(document | {"choices": [choice], "usage": usage}).encode() + b"\n\n"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@dataclass(slots=True)
class Answer:
    """Send times of the events of one answer."""

    id: str
    arrived_s: float
    sent_s: list[float] = field(default_factory=list)


class Connection:
    """One connection: reads requests, writes their answers."""

    def __init__(self, server: "Server", accepted: socket.socket) -> None:
        accepted.setblocking(False)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._server, self._socket, self._read, self._unsent = server, accepted, b"", b""
        self._answer: Answer | None = None
        server.loop.watch(accepted.fileno(), READ, self._on_ready)

    def _on_ready(self, mask: int) -> None:
        if mask & WRITE:
            self._server.loop.watch(self._socket.fileno(), READ, self._on_ready)
            self._send_event()
        if mask & READ:
            self._receive()

    def _receive(self) -> None:
        try:
            data = self._socket.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._server.loop.unwatch(self._socket.fileno())
            self._socket.close()
            self._answer = None
            return
        self._read += data
        head, blank, body = self._read.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
        if blank and len(body) >= int(fields.get(b"content-length", b"0")):
            self._read = b""
            self._begin(fields.get(b"x-request-id", b"").decode())

    def _begin(self, name: str) -> None:
        self._answer = Answer(name, monotonic())
        self._server.answers.append(self._answer)
        self._unsent = HEAD
        self._schedule_next()

    def _schedule_next(self) -> None:
        """Set the timer of the next event."""
        answer, server = self._answer, self._server
        if answer is not None and len(answer.sent_s) < len(server.events):
            due_s = answer.arrived_s + (len(answer.sent_s) + 1) * server.gap_s if server.gap_s else monotonic()
            server.loop.call_at(due_s, self._send_event)

    def _send_event(self) -> None:
        """Send one event; other streams have their turn before the next, as with a real server."""
        answer, server = self._answer, self._server
        if answer is None or len(answer.sent_s) == len(server.events):
            return
        if self._write(answer, server.events[len(answer.sent_s)]):
            self._schedule_next()

    def _write(self, answer: Answer, event: bytes) -> bool:
        """Write an event and return whether all of it was taken; the rest waits until the socket takes it."""
        now = monotonic()
        data = self._unsent + event
        try:
            sent = os.write(self._socket.fileno(), data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._answer = None
            return False
        if sent:
            answer.sent_s.append(now)
            self._unsent = data[sent:]
        if sent < len(data):
            self._server.loop.watch(self._socket.fileno(), READ | WRITE, self._on_ready)
        return sent == len(data)


class Server:
    """Listens, and keeps the send times of all answers."""

    def __init__(self, chunks: int, gap_s: float) -> None:
        self.loop, self.events, self.gap_s = Loop(), events(chunks), gap_s
        self.answers: list[Answer] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]

    def run(self) -> None:
        """Serve until standard input ends."""
        self.loop.watch(self._listener.fileno(), READ, self._accept)
        self.loop.watch(0, READ, lambda _mask: os.read(0, 4096) or self.loop.stop())
        self.loop.run()

    def _accept(self, _mask: int) -> None:
        try:
            Connection(self, self._listener.accept()[0])
        except BlockingIOError:
            return


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, required=True)
    parser.add_argument("--gap-ms", type=float, default=0.0)
    parser.add_argument("--log", type=Path, required=True)
    options = parser.parse_args()
    raise_open_file_limit()
    server = Server(options.chunks, options.gap_ms / 1e3)
    print(server.port, flush=True)
    server.run()
    lines: list[dict[str, Any]] = [{"id": answer.id, "sent": answer.sent_s} for answer in server.answers]
    options.log.write_text("".join(json.dumps(line) + "\n" for line in lines))


if __name__ == "__main__":
    main()
