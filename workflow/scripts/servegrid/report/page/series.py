"""The series of an interactive figure: which points belong together, and how they are drawn."""

import html
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from servegrid.report.points import PUBLISHED, label, varying
from servegrid.report.style import MARKERS, engine_looks

MOST_SERIES = 24
_SYMBOLS = (
    *("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x"),
    *("triangle-left", "triangle-right"),
)
_NAMED = dict(zip(MARKERS, _SYMBOLS, strict=True)) | {"x": "x-thin-open"}
_DASHES = ("solid", "dash", "dot", "dashdot")


def as_text(value: Any) -> str:
    """A value as text for plotly, which would take some HTML in it for what it says."""
    return html.escape(label(value), quote=False)


@dataclass(frozen=True)
class Series:
    """Rows that differ on no axis but one, and how they are drawn."""

    name: str
    rows: pd.DataFrame
    colour: str
    symbol: str
    dash: str


def series_of(rows: pd.DataFrame, axes: Sequence[str]) -> list[Series]:
    """A series per combination on `axes`, in the order of the rows.

    The colour is the engine's. As long as there are marks enough, each series has its own, so that it is known in grey; of
    more series the mark is the engine's, too, and dashes tell its settings apart.
    """
    looks, numbers = engine_looks(rows["engine"]), Counter[str]()
    groups = _groups(rows, axes)
    own = len(groups) <= len(_SYMBOLS) or rows["engine"].nunique() == 1
    found = []
    for place, (name, group) in enumerate(groups):
        engine, published = str(group["engine"].iloc[0]), bool((group["status"] == PUBLISHED).all())
        mark = _NAMED[looks[engine].marker] if published or not own else _SYMBOLS[place % len(_SYMBOLS)]
        dash = "dot" if published else _DASHES[(place if own else numbers[engine]) % len(_DASHES)]
        numbers[engine] += 1
        found.append(Series(name, group, looks[engine].colour, mark, dash))
    return found


def few(rows: pd.DataFrame, axes: Sequence[str]) -> bool:
    """Whether each combination on `axes` can have a mark of its own."""
    return len(_groups(rows, axes)) <= len(_SYMBOLS)


def fastest(series: list[Series]) -> tuple[list[Series], str]:
    """At most MOST_SERIES, of each engine as many as of another, those with the shortest times; and a note if some are left out."""
    best = pd.Series([one.rows["time_s"].min() for one in series])
    rank = best.groupby([one.rows["engine"].iloc[0] for one in series]).rank(method="first")
    kept = sorted(pd.DataFrame({"rank": rank, "best": best}).sort_values(["rank", "best"]).index[:MOST_SERIES])
    note = f" Shown: the {MOST_SERIES} of {len(series):,} series with the shortest times of each engine; the table has all."
    return [series[place] for place in kept], note if len(series) > MOST_SERIES else ""


def _groups(rows: pd.DataFrame, axes: Sequence[str]) -> list[tuple[str, pd.DataFrame]]:
    """Name and rows of each series; what all share is not in the name."""
    apart = varying(rows, axes)
    if not apart:
        return [(as_text(rows["engine"].iloc[0]), rows)]
    return [(", ".join(map(as_text, key)), group) for key, group in rows.groupby(apart, sort=False)]
