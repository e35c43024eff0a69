"""What stand-ins of OpenAI-like servers share: HTTP/1.1 in threads, a queue before a limited number of requests, tokens that are words.

The answer to a prompt is its words again, each with its number, so that texts can be checked. Asked to mind its end token, a stand-in
ends after `EOS_AFTER` tokens. What the servers differ in (shapes, errors, metrics) is in one file for each.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

EOS_AFTER = 3
CREATED = 1732240000
JSON = "application/json"


class Refusal(Exception):
    """An answer that is no stream."""

    def __init__(self, status: int, body: str, kind: str = JSON) -> None:
        super().__init__(body)
        self.status, self.body, self.kind = status, body, kind


class Broken(Exception):
    """The stream ends in the middle, as when the server raises."""


class StandIn:
    """One server. A subclass has `pages` (GET) and `streams` (POST), both by path."""

    token_s: ClassVar[float] = 0.002

    def __init__(self, model: str, context: int, limit: int, drafted: int = 0, loading_s: float = 0.0) -> None:
        self.model, self.context, self.limit, self.drafted = model, context, limit, drafted
        self._ready_at = time.monotonic() + loading_s
        self._slots, self._lock = threading.Semaphore(limit), threading.Lock()
        self.running = self.waiting = self.prompt_tokens = self.output_tokens = 0
        self.drafts = self.accepted = 0

    @property
    def ready(self) -> bool:
        """Whether the model is loaded."""
        return time.monotonic() >= self._ready_at

    def page(self, path: str) -> tuple[int, str, str]:
        """Status, body and type of the answer to a GET."""
        return 404, '{"detail":"Not Found"}', JSON

    def stream(self, path: str, body: bytes) -> Iterator[str]:
        """The events that answer a POST, each as it is written; raises Refusal before the first, Broken within."""
        raise Refusal(404, '{"detail":"Not Found"}')

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Wait for a slot, and hold it."""
        self.count(waiting=1)
        self._slots.acquire()
        self.count(waiting=-1, running=1)
        try:
            yield
        finally:
            self.count(running=-1)
            self._slots.release()

    def count(self, **changes: int) -> None:
        """Change counts of the metrics."""
        with self._lock:
            for name, change in changes.items():
                setattr(self, name, getattr(self, name) + change)

    def steps(self, prompt: str, max_tokens: int, ignore_eos: bool) -> Iterator[tuple[list[str], int, str | None]]:
        """Decoding steps: the tokens of each, how many there are so far, and the finish reason of the last.

        With speculation each step drafts `drafted` tokens, accepts one of them, and so gives two.
        """
        total = max_tokens if ignore_eos else min(max_tokens, EOS_AFTER)
        prompt_words, output_tokens, size = prompt.split() or ["-"], 0, 2 if self.drafted else 1
        self.count(prompt_tokens=len(prompt.split()))
        while output_tokens < total:
            time.sleep(self.token_s)
            tokens = [
                f" {prompt_words[n % len(prompt_words)]}{n}"
                for n in range(output_tokens, min(output_tokens + size, total))
            ]
            output_tokens += len(tokens)
            self.count(output_tokens=len(tokens), drafts=self.drafted, accepted=len(tokens) - 1)
            yield (
                tokens,
                output_tokens,
                ("length" if total == max_tokens else "stop") if output_tokens == total else None,
            )


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    stand_in: StandIn

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._whole(*self.stand_in.page(self.path))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        try:
            events = self.stand_in.stream(self.path, body)
            first = next(events)
        except Refusal as refusal:
            self._whole(refusal.status, refusal.body, refusal.kind)
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream; charset=utf-8")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        self._chunks(first, events)

    def _chunks(self, first: str, events: Iterator[str]) -> None:
        try:
            self._chunk(first)
            for event in events:
                self._chunk(event)
        except (Broken, ConnectionError):
            self.close_connection = True
            return
        self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, event: str) -> None:
        data = event.encode()
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

    def _whole(self, status: int, body: str, kind: str) -> None:
        data = body.encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.send_header("content-type", kind)
        self.end_headers()
        self.wfile.write(data)


class HTTPServer(ThreadingHTTPServer):
    """Takes many connections at once."""

    daemon_threads = True
    request_queue_size = 512


def http_server(stand_in: StandIn, port: int = 0) -> HTTPServer:
    """Bound to a port of 127.0.0.1, not yet serving."""
    return HTTPServer(("127.0.0.1", port), type("Bound", (Handler,), {"stand_in": stand_in}))


@contextmanager
def serving(stand_in: StandIn) -> Iterator[str]:
    """Serve in a thread; gives the URL."""
    server = http_server(stand_in)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def compact(document: Any) -> str:
    """As orjson, pydantic's model_dump_json and Starlette's JSONResponse write: no spaces, UTF-8."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def spaced(document: Any) -> str:
    """As json.dumps writes: spaces after comma and colon, ASCII."""
    return json.dumps(document)


def gauge(name: str, text: str, labels: str, value: float, kind: str = "gauge") -> str:
    """One family of a metrics page in text format 0.0.4, as prometheus_client writes it."""
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n{name}{{{labels}}} {float(value)!r}\n"


def after(arguments: list[str], flag: str, default: str | None = None) -> str:
    """The word after a flag of a command line; without a default it must be there."""
    if flag in arguments:
        return arguments[arguments.index(flag) + 1]
    if default is None:
        raise SystemExit(f"error: the following arguments are required: {flag}")
    return default
