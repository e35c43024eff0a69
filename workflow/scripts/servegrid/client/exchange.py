"""Requests to send, and the exchanges that are kept while a load runs."""

import re
from dataclasses import dataclass, field
from typing import Any

from servegrid.records.request import RequestStatus

HOLD_BYTES = 256 * 1024 * 1024
_ID = re.compile(r"[!-~]{1,200}")


@dataclass(frozen=True, slots=True)
class Request:
    """One request, ready to send. `body` may be shared by many.

    Raises:
        ValueError: when the id cannot stand in a header field.
    """

    id: str
    prompt_id: str
    body: bytes
    max_tokens: int
    exact: bool = True  # whether the model was told not to stop before max_tokens

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise ValueError(f"request id {self.id!r} is not 1 to 200 printable ASCII characters without spaces")


@dataclass(slots=True)
class Exchange:
    """One request and what was read of its answer, with the time of each read, and nothing derived from it."""

    index: int
    id: str
    request: Request
    thread: int | None = None
    planned_s: float | None = None
    sent_s: float | None = None
    end_s: float | None = None
    log: list[Any] = field(default_factory=list)  # time in s, bytes, time in s, bytes, … one pair per read
    late_reads: list[float] | None = None  # times of the reads that were late; None: not known
    fault: tuple[RequestStatus, str] | None = None  # why it ended, when the answer did not end by itself
    retried: bool = False  # sent again on a fresh connection, because the kept one was already closed
    spooled_at: int | None = None


class Spool:
    """Keeps finished logs: in memory up to `hold_bytes`, in an unnamed file beyond, so that long loads stay small."""

    def __init__(self, hold_bytes: int = HOLD_BYTES) -> None:
        self._hold_bytes = hold_bytes
        self._held = 0
        self._file: Any = None

    def keep(self, exchange: Exchange, size: int) -> None:
        """Keep the log of a finished exchange, `size` bytes."""
        self._held += size
        if self._held <= self._hold_bytes:
            return
        import pickle  # here and not above: most loads need neither
        import tempfile

        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="servegrid-load-", buffering=0)  # noqa: SIM115
        exchange.spooled_at = self._file.tell()
        self._file.write(pickle.dumps(exchange.log, protocol=5))
        exchange.log = []

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def log(self, exchange: Exchange) -> list[Any]:
        """Log of an exchange, read back from the file if it is there."""
        if exchange.spooled_at is None:
            return exchange.log
        import pickle

        self._file.seek(exchange.spooled_at)
        log: list[Any] = pickle.load(self._file)
        return log
