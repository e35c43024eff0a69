"""The series of an interactive figure: which points belong together, and how they are drawn."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import pandas as pd

from servegrid.report.drawing.style import engine_looks
from servegrid.report.page.series_names import Names
from servegrid.results.points import PUBLISHED, varying_axes

MOST_SERIES = 24
_SYMBOLS = (
    *("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x"),
    *("triangle-left", "triangle-right"),
)
_DASHES = ("solid", "dash", "dashdot", "longdash")
_THIN = (
    *("x-thin-open", "cross-thin-open", "asterisk-open", "hash-open"),
    *("y-up-open", "y-down-open", "y-left-open", "y-right-open"),
)
_DOTS = ("dot", "longdashdot")
"""Marks and lines of published rows."""


@dataclass(frozen=True)
class Series:
    """Rows that differ on no axis but one, and how they are drawn; `setting` is where they stand on all axes but the engine."""

    name: str
    rows: pd.DataFrame
    setting: tuple[str, ...]
    colour: str = ""
    symbol: str = ""
    dash: str = ""

    @property
    def published(self) -> bool:
        """Whether nothing of it was measured here."""
        return bool((self.rows["status"] == PUBLISHED).all())


def series_of(rows: pd.DataFrame, axes: Sequence[str], most: int | None = None) -> tuple[list[Series], str]:
    """A series per combination on `axes`, in the order of the rows, no two of which look alike; and a note on names and choice.

    Of more than `most` those are chosen that are `_fastest`, before looks are given. The colour is the engine's. As long as
    there are marks enough, each series has its own, so that it is known in grey; of more series mark and dash are those of
    the setting, the same for every engine.
    """
    names = Names(rows, axes)
    series = [_series(names, axes, own) for own in _groups(rows, axes)]
    found, left_out = (series, "") if most is None or len(series) <= most else _fastest(series, most)
    return list(_looking(found)), names.note + left_out


def few(rows: pd.DataFrame, axes: Sequence[str]) -> bool:
    """Whether each combination on `axes` can have a mark of its own."""
    return len(_groups(rows, axes)) <= len(_SYMBOLS)


def _groups(rows: pd.DataFrame, axes: Sequence[str]) -> list[pd.DataFrame]:
    apart = varying_axes(rows, axes)
    return [group for _, group in rows.groupby(apart, sort=False)] if apart else [rows]


def _series(names: Names, axes: Sequence[str], rows: pd.DataFrame) -> Series:
    row: dict[Any, Any] = rows.iloc[0].to_dict()
    return Series(names.name(row), rows, tuple(str(row[axis]) for axis in axes if axis != "engine"))


def _fastest(series: list[Series], most: int) -> tuple[list[Series], str]:
    """Of each engine as many as of another, those with the shortest times."""
    best = pd.Series([one.rows["time_s"].min() for one in series])
    rank = best.groupby([one.rows["engine"].iloc[0] for one in series]).rank(method="first")
    kept = sorted(pd.DataFrame({"rank": rank, "best": best}).sort_values(["rank", "best"]).index[:most])
    note = f" Shown: the {most} of {len(series):,} series with the shortest times of each engine; the table has all."
    return [series[place] for place in kept], note


def _looking(series: list[Series]) -> Iterator[Series]:
    """With colour, mark and dash; among the series of one colour no pair of mark and dash comes twice, as long as there are some."""
    looks = engine_looks(pd.concat([one.rows["engine"] for one in series]))
    settings = list(dict.fromkeys(one.setting for one in series if not one.published))
    own = len(series) <= len(_SYMBOLS) or len({one.rows["engine"].iloc[0] for one in series}) == 1
    taken: set[tuple[str, str, str]] = set()
    for place, one in enumerate(series):
        colour = looks[str(one.rows["engine"].iloc[0])].colour
        pairs = _pairs(one.published, place if own or one.published else settings.index(one.setting))
        symbol, dash = next((pair for pair in pairs if (colour, *pair) not in taken), pairs[0])
        taken.add((colour, symbol, dash))
        yield replace(one, colour=colour, symbol=symbol, dash=dash)


def _pairs(published: bool, first: int) -> list[tuple[str, str]]:
    """All pairs of mark and dash, from the one at place `first` on; of published series from the first mark on."""
    if published:
        return [(symbol, dash) for dash, symbol in product(_DOTS, _THIN)]
    # both change from one to the next; as 9 marks and 4 dashes share no divisor, all pairs come
    pairs = [(_SYMBOLS[n % len(_SYMBOLS)], _DASHES[n % len(_DASHES)]) for n in range(len(_SYMBOLS) * len(_DASHES))]
    first %= len(pairs)
    return pairs[first:] + pairs[:first]
