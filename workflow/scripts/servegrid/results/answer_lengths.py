"""How long the answers of two rows are: where they end by themselves, a time says nothing without it."""

import math
from collections.abc import Hashable, Mapping
from typing import Any

from servegrid.results.columns import PER_ANSWER

Row = Mapping[Hashable, Any]
NATURAL = "natural"
LENGTH_COLUMNS = ("answers_end", "output_tokens", "requests_ok")
"""Columns that lengths are known by."""
ALIKE_SHARE = 0.01
"""Share by which lengths may differ and still be taken for alike. Times are about proportional to tokens, so this moves a time by no
more than sessions of one server differ."""
UNKNOWN_LENGTHS = "answers of unknown length"


def length_ratio(row: Row, other: Row, metric: str) -> float:
    """Output tokens of an answer of `row` / those of one of `other`, for what goes with the length of answers; NaN where unknown.

    1 for other metrics, where all answers have the length that was asked for, and where lengths are alike.
    """
    if metric not in PER_ANSWER or NATURAL not in (row.get("answers_end"), other.get("answers_end")):
        return 1.0
    ratio = _tokens_per_answer(row) / _tokens_per_answer(other)
    return 1.0 if abs(ratio - 1) <= ALIKE_SHARE else ratio


def _tokens_per_answer(row: Row) -> float:
    tokens, answers = (
        float("nan" if row.get(name) is None else row[name]) for name in ("output_tokens", "requests_ok")
    )
    return tokens / answers if answers and tokens else math.nan


def is_unknown_length(row: Row) -> bool:
    """Whether the row's answers end by themselves and nobody counted their tokens."""
    return row.get("answers_end") == NATURAL and math.isnan(_tokens_per_answer(row))
