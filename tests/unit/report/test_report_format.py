import math

import pytest

from servegrid.report.format import format_count, format_number, format_short, format_with_range
from servegrid.util.text import clip, plain


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (math.nan, ""),
        (math.inf, ""),
        (0, "0"),
        (0.000123456, "0.000123"),
        (0.0000123456, "1.23e-05"),
        (0.0999999, "0.100"),
        (1.005, "1.00"),
        (12.34, "12.3"),
        (99.96, "100"),
        (664.4, "664"),
        (1204.6, "1,205"),
        (999999.6, "1,000,000"),
        (-12.34, "-12.3"),
    ],
)
def test_three_significant_digits_but_the_whole_part_kept(value: float | None, text: str) -> None:
    assert format_number(value) == text


def test_a_count_is_never_rounded() -> None:
    assert format_count(1234567.0) == "1,234,567"
    assert format_count(math.nan) == ""


def test_short_drops_zeros_that_say_nothing() -> None:
    assert [
        format_short(24.0),
        format_short(23.517),
        format_short(0.5),
        format_short(100.0),
        format_short(1.23e-05),
    ] == [
        "24",
        "23.5",
        "0.5",
        "100",
        "1.23e-05",
    ]


def test_spread_needs_both_ends() -> None:
    assert format_with_range(664, 650.4, 671) == "664 (650\N{EN DASH}671)"
    assert format_with_range(664, math.nan, 671) == "664"
    assert format_with_range(math.nan, math.nan, math.nan) == ""


def test_plain_is_one_printable_line() -> None:
    assert plain(" a\n\tb\x00c\u202ed ") == "a b\N{REPLACEMENT CHARACTER}c\N{REPLACEMENT CHARACTER}d"
    assert plain("日本語 ×") == "日本語 ×"  # noqa: RUF001


def test_clip_marks_what_was_cut() -> None:
    assert clip("abcdef", 6) == "abcdef"
    assert clip("abcdefg", 6) == "abcde…"
