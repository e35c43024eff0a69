"""What the stand-ins of servers have in common: HTTP/1.1 in threads, streams in chunks, one slot per request, made-up tokens.

A stand-in follows the source of a server that cannot run here. It runs inside of a test, or as a program like the server itself.
"""

import json
import signal
import sys
import threading
import time
import zlib
from collections.abc import Iterable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

WORDS = ["an", "old", "lighthouse", "keeper", "finds", "a", "message", "of", "his", "own", "in", "every", "bottle"]


def tokens(prompt: str, number: int) -> list[str]:
    """The words that answer a prompt, always the same ones."""
    start = zlib.crc32(prompt.encode())
    return [f" {WORDS[(start + k) % len(WORDS)]}" for k in range(number)]


def compact(document: Any) -> str:
    """JSON as serde and pydantic write it."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


class Answering(BaseHTTPRequestHandler):
    """One connection. A subclass has `get` and `post`, functions of a path."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "StandIn"

    def do_GET(self) -> None:
        self.server.get(self)

    def do_POST(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("content-length", "0")))
        with suppress(BrokenPipeError, ConnectionResetError):
            self.server.post(self)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing: the log of a test says what matters."""

    def whole(self, status: int, text: str, kind: str = "application/json") -> None:
        """A whole answer."""
        content = text.encode()
        self._head(status, kind, {"content-length": str(len(content))} if content else {"content-length": "0"})
        self.wfile.write(content)

    def stream(self, pieces: Iterable[str], kind: str, fields: dict[str, str] | None = None) -> None:
        """An answer in chunks, one per piece, sent as they come. An exception of `pieces` cuts it off."""
        self._head(200, kind, {**(fields or {}), "transfer-encoding": "chunked"})
        try:
            for piece in pieces:
                content = piece.encode()
                self.wfile.write(b"%x\r\n%b\r\n" % (len(content), content))
        except Broken:
            self.close_connection = True
            return
        self.wfile.write(b"0\r\n\r\n")

    def _head(self, status: int, kind: str, fields: dict[str, str]) -> None:
        self.send_response_only(status)
        for name, value in {"content-type": kind, **fields}.items():
            if value:
                self.send_header(name, value)
        self.end_headers()


class Broken(Exception):
    """The engine behind the server failed in the middle of an answer."""


class StandIn(ThreadingHTTPServer):
    """A server; `step_s` is the time of one decoding step."""

    daemon_threads = True
    request_queue_size = 512
    step_s: ClassVar[float] = 0.002

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__((host, port), Answering)
        self.lock = threading.Lock()
        self.running = 0
        self.url = f"http://{host}:{self.server_address[1]}"

    def get(self, at: Answering) -> None:
        raise NotImplementedError

    def post(self, at: Answering) -> None:
        raise NotImplementedError

    def __enter__(self) -> "StandIn":
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def serve(self) -> None:
        """As a program: until SIGTERM or SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: sys.exit(0))
        print(f"listening on {self.url}", flush=True)
        self.serve_forever(poll_interval=0.1)

    def step(self) -> None:
        """The time a token takes."""
        time.sleep(self.step_s)
