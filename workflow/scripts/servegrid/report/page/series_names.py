"""Names of points and series that can be understood without counting places: `vllm, 64 threads, ngram:8, fp8`."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from servegrid.report.drawing.panels import axis_level_label, level_label
from servegrid.results.axes import NO_EFFECT, label
from servegrid.results.points import PUBLISHED, levels, varying

_ALWAYS = "engine"


def plotly_text(value: Any) -> str:
    """A value as text for plotly, which would take some HTML in it for what it says."""
    return html.escape(label(value), quote=False)


def plotly_level(axis: str, value: Any) -> str:
    """The same of a value with what it is, where that cannot be seen: `fp8`, `1 thread`, `memory_fraction 0.5`."""
    return plotly_text(level_label(axis, value))


class RowNames:
    """Names the rows of a figure by those of `axes` that tell them apart.

    Of each axis at most one level is left out: the one that all own points have, else the feature being off.
    """

    def __init__(self, rows: pd.DataFrame, axes: Sequence[str]) -> None:
        self.axes = [axis for axis in dict.fromkeys(axes) if axis in (*varying(rows, axes), _ALWAYS)]
        own = rows[rows["status"] != PUBLISHED]
        silent = {axis: _silent(rows if own.empty else own, axis) for axis in self.axes if axis != _ALWAYS}
        self._silent = {axis: level for axis, level in silent.items() if level is not None}
        self.note = _note([axis_level_label(axis, level) for axis, level in self._silent.items()])

    def name(self, row: Mapping[Any, Any]) -> str:
        """The row's name, as text for plotly."""
        told = [axis for axis in self.axes if label(row[axis]) != self._silent.get(axis)]
        return ", ".join(plotly_level(axis, row[axis]) for axis in told)


def _silent(rows: pd.DataFrame, axis: str) -> str | None:
    found = levels(rows, axis)
    if len(found) == 1:
        return found[0]
    return None if axis in ("gpu", "threads") else next((level for level in found if level in NO_EFFECT), None)


def _note(parts: list[str]) -> str:
    return f" Names leave out: {', '.join(parts)}." if parts else ""
