"""Rows chosen by their place on the axes: values, lists of values, and ranges such as `> 256`."""

import operator
import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from servegrid.report.published import known_name
from servegrid.report.settings import Settings
from servegrid.results.axes import level_label

_RANGE = re.compile(r"\s*(<=|>=|<|>)\s*([0-9.]+)\s*")
_COMPARE = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def chosen(rows: pd.DataFrame, selector: Mapping[str, Any], settings: Settings) -> "pd.Series[bool]":
    """Mask of the rows that have, on every axis of `selector`, one of its values. An axis that rows lack chooses none."""
    mask = pd.Series(True, rows.index)
    for axis, wanted in selector.items():
        if axis not in rows:
            return pd.Series(False, rows.index)
        values = [_named(axis, value, settings) for value in (wanted if isinstance(wanted, list) else [wanted])]
        levels = [
            found for found in rows[axis].unique() if any(_fits(n, v) for n in _names(axis, found) for v in values)
        ]
        mask &= rows[axis].isin(levels)
    return mask


def _names(axis: str, found: Any) -> set[str]:
    """What a level goes by: the speculation `ngram:2` also by its length."""
    name = level_label(found)
    return {name, name.rpartition(":")[2]} if axis == "speculation" else {name}


def _named(axis: str, value: Any, settings: Settings) -> str:
    names = {"engine": settings.engine_words, "gpu": settings.device_words}
    return known_name(str(value), names[axis]) if axis in names else level_label(value)


def _fits(found: str, wanted: str) -> bool:
    limit = _RANGE.fullmatch(wanted)
    if limit is None:
        return found == wanted
    try:
        return bool(_COMPARE[limit[1]](float(found), float(limit[2])))
    except ValueError:
        return False
