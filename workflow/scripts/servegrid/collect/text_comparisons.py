"""Which points' texts are held against which, and what the comparison says in columns and warnings."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from servegrid.collect.measured_load import Measured
from servegrid.collect.row_cache import RowCache
from servegrid.metrics import texts
from servegrid.plan.grid import Grid, Point, matches
from servegrid.results.axes import NO_EFFECT
from servegrid.results.warnings import RowWarning

Row = dict[str, Any]
Sessions = Callable[[Point], Sequence[Measured]]
CHANGES = {
    "speculation": {
        "changed": RowWarning.SPECULATION_CHANGES_TEXTS,
        "unclear": RowWarning.SPECULATION_MAY_CHANGE_TEXTS,
    },
    "quantization": {
        "changed": RowWarning.QUANTIZATION_CHANGES_TEXTS,
        "unclear": RowWarning.QUANTIZATION_MAY_CHANGE_TEXTS,
    },
}
"""Feature -> what a verdict on the texts with and without it leads to; others lead to none."""
FEATURES = tuple(CHANGES)
FLOORED = ("divergence_characters_p50", "text_distance")


class Comparisons:
    """The baseline's texts and those of each point's counterparts: the same point without speculation, without quantization."""

    def __init__(self, grid: Grid, sessions: Sessions, cache: RowCache) -> None:
        self._grid, self._sessions, self._cache = grid, sessions, cache
        self._by_axes = {_key(point.axes): point for point in grid.points}
        self._baseline = next((point for point in grid.points if self._is_baseline(point)), None)
        self._base = sessions(self._baseline) if self._baseline else []

    def _is_baseline(self, point: Point) -> bool:
        wanted = self._grid.config.report.baseline or {"speculation": ["none", 0], "quantization": "none"}
        return matches(point.axes, wanted) and bool(self._sessions(point))

    def columns(self, point: Point, measured: Sequence[Measured]) -> Row:
        """Agreement, first divergence, distance and garble of the point, and the same of the baseline's own repeats as floor."""
        if self._baseline is None:
            return {}
        base, *again = self._base
        own = again if point is self._baseline else measured
        found, floor = self._compare(own, base), self._compare(again, base)
        row: Row = {name: found[name] for name in ("agreement", *FLOORED, "garble")}
        return row | {"agreement_floor": floor["agreement"]} | {f"{name}_floor": floor[name] for name in FLOORED}

    def warnings(self, point: Point, row: Row) -> list[RowWarning]:
        """What the texts say against the point; of a feature only at temperature 0, where texts should not change."""
        found = [RowWarning.GARBLED_TEXTS] if (row.get("garble") or 0) >= texts.GARBLED else []
        if point.load.options.temperature == 0:
            found += [warning for feature in FEATURES if (warning := self._of_feature(point, feature))]
        return found

    def _of_feature(self, point: Point, feature: str) -> RowWarning | None:
        counterpart, measured = self._counterpart(point, feature), self._sessions(point)
        theirs = self._sessions(counterpart) if counterpart else []
        if not theirs or not measured:
            return None
        base, *again = theirs
        what = [feature, "beyond", len(again)]
        files = _files([base, *again, *measured])
        verdict = self._cache.get(what, files, lambda: _beyond(measured, base, again))
        return CHANGES[feature].get(verdict)

    def _counterpart(self, point: Point, feature: str) -> Point | None:
        """The same point with the feature off; None if it is off already or the grid has no such point."""
        if str(point.axes[feature]) in NO_EFFECT:
            return None
        keys = (_key({**point.axes, feature: off}) for off in NO_EFFECT)
        return next((self._by_axes[key] for key in keys if key in self._by_axes), None)

    def _compare(self, measured: Sequence[Measured], base: Measured) -> Row:
        files = _files([base, *measured])
        found: Row = self._cache.get(["compare", len(measured)], files, lambda: _compared(measured, base))
        return found


def _compared(measured: Sequence[Measured], base: Measured) -> Row:
    found = texts.compare([one.answers for one in measured], base.answers)
    return {name: getattr(found, name) for name in ("agreement", *FLOORED, "garble")}


def _beyond(measured: Sequence[Measured], base: Measured, again: Sequence[Measured]) -> str:
    if not again:  # nobody knows what changes by itself
        changed = texts.compare([measured[0].answers], base.answers, read_texts=False).changed
        return "unclear" if any(changed.values()) else "same"
    sessions = min(len(measured), len(again))
    changed, floor = (
        texts.compare([one.answers for one in which[:sessions]], base.answers, read_texts=False).changed
        for which in (measured, again)
    )
    if not changed or not floor:
        return "unknown"
    return {True: "changed", False: "same", None: "unclear"}[texts.beyond(changed, floor)]


def _files(measured: Sequence[Measured]) -> list[Any]:
    return [path for one in measured for path in one.text_files]


def _key(axes: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(map(str, axes.values()))
