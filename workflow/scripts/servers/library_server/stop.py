"""Stop strings in a growing text."""

from collections.abc import Sequence


class StopSearch:
    """Lets text through up to the first stop string, and holds back what may be the begin of one."""

    def __init__(self, stops: Sequence[str]):
        self._stops = tuple(stops)
        self._held = ""
        self.found = False

    def push(self, text: str) -> str:
        """The text that may be shown now; once a stop string is found, what stood before it and then nothing."""
        if not self._stops:
            return text
        if self.found:
            return ""
        text = self._held + text
        places = [place for stop in self._stops if (place := text.find(stop)) >= 0]
        if places:
            self.found, self._held = True, ""
            return text[: min(places)]
        held = max(self._beginning(text, stop) for stop in self._stops)
        shown, self._held = text[: len(text) - held], text[len(text) - held :]
        return shown

    def finish(self) -> str:
        """What is still held back when the text ends."""
        held, self._held = self._held, ""
        return held

    @staticmethod
    def _beginning(text: str, stop: str) -> int:
        """Length of the longest end of `text` that begins `stop`."""
        return next((n for n in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:n])), 0)
