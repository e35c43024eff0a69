"""Make texts from outside fit to be shown."""

import unicodedata

_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})


def plain(text: str) -> str:
    """Text as one line: white space collapsed, control and other unprintable characters shown as U+FFFD."""
    joined = " ".join(text.split())
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in _UNPRINTABLE else c for c in joined)


def clip(text: str, limit: int) -> str:
    """Text cut to `limit` characters, the last an ellipsis if something was cut."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "\N{HORIZONTAL ELLIPSIS}"
