"""Comparisons of points' texts with those of other points, as columns and warnings."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from servegrid.collect.measured_load import MeasuredLoad
from servegrid.collect.row_cache import RowCache
from servegrid.metrics import texts
from servegrid.plan.grid import LOAD_AXES, Grid, Point, matches
from servegrid.results.axes import NO_EFFECT
from servegrid.results.warnings import RowWarning

Row = dict[str, Any]
Sessions = Callable[[Point], Sequence[MeasuredLoad]]
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
"""Feature -> verdict on the texts with and without it -> warning; other verdicts lead to none."""
FEATURES = tuple(CHANGES)
FLOORED_COLUMNS = ("divergence_characters_p50", "text_distance")
"""Columns that have one more beside them for the baseline's own repeats."""


class TextComparisons:
    """Compares the texts of a point with the baseline's, and with those of the same point without speculation or quantization."""

    def __init__(self, grid: Grid, sessions: Sessions, cache: RowCache) -> None:
        self._grid, self._sessions, self._cache = grid, sessions, cache
        self._by_axes = {_key(point.axes): point for point in grid.points}
        self._baseline = next((point for point in grid.points if self._is_baseline(point)), None)
        self._baseline_loads = sessions(self._baseline) if self._baseline else []

    def _is_baseline(self, point: Point) -> bool:
        baseline = self._grid.config.report.baseline or {"speculation": list(NO_EFFECT), "quantization": "none"}
        return matches(point.axes, baseline) and bool(self._sessions(point))

    def columns(self, point: Point, measured: Sequence[MeasuredLoad]) -> Row:
        """Agreement, first divergence, distance and garble of the point, with those of the baseline's own repeats as floor."""
        if self._baseline is None:
            return {}
        floor = self._compare(self._baseline_loads[1:], self._baseline_loads[:1])
        sameness = floor if point is self._baseline else self._compare(measured, self._originals(point, measured))
        if point.load.options.temperature != self._baseline.load.options.temperature:
            sameness = sameness | {"garble": None}  # greedy answers loop more often, and are none the worse for it
        return sameness | {f"{name}_floor": floor[name] for name in ("agreement", *FLOORED_COLUMNS)}

    def _originals(self, point: Point, measured: Sequence[MeasuredLoad]) -> Sequence[MeasuredLoad]:
        """Loads of the baseline that those of a point are held against: of a salted load, the same load of the baseline's server."""
        assert self._baseline is not None
        if not measured[0].is_salted:
            return self._baseline_loads[:1]
        of_load = {axis: value for axis, value in point.axes.items() if axis in LOAD_AXES}
        same_load = self._by_axes.get(_key({**self._baseline.axes, **of_load}))
        same_prompts = self._sessions(same_load) if same_load not in (None, point) else []
        return _with_all_prompts(same_prompts or self._baseline_loads)

    def warnings(self, point: Point, row: Row) -> list[RowWarning]:
        """Warnings about the point's texts; about a feature only at temperature 0, where it should not change them."""
        warnings = [RowWarning.GARBLED_TEXTS] if row.get("garble") else []
        if point.load.options.temperature == 0:
            warnings += [warning for feature in FEATURES if (warning := self._feature_warning(point, feature))]
        return warnings

    def _feature_warning(self, point: Point, feature: str) -> RowWarning | None:
        """Warning if the texts are others than without the feature; None if they are not, or nothing is known."""
        counterpart, measured = self._counterpart(point, feature), self._sessions(point)
        without = self._sessions(counterpart) if counterpart else []
        if not without or not measured:
            return None
        first, *repeats = without
        key = [feature, "beyond", len(repeats)]
        files = _text_files([*without, *measured])
        verdict = self._cache.get(key, files, lambda: _verdict(measured, first, repeats))
        return CHANGES[feature].get(verdict)

    def _counterpart(self, point: Point, feature: str) -> Point | None:
        """Point that is the same with the feature off; None if it is off already or the grid has no such point."""
        if str(point.axes[feature]) in NO_EFFECT:
            return None
        keys = (_key({**point.axes, feature: off}) for off in NO_EFFECT)
        return next((self._by_axes[key] for key in keys if key in self._by_axes), None)

    def _compare(self, measured: Sequence[MeasuredLoad], baseline: Sequence[MeasuredLoad]) -> Row:
        """Compare loads with those of the baseline, or take the result from the cache."""
        files = _text_files([*baseline, *measured])
        sameness: Row = self._cache.get(["compare", len(measured)], files, lambda: _sameness(measured, baseline))
        return sameness


def _with_all_prompts(loads: Sequence[MeasuredLoad]) -> Sequence[MeasuredLoad]:
    """Loads of a point that have all prompts of them: the first, or all, if they are salted and have none in common."""
    return loads if loads[0].is_salted else loads[:1]


def _joined_answers(loads: Sequence[MeasuredLoad]) -> texts.Answers:
    return texts.Answers.joined([load.answers for load in loads])


def _sameness(measured: Sequence[MeasuredLoad], baseline: Sequence[MeasuredLoad]) -> Row:
    """Sameness of the loads' texts with the baseline's, by column."""
    sameness = texts.compare_texts([load.answers for load in measured], _joined_answers(baseline))
    return {name: getattr(sameness, name) for name in ("agreement", *FLOORED_COLUMNS, "garble")}


def _verdict(measured: Sequence[MeasuredLoad], first: MeasuredLoad, repeats: Sequence[MeasuredLoad]) -> str:
    """Verdict on the texts with a feature: `changed`, `unclear`, `same` or `unknown`.

    Args:
        measured: loads with the feature.
        first: the first load without it.
        repeats: its repeats, which show what changes by itself.
    """
    if not repeats or first.is_salted:  # nobody knows what changes by itself
        originals = _joined_answers(_with_all_prompts([first, *repeats]))
        answers = [load.answers for load in measured[: len(repeats) + 1]]
        changed = texts.compare_texts(answers, originals, read_texts=False).changed
        return "unclear" if any(changed.values()) else "same"
    sessions = min(len(measured), len(repeats))
    changed, floor = (
        texts.compare_texts([load.answers for load in loads[:sessions]], first.answers, read_texts=False).changed
        for loads in (measured, repeats)
    )
    if not changed or not floor:
        return "unknown"
    return {True: "changed", False: "same", None: "unclear"}[texts.exceeds_floor(changed, floor)]


def _text_files(measured: Sequence[MeasuredLoad]) -> list[Any]:
    return [path for load in measured for path in load.text_files]


def _key(axes: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(map(str, axes.values()))
