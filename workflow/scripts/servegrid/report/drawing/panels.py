"""Which points stand in which panel, and the words for what panels have in common or leave out."""

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
"""Axes whose levels say what they are, unless they are bare numbers: `ngram:8`, `fp8`, but `speculation 8`."""
_NAMED = ("engine", "gpu")
"""Axes whose values speak for themselves; the others' values are shown with the axis' name."""


@dataclass(frozen=True)
class Panel:
    """One of the small multiples: where it stands on the axes that tell panels apart, and its points."""

    place: dict[str, str]
    points: pd.DataFrame

    @property
    def title(self) -> str:
        """The panel's place in words, empty for the only panel; it breaks between axes only."""
        return ", ".join(at(axis, level).replace(" ", NO_BREAK_SPACE) for axis, level in self.place.items())


def split(
    points: pd.DataFrame, axes: Sequence[str], settings: Settings, drawn: "pd.Series[bool]", limit: int = MAX_PANELS
) -> tuple[list[Panel], str]:
    """One panel per combination on `axes` with a row in mask `drawn`, and a note if some had to be left out.

    At most `limit` are kept: one per GPU, then those that differ from the baseline, or else from the first level, on the fewest
    axes; what was measured goes before what was only published.
    """
    worth = drawn.loc[points.index].groupby([points[axis] for axis in axes]).transform("any")
    points = points[worth]
    apart = varying_axes(points, axes)
    if not apart:
        return [Panel({}, points)], ""
    order = {axis: axis_levels(points, axis) for axis in apart}
    found = {tuple(map(str, key)): group for key, group in points.groupby(apart, sort=False) if isinstance(key, tuple)}
    keys = sorted(found, key=lambda key: [order[axis].index(level) for axis, level in zip(apart, key, strict=True)])
    mine = drawn & points["status"].isin(DRAWN_STATUSES) & (points["status"] != PUBLISHED)
    own = {key: bool(mine.loc[group.index].any()) for key, group in found.items()}
    ranked = sorted(keys, key=lambda key: (not own[key], _distance(key, apart, order, settings)))
    kept = set(_one_each(ranked, apart)[:limit])
    panels = [Panel(dict(zip(apart, key, strict=True)), found[key]) for key in keys if key in kept]
    each = ", of each GPU at least one" if "gpu" in apart and limit >= len(order["gpu"]) else ""
    note = f"Shown: the {limit} of {len(keys):,} combinations nearest to the baseline{each}; the table has all points."
    return panels, note if len(keys) > limit else ""


def _one_each(ranked: Sequence[tuple[str, ...]], axes: Sequence[str]) -> list[tuple[str, ...]]:
    """The ranked places, but the best of every GPU before all others."""
    if "gpu" not in axes:
        return list(ranked)
    best: dict[str, tuple[str, ...]] = {}
    for key in ranked:
        best.setdefault(key[list(axes).index("gpu")], key)
    return list(dict.fromkeys([*best.values(), *ranked]))


def columns_for(panels: Sequence[Panel]) -> int:
    """How many panels to set side by side so that, where it can be, rows and columns follow the axes."""
    if not panels or not panels[0].place:
        return 1
    innermost = list(panels[0].place)[-1]
    levels_there = len({panel.place[innermost] for panel in panels})
    for columns in (3, 4, 2) if len(panels) > 4 else (3, 2):
        if len(panels) % columns == 0 and (columns % levels_there == 0 or levels_there % columns == 0):
            return columns
    return min(3, len(panels))


def hold(points: pd.DataFrame, axis: str, settings: Settings, mask: "pd.Series[bool]") -> tuple[pd.DataFrame, str]:
    """Only the points at one level of `axis`, and a note naming it if there are other levels.

    The level is the baseline's, or else the feature being off, or else the level with most points in `mask`.
    """
    found = axis_levels(points, axis)
    counts = points.loc[mask, axis].value_counts()
    wanted = [settings.baseline_level(axis), found[0] if found else None, *counts.index]
    level = next((level for level in wanted if level in counts.index), found[0] if found else "")
    note = f"Only points with {at(axis, level)}; the table has all." if len(found) > 1 else ""
    return points[points[axis] == level], note


def in_common(points: pd.DataFrame, axes: Iterable[str]) -> str:
    """The axes on which all points agree, in words, for a figure's subtitle."""
    axes = list(axes)
    apart = set(varying_axes(points, axes))
    return ", ".join(at(axis, axis_levels(points, axis)[0]) for axis in axes if axis not in apart and len(points))


def at(axis: str, level: str) -> str:
    """A level of an axis in words: `RTX 4090`, `speculation ngram:2`."""
    return clip(level if axis in _NAMED else f"{axis} {level}", 60)


def in_words(axis: str, value: object) -> str:
    """A level, with its axis where it does not name itself: `fp8`, `1 thread`, `speculation 8`, `memory_fraction 0.5`."""
    level = level_label(value)
    if axis == "threads":
        return f"{level} {'thread' if level == '1' else 'threads'}"
    named = axis in _NAMING_THEMSELVES and level not in NO_EFFECT and level[:1].isalpha()
    return level if named and level not in ("true", "false") else at(axis, level)


def _distance(key: tuple[str, ...], axes: list[str], order: dict[str, list[str]], settings: Settings) -> int:
    home = [settings.baseline_level(axis) or order[axis][0] for axis in axes]
    return sum(level != base for level, base in zip(key, home, strict=True))
