"""What the terminal shows while a sweep runs: where it is, and how long it will still take."""

import sys
import time
from pathlib import Path


class Progress:
    """One line of news for one session; on a terminal it is rewritten in place, elsewhere each change is a line."""

    def __init__(self, session: str, position: str, left_s: float | None, log: Path) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log
        self._head = f"{position} {session}"
        self._until = None if left_s is None else time.monotonic() + left_s
        self._live = sys.stderr.isatty()

    def __call__(self, news: str) -> None:
        """Show what the session does now."""
        with self._log.open("a") as log:
            print(time.strftime("%Y-%m-%d %H:%M:%S"), f"{self._head}: {news}", file=log)
        self._show(news)

    def _show(self, news: str) -> None:
        line = f"{self._head}: {news}{self._left()}"
        print(f"\r\033[K{line}" if self._live else line, end="" if self._live else "\n", file=sys.stderr, flush=True)

    def tick(self, news: str) -> None:
        """Show a passing state, on a terminal only."""
        if self._live:
            self._show(news)

    def close(self, news: str) -> None:
        """Show the last line and end it."""
        self(news)
        if self._live:
            print(file=sys.stderr)

    def _left(self) -> str:
        if self._until is None:
            return ""
        return f" (sweep: about {duration(max(0.0, self._until - time.monotonic()))} left)"


def duration(seconds: float) -> str:
    """`75` -> `1 min 15 s`; hours without seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
