"""Division of points into panels, and texts for what panels have in common or leave out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from servegrid.report.settings import Settings
from servegrid.results.axes import NO_EFFECT, level_label
from servegrid.results.points import DRAWN_STATUSES, PUBLISHED, axis_levels, varying_axes
from servegrid.util.text import clip

MAX_PANELS = 12
NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"
_NAMING_THEMSELVES = ("speculation", "quantization", "kind")
"""Axes whose levels are shown alone unless they are bare numbers: `ngram:8`, `fp8`, but `speculation 8`."""
_NAMED = ("engine", "gpu")
"""Axes whose values are shown without the axis' name."""


@dataclass(frozen=True)
class Panel:
    """One of the small multiples: its values on the axes that tell panels apart, and its points."""

    place: dict[str, str]
    points: pd.DataFrame

    @property
    def title(self) -> str:
        """The panel's place as text, empty for the only panel; it breaks between axes only."""
        return ", ".join(
            axis_level_label(axis, level).replace(" ", NO_BREAK_SPACE) for axis, level in self.place.items()
        )


def split_panels(
    points: pd.DataFrame, axes: Sequence[str], settings: Settings, drawn: "pd.Series[bool]", limit: int = MAX_PANELS
) -> tuple[list[Panel], str]:
    """One panel per combination on `axes` with a row in mask `drawn`, and a note if some had to be left out.

    At most `limit` are kept: one per GPU, then those that differ from the baseline, or else from the first level, on
    the fewest axes; what was measured goes before what was only published.
    """
    has_drawn = drawn.loc[points.index].groupby([points[axis] for axis in axes]).transform("any")
    points = points[has_drawn]
    differing_axes = varying_axes(points, axes)
    if not differing_axes:
        return [Panel({}, points)], ""
    order = {axis: axis_levels(points, axis) for axis in differing_axes}
    groups = {
        tuple(map(str, key)): group
        for key, group in points.groupby(differing_axes, sort=False)
        if isinstance(key, tuple)
    }
    keys = sorted(
        groups, key=lambda key: [order[axis].index(level) for axis, level in zip(differing_axes, key, strict=True)]
    )
    measured_here = drawn & points["status"].isin(DRAWN_STATUSES) & (points["status"] != PUBLISHED)
    is_measured = {key: bool(measured_here.loc[group.index].any()) for key, group in groups.items()}
    ranked = sorted(keys, key=lambda key: (not is_measured[key], _distance(key, differing_axes, order, settings)))
    kept = set(_best_of_each_gpu_first(ranked, differing_axes)[:limit])
    panels = [Panel(dict(zip(differing_axes, key, strict=True)), groups[key]) for key in keys if key in kept]
    gpu_note = ", of each GPU at least one" if "gpu" in differing_axes and limit >= len(order["gpu"]) else ""
    note = (
        f"Shown: the {limit} of {len(keys):,} combinations nearest to the baseline{gpu_note}; the table has all points."
    )
    return panels, note if len(keys) > limit else ""


def _best_of_each_gpu_first(ranked: Sequence[tuple[str, ...]], axes: Sequence[str]) -> list[tuple[str, ...]]:
    """Ranked combinations, with the best of every GPU before all others."""
    if "gpu" not in axes:
        return list(ranked)
    best: dict[str, tuple[str, ...]] = {}
    for key in ranked:
        best.setdefault(key[list(axes).index("gpu")], key)
    return list(dict.fromkeys([*best.values(), *ranked]))


def columns_for(panels: Sequence[Panel]) -> int:
    """Number of panels side by side so that, if possible, rows and columns follow the axes."""
    if not panels or not panels[0].place:
        return 1
    innermost = list(panels[0].place)[-1]
    levels_there = len({panel.place[innermost] for panel in panels})
    for columns in (3, 4, 2) if len(panels) > 4 else (3, 2):
        if len(panels) % columns == 0 and (columns % levels_there == 0 or levels_there % columns == 0):
            return columns
    return min(3, len(panels))


def hold_axis(points: pd.DataFrame, axis: str, settings: Settings, mask: "pd.Series[bool]") -> tuple[pd.DataFrame, str]:
    """Points at one level of `axis` only, and a note naming the level if there are others.

    The level is the baseline's, or else the feature being off, or else the level with most points in `mask`.
    """
    levels = axis_levels(points, axis)
    counts = points.loc[mask, axis].value_counts()
    preferred = [settings.baseline_level(axis), levels[0] if levels else None, *counts.index]
    level = next((level for level in preferred if level in counts.index), levels[0] if levels else "")
    note = f"Only points with {axis_level_label(axis, level)}; the table has all." if len(levels) > 1 else ""
    return points[points[axis] == level], note


def common_levels(points: pd.DataFrame, axes: Iterable[str]) -> str:
    """Levels of the axes on which all points agree, as text for a figure's subtitle."""
    axes = list(axes)
    differing_axes = set(varying_axes(points, axes))
    return ", ".join(
        axis_level_label(axis, axis_levels(points, axis)[0])
        for axis in axes
        if axis not in differing_axes and len(points)
    )


def axis_level_label(axis: str, level: str) -> str:
    """Label of a level with its axis: `RTX 4090`, `speculation ngram:2`."""
    return clip(level if axis in _NAMED else f"{axis} {level}", 60)


def short_level_label(axis: str, value: object) -> str:
    """Label of a level, with its axis where it does not name itself: `fp8`, `1 thread`, `speculation 8`."""
    level = level_label(value)
    if axis == "threads":
        return f"{level} {'thread' if level == '1' else 'threads'}"
    named = axis in _NAMING_THEMSELVES and level not in NO_EFFECT and level[:1].isalpha()
    return level if named and level not in ("true", "false") else axis_level_label(axis, level)


def _distance(key: tuple[str, ...], axes: list[str], order: dict[str, list[str]], settings: Settings) -> int:
    """Number of axes on which the combination differs from the baseline, or else from the first level."""
    baseline = [settings.baseline_level(axis) or order[axis][0] for axis in axes]
    return sum(level != base for level, base in zip(key, baseline, strict=True))
