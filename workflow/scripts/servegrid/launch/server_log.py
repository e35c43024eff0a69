"""The last lines of a server's log, for records and for reasons of failures."""

from pathlib import Path

TAIL_LINES = 40


def tail(log: Path, lines: int = TAIL_LINES) -> list[str]:
    """The last `lines` lines of a log, read from its end; none if there is no log."""
    if not log.exists():
        return []
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 64 * 1024))
        return file.read().decode(errors="replace").splitlines()[-lines:]


def last_words(log: Path) -> str:
    """The last line of a log that is not blank, as text to append to a reason; empty if there is none."""
    last = next((line.strip() for line in reversed(tail(log)) if line.strip()), "")
    return f"; last words: {last[:200]}" if last else ""
