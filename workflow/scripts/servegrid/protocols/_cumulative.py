"""What is new in each text of an answer, also where every event repeats all text so far, or the last one repeats the whole."""

from collections.abc import Sequence
from itertools import pairwise

LEAST_STEPS = 2
"""Texts that each begin with the one before and are longer: as many in a row, without exception, are no chance."""
LEAST_REPEATED = 12
"""Characters repeated in all from which fewer steps, or some without growth (tokens without text), are no chance either."""
_UNSETTLED = "\ufffd"
"""In place of a character whose last bytes are still to come: the next text has the character itself."""


def new_texts(texts: Sequence[str], prompt: str = "") -> list[str]:
    """What each text adds to those before it; empty where it adds nothing.

    Args:
        texts: of the events, in order; some may be empty.
        prompt: what the request asked, for servers that may put it in front of every text; empty: this one does not.
    """
    filled = [text for text in texts if text]
    has_prompt = bool(prompt and filled) and all(text.startswith(prompt) for text in filled)
    if has_prompt:
        texts = [text.removeprefix(prompt) for text in texts]
    if _is_cumulative(filled) or (has_prompt and len(filled) > 1):
        return _differences(texts)
    return _without_repeated_whole(list(texts))


def is_continued(before: str, text: str) -> bool:
    """Whether a text repeats the one before it."""
    return text.startswith(before.rstrip(_UNSETTLED))


def _is_cumulative(filled: Sequence[str]) -> bool:
    """Whether each text repeats the one before it, beyond what chance does with texts that do not."""
    steps = grown = repeated = 0
    for before, text in pairwise(filled):
        if not is_continued(before, text):
            return False
        steps, grown, repeated = steps + 1, grown + (len(text) > len(before)), repeated + len(before)
    return (grown == steps >= LEAST_STEPS) or (repeated >= LEAST_REPEATED and 2 * grown >= max(steps, 1))


def _differences(texts: Sequence[str]) -> list[str]:
    """Of texts that hold all so far."""
    last = max((number for number, text in enumerate(texts) if text), default=-1)
    added, size = [], 0
    for number, text in enumerate(texts):
        settled = text if number == last else text.rstrip(_UNSETTLED)
        added.append(settled[size:])
        size = max(size, len(settled))
    return added


def _without_repeated_whole(texts: list[str]) -> list[str]:
    """Without the last text where it is all of the others once more, as some servers end."""
    whole, filled = "".join(texts[:-1]), sum(map(bool, texts[:-1]))
    if filled > 1 and len(whole) >= LEAST_REPEATED and texts[-1] == whole:
        texts[-1] = ""
    return texts
