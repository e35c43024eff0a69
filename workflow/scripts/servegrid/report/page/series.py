"""Series of an interactive plot: which points belong together, and how they are drawn."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import pandas as pd

from servegrid.report.drawing.style import engine_looks
from servegrid.report.page.series_names import RowNames
from servegrid.results.points import PUBLISHED, varying_axes

MAX_SERIES = 24
_SYMBOLS = (
    *("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x"),
    *("triangle-left", "triangle-right"),
)
_DASHES = ("solid", "dash", "dashdot", "longdash")
_PUBLISHED_SYMBOLS = (
    *("x-thin-open", "cross-thin-open", "asterisk-open", "hash-open"),
    *("y-up-open", "y-down-open", "y-left-open", "y-right-open"),
)
_PUBLISHED_DASHES = ("dot", "longdashdot")
"""Marks and lines of published rows."""


@dataclass(frozen=True)
class Series:
    """Rows that differ on one axis at most, and how they are drawn; `setting`: their values on all axes but the engine."""

    name: str
    rows: pd.DataFrame
    setting: tuple[str, ...]
    colour: str = ""
    symbol: str = ""
    dash: str = ""

    @property
    def published(self) -> bool:
        """Whether all its rows are published, none measured here."""
        return bool((self.rows["status"] == PUBLISHED).all())


def build_series(rows: pd.DataFrame, axes: Sequence[str], limit: int | None = None) -> tuple[list[Series], str]:
    """A series per combination on `axes`, in the order of the rows, each with its own look; and a note on names and
    choice.

    Of more than `limit` series the `_fastest` are chosen, before looks are given. The colour is the engine's. As long
    as there are enough marks, each series has its own, so that it can be told in grey; with more series mark and dash
    are those of the setting, the same for every engine.
    """
    names = RowNames(rows, axes)
    series = [_series(names, axes, group) for group in _groups(rows, axes)]
    chosen, left_out = (series, "") if limit is None or len(series) <= limit else _fastest(series, limit)
    return list(_with_looks(chosen)), names.note + left_out


def marks_suffice(rows: pd.DataFrame, axes: Sequence[str]) -> bool:
    """Whether each combination on `axes` can have a mark of its own."""
    return len(_groups(rows, axes)) <= len(_SYMBOLS)


def _groups(rows: pd.DataFrame, axes: Sequence[str]) -> list[pd.DataFrame]:
    differing_axes = varying_axes(rows, axes)
    return [group for _, group in rows.groupby(differing_axes, sort=False)] if differing_axes else [rows]


def _series(names: RowNames, axes: Sequence[str], rows: pd.DataFrame) -> Series:
    row: dict[Any, Any] = rows.iloc[0].to_dict()
    return Series(names.name(row), rows, tuple(str(row[axis]) for axis in axes if axis != "engine"))


def _fastest(series: list[Series], limit: int) -> tuple[list[Series], str]:
    """As many series of each engine as of another, those with the shortest times; and a note."""
    best = pd.Series([group.rows["time_s"].min() for group in series])
    rank = best.groupby([group.rows["engine"].iloc[0] for group in series]).rank(method="first")
    kept = sorted(pd.DataFrame({"rank": rank, "best": best}).sort_values(["rank", "best"]).index[:limit])
    note = f" Shown: the {limit} of {len(series):,} series with the shortest times of each engine; the table has all."
    return [series[place] for place in kept], note


def _with_looks(series: list[Series]) -> Iterator[Series]:
    """Series with colour, mark and dash; within a colour no pair of mark and dash comes twice, while there are enough."""
    looks = engine_looks(pd.concat([group.rows["engine"] for group in series]))
    settings = list(dict.fromkeys(group.setting for group in series if not group.published))
    own_marks = len(series) <= len(_SYMBOLS) or len({group.rows["engine"].iloc[0] for group in series}) == 1
    taken: set[tuple[str, str, str]] = set()
    for place, group in enumerate(series):
        colour = looks[str(group.rows["engine"].iloc[0])].colour
        pairs = _mark_dash_pairs(
            group.published, place if own_marks or group.published else settings.index(group.setting)
        )
        symbol, dash = next((pair for pair in pairs if (colour, *pair) not in taken), pairs[0])
        taken.add((colour, symbol, dash))
        yield replace(group, colour=colour, symbol=symbol, dash=dash)


def _mark_dash_pairs(published: bool, first: int) -> list[tuple[str, str]]:
    """All pairs of mark and dash, from the one at place `first` on; of published series from the first mark on."""
    if published:
        return [(symbol, dash) for dash, symbol in product(_PUBLISHED_DASHES, _PUBLISHED_SYMBOLS)]
    # both change from one to the next; as 9 marks and 4 dashes share no divisor, all pairs come
    pairs = [(_SYMBOLS[n % len(_SYMBOLS)], _DASHES[n % len(_DASHES)]) for n in range(len(_SYMBOLS) * len(_DASHES))]
    first %= len(pairs)
    return pairs[first:] + pairs[:first]
