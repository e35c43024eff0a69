"""A server on a real socket that answers with exactly the bytes a test gives it, when the test says so."""

import json
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

RESET = "reset"
CLOSE = "close"
HOLD = "hold"  # say nothing until the client hangs up
READ = "read"  # wait until the other side has read what was sent
CERTIFICATE = Path(__file__).with_name("localhost.pem")
PATIENCE_S = 60.0


@dataclass(frozen=True)
class Seen:
    """A request as it arrived. `connection` and `number` count from 0, the number over the whole server."""

    line: str
    headers: dict[str, str]
    body: bytes
    connection: int
    number: int
    t_s: float

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Step = bytes | float | str
Script = Callable[[Seen], Iterable[Step]]


class ScriptedServer:
    """Answers every request with the steps its script gives: bytes are sent, seconds slept, words acted on."""

    def __init__(self, script: Script | Iterable[Step], tls: bool = False) -> None:
        steps = script if callable(script) else list(script)
        self._script: Script = steps if callable(steps) else lambda seen: steps
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if tls else None
        if self._tls:
            self._tls.load_cert_chain(CERTIFICATE)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self.seen: list[Seen] = []
        self.connections = 0
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}"

    def __enter__(self) -> "ScriptedServer":
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(5)
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection, self.connections), daemon=True)
            self.connections += 1
            self._threads.append(thread)
            thread.start()

    def _serve(self, raw: socket.socket, number: int) -> None:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = raw
        try:
            if self._tls:
                connection = self._tls.wrap_socket(raw, server_side=True)
            with self._lock:
                self._open.add(connection)
            held = b""
            while (request := self._receive(connection, held, number)) is not None:
                seen, held = request
                if not self._answer(connection, seen):
                    return
        except OSError:
            return
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()

    def _receive(self, connection: socket.socket, held: bytes, number: int) -> tuple[Seen, bytes] | None:
        while b"\r\n\r\n" not in held:
            more = connection.recv(65536)
            if not more:
                return None
            held += more
        head, _, held = held.partition(b"\r\n\r\n")
        line, *fields = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
        length = int(headers.get("content-length", "0"))
        while len(held) < length:
            more = connection.recv(65536)
            if not more:
                return None
            held += more
        with self._lock:
            seen = Seen(line, headers, held[:length], number, len(self.seen), time.monotonic())
            self.seen.append(seen)
        return seen, held[length:]

    def _answer(self, connection: socket.socket, seen: Seen) -> bool:
        """Act out the script; False when the connection is over."""
        for step in self._script(seen):
            if isinstance(step, bytes):
                connection.sendall(step)
            elif isinstance(step, (int, float)):
                time.sleep(step)
            elif step == RESET:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return False
            elif step == READ:
                _until_read(connection)
            elif step == HOLD:
                while connection.recv(65536):
                    pass
                return False
            else:
                return False
        return True


def _until_read(connection: socket.socket) -> None:
    """Wait until nothing that was sent is left in the queue of the other end, a socket of this host."""
    ends = [_as_listed(*end) for end in (connection.getpeername(), connection.getsockname())]
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        fields = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines())
        queues = {tuple(each[1:3]): each[4].split(":") for each in fields}
        (_, waiting), (unsent, _) = (queues.get(pair, ["0", "0"]) for pair in (tuple(ends), tuple(ends[::-1])))
        if int(unsent, 16) == int(waiting, 16) == 0:
            return
        time.sleep(0.001)
    raise OSError("the other side does not read")


def _as_listed(host: str, port: int) -> str:
    """An address as /proc/net/tcp has it: the host in the machine's byte order."""
    return f"{int.from_bytes(socket.inet_aton(host), sys.byteorder):08X}:{port:04X}"
