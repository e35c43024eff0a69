"""Published tables: rows measured by others, in the columns of the points and with the status `published`."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from servegrid.report.settings import DEVICE_SHARE_KEYS, Settings
from servegrid.results.axes import NO_EFFECT, level_label
from servegrid.results.columns import NUMBER_COLUMNS
from servegrid.results.points import COMPARABLE_STATUSES, PUBLISHED, client_bound_rows
from servegrid.util.files import named_or_shipped

REQUIRED_COLUMNS = ("gpu", "engine", "threads", "time_s")
AXIS_DEFAULTS = {"speculation": "none", "quantization": "none", "runs_at_once": "1"}
AXIS_DEFAULTS |= dict.fromkeys(DEVICE_SHARE_KEYS, "1")
"""Level of an axis where a table, or the grid, does not have it: no feature, the whole device, one server on it."""
PUBLISHED_ONLY_AXES = ("memory_fraction", "runs_at_once")
"""Axes that published tables can have beyond the five of every grid."""


def read_published(path: Path) -> pd.DataFrame:
    """Rows of a published table, one per line of a CSV file.

    Columns: gpu, engine, threads, time_s; and optionally source (else the file's name), vram as `used/total` in GiB,
    speculation, quantization, runs_at_once (servers on the device), and any number of the result table by its name.
    `memory_fraction` is used / total. `runs_at_once` is an axis of published rows alone: servers on one device that
    each answer all prompts, whereas the servers of a grid (`sharing`) divide them.

    Raises:
        ValueError: a column is missing or a value is no number; the text names the file, the line and what is allowed.
    """
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if missing := [name for name in REQUIRED_COLUMNS if name not in table]:
        raise ValueError(f"{path}: lacks the columns {', '.join(missing)} (needed: {', '.join(REQUIRED_COLUMNS)})")
    rows = [_published_row(raw, f"{path}, line {number}") for number, raw in enumerate(table.to_dict("records"), 2)]
    source = table["source"].replace("", path.stem) if "source" in table else pd.Series(path.stem, table.index)
    if "measured" in set(source):
        raise ValueError(f"{path}: source = 'measured' is what servegrid calls its own rows; name the publication")
    return pd.DataFrame(rows).assign(source=source.to_list(), status=PUBLISHED)


def with_published(points: pd.DataFrame, settings: Settings) -> tuple[pd.DataFrame, Settings]:
    """The points with the rows of the published tables, and the settings with the axes of both.

    A published row follows the measured row of the same point, or else is at the end. One beside a measured row has
    `over_published`, the measured time / the published time. Axes that only the published tables have are added to the
    settings where the rows differ on them.
    """
    if not settings.published:
        return points, settings
    published = pd.concat([read_published(named_or_shipped(path)) for path in settings.published], ignore_index=True)
    published = _with_config_names(published, settings)
    added_axes = tuple(
        axis for axis in PUBLISHED_ONLY_AXES if axis not in settings.axes and published[axis].nunique() > 1
    )
    settings = replace(settings, axes=(*settings.axes, *added_axes))
    fixed_levels = AXIS_DEFAULTS | {axis: level_label(value) for axis, value in settings.server.items()}
    missing_axes = [axis for axis in settings.axes if axis not in published]
    published = published.assign(**{axis: AXIS_DEFAULTS.get(axis) for axis in missing_axes})
    points = points.assign(**{axis: fixed_levels[axis] for axis in added_axes}, source="")
    return _merged_rows(points, published, settings.all_axes, fixed_levels), settings


def with_published_labels(points: pd.DataFrame) -> pd.DataFrame:
    """Points for figures: the engine of a published row gets the word and the source, and so a series of its own."""
    if "source" not in points:
        return points
    engine_labels = points["engine"].astype(str) + f" ({PUBLISHED}: " + points["source"].astype(str) + ")"
    return points.assign(engine=points["engine"].where(points["status"] != PUBLISHED, engine_labels))


def _published_row(raw: Mapping[Any, str], where: str) -> dict[str, Any]:
    """One line of a published table in the columns of the points."""
    used, total = _used_and_total_gib(raw.get("vram", ""), where)
    row: dict[str, Any] = {
        "gpu": raw["gpu"],
        "engine": raw["engine"].lower(),
        "threads": _positive_number(raw, "threads", where),
    }
    row |= {axis: raw.get(axis) or AXIS_DEFAULTS[axis] for axis in ("speculation", "quantization")}
    row |= {"memory_fraction": level_label(used / total) if total > 0 else AXIS_DEFAULTS["memory_fraction"]}
    row |= {
        "runs_at_once": raw.get("runs_at_once") or AXIS_DEFAULTS["runs_at_once"],
        "vram_used_gib": used,
        "vram_total_gib": total,
    }
    return row | {name: _positive_number(raw, name, where) for name in NUMBER_COLUMNS if raw.get(name)}


def _positive_number(raw: Mapping[Any, str], name: str, where: str) -> float:
    try:
        value = float(raw[name])
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value <= 0:
        raise ValueError(f"{where}: {name} = {raw[name]!r}: must be a number above zero")
    return value


def _used_and_total_gib(text: str, where: str) -> tuple[float, float]:
    """Used and total memory from `24/48` -> (24.0, 48.0); NaN where empty."""
    if not text:
        return math.nan, math.nan
    try:
        used, total = map(float, text.split("/"))
    except ValueError:
        used, total = 0.0, 0.0
    if not 0 < used <= total < math.inf:
        raise ValueError(f"{where}: vram = {text!r}: must be used/total in GiB, such as 24/48")
    return used, total


def _with_config_names(published: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Published rows with the config's names of engines and devices: `A6000` is the device `a6000`, or `RTX A6000`."""
    aliases_by_axis = {"engine": settings.engine_aliases, "gpu": settings.device_aliases}
    return published.assign(
        **{axis: [config_name(name, aliases) for name in published[axis]] for axis, aliases in aliases_by_axis.items()}
    )


def config_name(name: str, aliases: Mapping[str, str]) -> str:
    """The only key of `aliases` that is `name`, or else whose aliases contain it; else `name` itself."""
    exact = [key for key in aliases if key.casefold() == name.casefold()]
    matches = exact or [key for key, text in aliases.items() if name.casefold() in text.casefold().split()]
    return matches[0] if len(matches) == 1 else name


def _merged_rows(
    points: pd.DataFrame, published: pd.DataFrame, axes: Iterable[str], fixed_levels: Mapping[str, str]
) -> pd.DataFrame:
    """Measured and published rows, each published one with `over_published`, behind the measured one of its point.

    Points are the same if they agree on every axis, and on each of DEVICE_SHARE_KEYS that is no axis but fixed for all
    points. A time counts only if its row is whole and not client-bound.
    """
    key_axes = [*axes, *(axis for axis in DEVICE_SHARE_KEYS if axis not in axes)]
    spelled = published.assign(speculation=_with_measured_spelling(published["speculation"], points["speculation"]))
    keys = [_point_keys(points, key_axes, fixed_levels), _point_keys(spelled, key_axes, AXIS_DEFAULTS)]
    place = {key: number for number, key in reversed(list(enumerate(keys[0])))}
    measured_places = [place.get(key) for key in keys[1]]
    valid_times = points["time_s"].where(
        points["status"].isin(COMPARABLE_STATUSES) & ~client_bound_rows(points.reindex(columns=["client_bound"]))
    )
    times = [math.nan if n is None else float(valid_times.iloc[n]) for n in measured_places]
    published = published.assign(
        over_published=[time / published_s for time, published_s in zip(times, published["time_s"], strict=True)]
    )
    order = [*map(float, range(len(points))), *(float(len(points)) if n is None else n + 0.5 for n in measured_places)]
    both = pd.concat([points.astype(object), published.astype(object)], ignore_index=True)
    return both.iloc[sorted(range(len(both)), key=order.__getitem__)].reset_index(drop=True)


def _with_measured_spelling(published: "pd.Series[Any]", measured: "pd.Series[Any]") -> "pd.Series[Any]":
    """Speculation levels as the points spell them: `2` is `ngram:2` where that is the only kind of that length."""
    levels = list(dict.fromkeys(map(level_label, measured)))
    off = next((level for level in levels if level in NO_EFFECT), NO_EFFECT[0])
    kinds = {length: [level for level in levels if level.endswith(f":{length}")] for length in published.unique()}
    single = {
        length: same_length[0]
        for length, same_length in kinds.items()
        if len(same_length) == 1 and length not in levels
    }
    return published.replace(single | dict.fromkeys(NO_EFFECT, off))


def _point_keys(rows: pd.DataFrame, axes: Iterable[str], defaults: Mapping[str, str]) -> "pd.Series[Any]":
    """Tuples of the rows' labels on `axes`; an axis that is no column has its level in `defaults`."""
    columns = (rows[axis].map(level_label) if axis in rows else [defaults[axis]] * len(rows) for axis in axes)
    return pd.Series(list(zip(*columns, strict=True)), dtype=object)
