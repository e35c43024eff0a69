"""Selection of rows by their values on the axes: values, lists of values, and ranges such as `> 256`."""

import operator
import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from servegrid.report.published import config_name
from servegrid.report.settings import Settings
from servegrid.results.axes import level_label

_RANGE = re.compile(r"\s*(<=|>=|<|>)\s*([0-9.]+)\s*")
_COMPARE = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def matching_rows(rows: pd.DataFrame, selector: Mapping[str, Any], settings: Settings) -> "pd.Series[bool]":
    """Mask of the rows that have, on every axis of `selector`, one of its values; none if the rows lack an axis."""
    mask = pd.Series(True, rows.index)
    for axis, selected in selector.items():
        if axis not in rows:
            return pd.Series(False, rows.index)
        selected_levels = [
            _selected_level(axis, value, settings) for value in (selected if isinstance(selected, list) else [selected])
        ]
        matching_levels = [
            level
            for level in rows[axis].unique()
            if any(
                _matches(alias, selected_level)
                for alias in _level_aliases(axis, level)
                for selected_level in selected_levels
            )
        ]
        mask &= rows[axis].isin(matching_levels)
    return mask


def _level_aliases(axis: str, level: Any) -> set[str]:
    """Names of a level: the speculation `ngram:2` also by its length."""
    name = level_label(level)
    return {name, name.rpartition(":")[2]} if axis == "speculation" else {name}


def _selected_level(axis: str, value: Any, settings: Settings) -> str:
    """A level of the selector as the rows spell it: engines and devices by the config's names."""
    aliases_by_axis = {"engine": settings.engine_aliases, "gpu": settings.device_aliases}
    return config_name(str(value), aliases_by_axis[axis]) if axis in aliases_by_axis else level_label(value)


def _matches(level: str, selected: str) -> bool:
    """Whether the level is the selected one, or within the selected range."""
    limit = _RANGE.fullmatch(selected)
    if limit is None:
        return level == selected
    try:
        return bool(_COMPARE[limit[1]](float(level), float(limit[2])))
    except ValueError:
        return False
