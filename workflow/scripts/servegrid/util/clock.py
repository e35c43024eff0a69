"""The one clock of a host: every time in every record is a reading of it."""

import time


def now_s() -> float:
    """Seconds of CLOCK_MONOTONIC: the same for all processes of a host, never set back; its zero means nothing."""
    return time.monotonic()


def wall_anchor() -> dict[str, float]:
    """Monotonic and wall clock read together, in s, to place records in calendar time."""
    return {"monotonic_s": time.monotonic(), "unix_s": time.time()}
