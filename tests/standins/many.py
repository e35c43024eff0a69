"""A server for thousands of connections, run as a process of its own: `python -m standins.many <connections>`.

It prints its port, and answers nobody before so many requests have come. With 0 it never answers at all.
"""

import resource
import selectors
import socket
import sys
from contextlib import suppress

from standins.answers import chunked, events

ANSWER = chunked(events(3))


class Crowd:
    """Waits until all are there."""

    def __init__(self, size: int) -> None:
        self._missing = size
        self._open: set[socket.socket] = set()
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self.port: int = self._listener.getsockname()[1]

    def serve(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    self._accept()
                elif isinstance(key.fileobj, socket.socket):
                    self._read(key.fileobj)

    def _accept(self) -> None:
        with suppress(BlockingIOError):
            while True:
                connection, _ = self._listener.accept()
                self._open.add(connection)
                self._selector.register(connection, selectors.EVENT_READ)

    def _read(self, connection: socket.socket) -> None:
        data = b""
        with suppress(OSError):
            data = connection.recv(65536)
        if not data:
            self._selector.unregister(connection)
            self._open.discard(connection)
            connection.close()
        elif b"\r\n\r\n" in data:
            self._missing -= 1
            if self._missing == 0:
                self._answer_all()

    def _answer_all(self) -> None:
        for connection in self._open:
            with suppress(OSError):
                connection.sendall(ANSWER)


if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    crowd = Crowd(int(sys.argv[1]))
    print(crowd.port, flush=True)
    crowd.serve()
