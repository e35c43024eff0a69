"""What the terminal shows while a sweep runs: where it is, and how long it will still take."""

import sys
import time


class Progress:
    """One line of news for one session; on a terminal it is rewritten in place, elsewhere each change is a line."""

    def __init__(self, session: str, position: str, left_s: float | None) -> None:
        self._head = f"{position} {session}"
        self._until = None if left_s is None else time.monotonic() + left_s
        self._live = sys.stderr.isatty()
        self._last = ""

    def __call__(self, news: str) -> None:
        """Show what the session does now."""
        self._last = news
        line = f"{self._head}: {news}{self._left()}"
        print(f"\r\033[K{line}" if self._live else line, end="" if self._live else "\n", file=sys.stderr, flush=True)

    def tick(self, news: str) -> None:
        """Show a passing state, on a terminal only."""
        if self._live:
            self(news)

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
