"""Something done again and again, in a thread of its own."""

import math
import threading
from collections.abc import Callable

from servegrid.util.clock import now_s

_AFTER_FAILURE_S = 0.5


class Beat:
    """Calls `act` at once and then every `period_s`, by the clock: a slow call skips beats, it does not shift them.

    A failure (any exception) costs that beat and no more; `say` hears of the first in a row, and of the recovery. The
    thread is a daemon, so a call that hangs keeps nobody from leaving.
    """

    def __init__(self, name: str, act: Callable[[], object], period_s: float, say: Callable[[str], None]) -> None:
        self.name = name
        self.failures = 0
        self.first = threading.Event()  # set after the first call, failed or not
        self._act, self._period_s, self._say = act, period_s, say
        self._failed_in_a_row = 0
        self._halt = threading.Event()
        self._once_more = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> "Beat":
        """Begin."""
        self._thread.start()
        return self

    def stop(self, once_more: bool = False) -> None:
        """Let it end, `once_more` after a last call; does not wait."""
        self._once_more = once_more
        self._halt.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end; False if it still hangs in a call."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        due = now_s()
        while True:
            self._beat()
            self.first.set()
            due += self._period_s * max(1, math.ceil((now_s() - due) / self._period_s))
            # A device that fails may answer slowly: ask a fast beat's device less often then.
            pause = _AFTER_FAILURE_S if self._failed_in_a_row else 0.0
            if self._halt.wait(max(pause, due - now_s())):
                break
        if self._once_more:
            self._beat()

    def _beat(self) -> None:
        try:
            self._act()
        except Exception as error:
            if not self._halt.is_set():
                self._failed(str(error) or type(error).__name__)
            return
        if self._failed_in_a_row:
            self._say(f"{self.name}: works again after {self._failed_in_a_row} failures")
        self._failed_in_a_row = 0

    def _failed(self, reason: str) -> None:
        if not self._failed_in_a_row:
            self._say(f"{self.name}: {reason}")
        self._failed_in_a_row += 1
        self.failures += 1
