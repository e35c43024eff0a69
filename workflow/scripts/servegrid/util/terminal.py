"""Progress lines of a running sweep: what each session does, and how long the sweep will still take."""

import sys
import time
from pathlib import Path


class Progress:
    """Progress line of one session, also kept in a log; on a terminal it is rewritten in place, elsewhere each change is a line."""

    def __init__(self, session: str, position: str, left_s: float | None, log: Path) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log
        self._head = f"{position} {session}"
        self._end_s = None if left_s is None else time.monotonic() + left_s
        self._is_terminal = sys.stderr.isatty()

    def __call__(self, message: str) -> None:
        """Show and log what the session does now."""
        with self._log.open("a") as log:
            print(time.strftime("%Y-%m-%d %H:%M:%S"), f"{self._head}: {message}", file=log)
        self._show(message)

    def _show(self, message: str) -> None:
        line = f"{self._head}: {message}{self._time_left_text()}"
        print(
            f"\r\033[K{line}" if self._is_terminal else line,
            end="" if self._is_terminal else "\n",
            file=sys.stderr,
            flush=True,
        )

    def tick(self, message: str) -> None:
        """Show a passing state, on a terminal only."""
        if self._is_terminal:
            self._show(message)

    def close(self, message: str) -> None:
        """Show and log the last message and end the line."""
        self(message)
        if self._is_terminal:
            print(file=sys.stderr)

    def _time_left_text(self) -> str:
        if self._end_s is None:
            return ""
        return f" (sweep: about {format_duration(max(0.0, self._end_s - time.monotonic()))} left)"


def format_duration(seconds: float) -> str:
    """Readable duration, such as `1 min 15 s` for 75; with hours there are no seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
