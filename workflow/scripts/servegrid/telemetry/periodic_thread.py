"""Call a function periodically in a thread of its own."""

import math
import threading
from collections.abc import Callable
from typing import Self

from servegrid.util.clock import now_s

_PAUSE_AFTER_FAILURE_S = 0.5


class PeriodicThread:
    """Thread that calls `action` at once and then every `period_s`, by the clock: a slow call skips periods, it does not shift them.

    A failure (any exception) costs that call and no more; `log` is told of the first in a row, and of the recovery. The
    thread is a daemon, so a call that hangs keeps nobody from leaving.
    """

    def __init__(self, name: str, action: Callable[[], object], period_s: float, log: Callable[[str], None]) -> None:
        self.name = name
        self.failures = 0
        self.first_call_done = threading.Event()  # set after the first call, failed or not
        self._action, self._period_s, self._log = action, period_s, log
        self._failed_in_a_row = 0
        self._stopping = threading.Event()
        self._once_more = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> Self:
        """Start the thread; return self."""
        self._thread.start()
        return self

    def stop(self, once_more: bool = False) -> None:
        """Ask the thread to end, `once_more` after a last call; does not wait."""
        self._once_more = once_more
        self._stopping.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread's end; False if it still hangs in a call."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        due = now_s()
        while True:
            self._call()
            self.first_call_done.set()
            due += self._period_s * max(1, math.ceil((now_s() - due) / self._period_s))
            # A device that fails may answer slowly: ask the device of a short period less often then.
            pause = _PAUSE_AFTER_FAILURE_S if self._failed_in_a_row else 0.0
            if self._stopping.wait(max(pause, due - now_s())):
                break
        if self._once_more:
            self._call()

    def _call(self) -> None:
        try:
            self._action()
        except Exception as error:
            if not self._stopping.is_set():
                self._count_failure(str(error) or type(error).__name__)
            return
        if self._failed_in_a_row:
            self._log(f"{self.name}: works again after {self._failed_in_a_row} failures")
        self._failed_in_a_row = 0

    def _count_failure(self, reason: str) -> None:
        if not self._failed_in_a_row:
            self._log(f"{self.name}: {reason}")
        self._failed_in_a_row += 1
        self.failures += 1
