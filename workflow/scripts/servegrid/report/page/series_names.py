"""Readable names of points and series: `vllm, 64 threads, ngram:8, fp8`."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from servegrid.report.drawing.panels import axis_level_label, short_level_label
from servegrid.results.axes import NO_EFFECT, level_label
from servegrid.results.points import PUBLISHED, axis_levels, varying_axes

_ALWAYS = "engine"


def plotly_text(value: Any) -> str:
    """The value's label as text for plotly, which would interpret some HTML in it."""
    return html.escape(level_label(value), quote=False)


def plotly_level(axis: str, value: Any) -> str:
    """The value as text for plotly, with its axis where it does not name itself: `fp8`, `memory_fraction 0.5`."""
    return plotly_text(short_level_label(axis, value))


class RowNames:
    """Names for the rows of a plot, from those of `axes` that tell them apart.

    At most one level of each axis is left out: the one that all measured points have, else the feature being off.
    """

    def __init__(self, rows: pd.DataFrame, axes: Sequence[str]) -> None:
        self.axes = [axis for axis in dict.fromkeys(axes) if axis in (*varying_axes(rows, axes), _ALWAYS)]
        measured = rows[rows["status"] != PUBLISHED]
        unnamed = {
            axis: _unnamed_level(rows if measured.empty else measured, axis) for axis in self.axes if axis != _ALWAYS
        }
        self._unnamed = {axis: level for axis, level in unnamed.items() if level is not None}
        left_out = ", ".join(axis_level_label(axis, level) for axis, level in self._unnamed.items())
        self.note = f" Names leave out: {left_out}." if left_out else ""

    def name(self, row: Mapping[Any, Any]) -> str:
        """The row's name, as text for plotly."""
        named_axes = [axis for axis in self.axes if level_label(row[axis]) != self._unnamed.get(axis)]
        return ", ".join(plotly_level(axis, row[axis]) for axis in named_axes)


def _unnamed_level(rows: pd.DataFrame, axis: str) -> str | None:
    """Level of the axis that names leave out; None if they name all."""
    levels = axis_levels(rows, axis)
    if len(levels) == 1:
        return levels[0]
    return None if axis in ("gpu", "threads") else next((level for level in levels if level in NO_EFFECT), None)
