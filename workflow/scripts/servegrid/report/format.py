"""Numbers and intervals as texts for readers."""

import math
from collections.abc import Mapping

DASH = "\N{EN DASH}"
_DIGITS = 3


def format_number(value: float | None) -> str:
    """Text with three significant digits, but the whole part in full: 0.0123, 12.3, 664, 1,205. Empty if unknown."""
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


def format_short(value: float | None) -> str:
    """As `format_number`, without trailing zeros: 24 rather than 24.0."""
    text = format_number(value)
    return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text


def format_count(value: float | None) -> str:
    """Whole number with thousands separated; empty if unknown."""
    return "" if value is None or not math.isfinite(value) else f"{value:,.0f}"


def format_reasons(reasons: Mapping[str, int]) -> str:
    """Reasons with their counts: `2 failed, 1 client-bound`."""
    return ", ".join(f"{count:,} {reason}" for reason, count in reasons.items())


UNINFORMATIVE_FACTOR = 100
"""Factor to either side beyond which an interval is shown as "not known"."""


def format_interval(low: float, high: float) -> str:
    """Text of an interval, `1.20-1.29`; ends as far apart as those of two very different sessions are not spelt out."""
    informative = low <= 0 or high <= UNINFORMATIVE_FACTOR**2 * low
    return (
        f"{format_number(low)}{DASH}{format_number(high)}"
        if informative
        else f"not known within a factor of {UNINFORMATIVE_FACTOR}"
    )


def format_with_range(value: float | None, low: float | None, high: float | None) -> str:
    """Text of a number with its lowest and highest, `664 (650-671)`; the number alone where these are unknown."""
    if not format_number(low) or not format_number(high):
        return format_number(value)
    return f"{format_number(value)} ({format_number(low)}{DASH}{format_number(high)})".strip()
