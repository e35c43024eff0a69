"""Numbers and names as a reader sees them."""

import math
from collections.abc import Mapping

DASH = "\N{EN DASH}"
_DIGITS = 3


def number(value: float | None) -> str:
    """Three significant digits, but the whole part kept: 0.0123, 12.3, 664, 1,205. Unknown is empty."""
    if value is None or not math.isfinite(value):
        return ""
    if value == 0:
        return "0"
    places = _DIGITS - 1 - math.floor(math.log10(abs(value)))
    rounded = round(value, places) if abs(value) < 10 ** (_DIGITS - 1) else round(value)
    if abs(rounded) >= 10 ** (_DIGITS - 1):
        return f"{rounded:,.0f}"
    if abs(rounded) < 1e-4:
        return f"{value:.{_DIGITS - 1}e}"
    return f"{rounded:.{_DIGITS - 1 - math.floor(math.log10(abs(rounded)))}f}"


def short(value: float | None) -> str:
    """As `number`, without zeros that say nothing: 24 rather than 24.0."""
    text = number(value)
    return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text


def count(value: float | None) -> str:
    """A whole number with thousands separated; empty if unknown."""
    return "" if value is None or not math.isfinite(value) else f"{value:,.0f}"


def counted(reasons: Mapping[str, int]) -> str:
    """`2 failed, 1 client-bound`."""
    return ", ".join(f"{number:,} {reason}" for reason, number in reasons.items())


FAR = 100
"""Factor to either side beyond which an interval is no more than "not known"."""


def ends(low: float, high: float) -> str:
    """`1.20-1.29`: an interval. Ends that say nothing, such as those of two sessions far apart, are not spelt out."""
    told = low <= 0 or high <= FAR**2 * low
    return f"{number(low)}{DASH}{number(high)}" if told else f"not known within a factor of {FAR}"


def spread(value: float | None, low: float | None, high: float | None) -> str:
    """`664 (650-671)`: a number with its lowest and highest; only the number where these are unknown."""
    if not number(low) or not number(high):
        return number(value)
    return f"{number(value)} ({number(low)}{DASH}{number(high)})".strip()
