"""The end of a server's log: what it said last, for tables and for people."""

from pathlib import Path

TAIL_LINES = 40


def tail(log: Path, lines: int = TAIL_LINES) -> list[str]:
    """The last lines of a log, read from its end."""
    if not log.exists():
        return []
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 64 * 1024))
        return file.read().decode(errors="replace").splitlines()[-lines:]


def last_words(log: Path) -> str:
    """The last line of a log that says anything, to go behind a reason."""
    last = next((last.strip() for last in reversed(tail(log)) if last.strip()), "")
    return f"; last words: {last[:200]}" if last else ""
