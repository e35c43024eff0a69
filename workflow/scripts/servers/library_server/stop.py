"""Find stop strings in a growing text."""

from collections.abc import Sequence


class StopSearch:
    """Passes text on up to the first stop string, and holds back what may be the start of one."""

    def __init__(self, stops: Sequence[str]):
        self._stops = tuple(stops)
        self._held = ""
        self.is_found = False

    def push(self, text: str) -> str:
        """Add text and return what may be sent now: after a stop string, what stood before it, and then nothing."""
        if not self._stops:
            return text
        if self.is_found:
            return ""
        text = self._held + text
        positions = [position for stop in self._stops if (position := text.find(stop)) >= 0]
        if positions:
            self.is_found, self._held = True, ""
            return text[: min(positions)]
        held_length = max(self._overlap(text, stop) for stop in self._stops)
        released, self._held = text[: len(text) - held_length], text[len(text) - held_length :]
        return released

    def finish(self) -> str:
        """Text still held back when the completion ends."""
        held, self._held = self._held, ""
        return held

    @staticmethod
    def _overlap(text: str, stop: str) -> int:
        """Length of the longest end of `text` that is a start of `stop`."""
        return next((n for n in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:n])), 0)
