"""Convert a growing count of CPU seconds to percent of one CPU."""

_MIN_INTERVAL_S = 0.1
_ROUNDING_S = 0.05


class CpuMeter:
    """Computes percent of one CPU between readings of a growing count of CPU seconds: 200 = two CPUs busy all the time."""

    def __init__(self) -> None:
        self._last: tuple[float, float] | None = None

    def percent(self, now_s: float, spent_s: float) -> float | None:
        """Mean percent since the last reading that counted.

        None for the first reading; for one less than 0.1 s after, since the kernel counts in steps of 10 ms (the next
        one then covers both); and where the count fell, which it does when a process takes its share away unseen.
        """
        if self._last is not None and now_s - self._last[0] < _MIN_INTERVAL_S:
            return None
        last, self._last = self._last, (now_s, spent_s)
        if last is None or spent_s - last[1] < -_ROUNDING_S:
            return None
        return 100 * max(0.0, spent_s - last[1]) / (now_s - last[0])
