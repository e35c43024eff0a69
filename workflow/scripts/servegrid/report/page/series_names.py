"""Names of points and series that can be understood without counting places: `vllm, 64 threads, ngram:8, fp8`."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from servegrid.report.drawing.panels import at, in_words
from servegrid.results.axes import NO_EFFECT, level_label
from servegrid.results.points import PUBLISHED, axis_levels, varying_axes

_ALWAYS = "engine"


def as_text(value: Any) -> str:
    """A value as text for plotly, which would take some HTML in it for what it says."""
    return html.escape(level_label(value), quote=False)


def as_words(axis: str, value: Any) -> str:
    """The same of a value with what it is, where that cannot be seen: `fp8`, `1 thread`, `memory_fraction 0.5`."""
    return as_text(in_words(axis, value))


class Names:
    """Names the rows of a figure by those of `axes` that tell them apart.

    Of each axis at most one level is left out: the one that all own points have, else the feature being off.
    """

    def __init__(self, rows: pd.DataFrame, axes: Sequence[str]) -> None:
        self.axes = [axis for axis in dict.fromkeys(axes) if axis in (*varying_axes(rows, axes), _ALWAYS)]
        own = rows[rows["status"] != PUBLISHED]
        silent = {axis: _silent(rows if own.empty else own, axis) for axis in self.axes if axis != _ALWAYS}
        self._silent = {axis: level for axis, level in silent.items() if level is not None}
        self.note = _note([at(axis, level) for axis, level in self._silent.items()])

    def name(self, row: Mapping[Any, Any]) -> str:
        """The row's name, as text for plotly."""
        told = [axis for axis in self.axes if level_label(row[axis]) != self._silent.get(axis)]
        return ", ".join(as_words(axis, row[axis]) for axis in told)


def _silent(rows: pd.DataFrame, axis: str) -> str | None:
    found = axis_levels(rows, axis)
    if len(found) == 1:
        return found[0]
    return None if axis in ("gpu", "threads") else next((level for level in found if level in NO_EFFECT), None)


def _note(parts: list[str]) -> str:
    return f" Names leave out: {', '.join(parts)}." if parts else ""
