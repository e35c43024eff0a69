"""What is new in each text of an answer, also where every event repeats all text so far, or the last one repeats the whole."""

from collections.abc import Sequence
from itertools import pairwise

LEAST_STEPS = 2
"""Texts that each begin with the one before and are longer: as many in a row, without exception, are no chance."""
STEPS_PER_REVISION = 10
"""One text in as many may be another than the one before it goes on to, as where a detokenizer takes characters back."""
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
    """Whether each text repeats the one before it, but for a few revised ones, beyond what chance does with texts that do not."""
    steps = grown = repeated = revised = 0
    for before, text in pairwise(filled):
        if is_continued(before, text):
            steps, grown, repeated = steps + 1, grown + (len(text) > len(before)), repeated + len(before)
        else:
            revised += 1
            if STEPS_PER_REVISION * revised >= len(filled):
                return False
    is_sure = grown == steps >= LEAST_STEPS and not revised
    return is_sure or (repeated >= LEAST_REPEATED and 2 * grown >= max(steps, 1))


def _differences(texts: Sequence[str]) -> list[str]:
    """Of texts that hold all so far; what a later text has otherwise is taken back from the earlier ones."""
    last = max((number for number, text in enumerate(texts) if text), default=-1)
    added: list[str] = []
    so_far = ""
    for number, text in enumerate(texts):
        settled = text if number == last else text.rstrip(_UNSETTLED)
        if so_far.startswith(settled):
            added.append("")
            continue
        kept = len(so_far) if settled.startswith(so_far) else _size_in_common(so_far, settled)
        _take_back(added, len(so_far) - kept)
        added.append(settled[kept:])
        so_far = settled
    return added


def _size_in_common(one: str, other: str) -> int:
    """Characters that both begin with; neither begins with all of the other."""
    return next(number for number, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)


def _take_back(added: list[str], characters: int) -> None:
    """Shorten what was added by as many characters, from its end; in place."""
    for number in range(len(added) - 1, -1, -1):
        if not characters:
            break
        size = len(added[number])
        added[number] = added[number][: max(0, size - characters)]
        characters -= size - len(added[number])


def _without_repeated_whole(texts: list[str]) -> list[str]:
    """Without the last text where it is all of the others once more, as some servers end."""
    whole, filled = "".join(texts[:-1]), sum(map(bool, texts[:-1]))
    if filled > 1 and len(whole) >= LEAST_REPEATED and texts[-1] == whole:
        texts[-1] = ""
    return texts
