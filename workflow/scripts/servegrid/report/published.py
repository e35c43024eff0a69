"""Published tables: rows that somebody else measured, in the columns of the points and with the status `published`."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from servegrid.report.settings import PLACE, Settings
from servegrid.results.axes import NO_EFFECT, level_label
from servegrid.results.columns import NUMBER_COLUMNS
from servegrid.results.points import COMPARABLE_STATUSES, PUBLISHED, client_bound_rows
from servegrid.util.files import named_or_shipped

NEEDED = ("gpu", "engine", "threads", "time_s")
PLAIN = {"speculation": "none", "quantization": "none", "runs_at_once": "1"}
PLAIN |= dict.fromkeys(PLACE, "1")
"""What an axis is where a table, or the grid, does not have it: no feature, the whole device, one server on it."""
OWN = ("memory_fraction", "runs_at_once")
"""Axes that published tables can have beyond the five of every grid."""


def read_published(path: Path) -> pd.DataFrame:
    """The rows of a published table, one per line of a CSV file.

    Columns: gpu, engine, threads, time_s; and optionally source (else the file's name), vram as `used/total` in GiB,
    speculation, quantization, runs_at_once (servers on the device), and any number of the result table by its name.
    `memory_fraction` is used / total. `runs_at_once` is an axis of published rows alone: servers on one device that each answer all
    prompts, where those of a grid (`sharing`) divide them.

    Raises:
        ValueError: a column is missing or a value is no number, naming the file, the line and what is allowed.
    """
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if missing := [name for name in NEEDED if name not in table]:
        raise ValueError(f"{path}: lacks the columns {', '.join(missing)} (needed: {', '.join(NEEDED)})")
    rows = [_row(raw, f"{path}, line {number}") for number, raw in enumerate(table.to_dict("records"), 2)]
    source = table["source"].replace("", path.stem) if "source" in table else pd.Series(path.stem, table.index)
    if "measured" in set(source):
        raise ValueError(f"{path}: source = 'measured' is what servegrid calls its own rows; name the publication")
    return pd.DataFrame(rows).assign(source=source.to_list(), status=PUBLISHED)


def with_published(points: pd.DataFrame, settings: Settings) -> tuple[pd.DataFrame, Settings]:
    """The points and the rows of the published tables, each after the measured row of the same point, else at the end.

    A published row beside a measured one has `over_published`, the measured time / the published time. Axes that only the
    published tables have are added to the settings where the rows differ on them.
    """
    if not settings.published:
        return points, settings
    published = pd.concat([read_published(named_or_shipped(path)) for path in settings.published], ignore_index=True)
    published = _renamed(published, settings)
    axes = tuple(axis for axis in OWN if axis not in settings.axes and published[axis].nunique() > 1)
    settings = replace(settings, axes=(*settings.axes, *axes))
    fixed = PLAIN | {axis: level_label(value) for axis, value in settings.server.items()}
    lacking = [axis for axis in settings.axes if axis not in published]
    published = published.assign(**{axis: PLAIN.get(axis) for axis in lacking})
    points = points.assign(**{axis: fixed[axis] for axis in axes}, source="")
    return _beside(points, published, settings.all_axes, fixed), settings


def marked(points: pd.DataFrame) -> pd.DataFrame:
    """For figures: the engine of a published row with the word and the source, so that it is a series of its own."""
    if "source" not in points:
        return points
    words = points["engine"].astype(str) + f" ({PUBLISHED}: " + points["source"].astype(str) + ")"
    return points.assign(engine=points["engine"].where(points["status"] != PUBLISHED, words))


def _row(raw: Mapping[Any, str], where: str) -> dict[str, Any]:
    used, total = _memory(raw.get("vram", ""), where)
    row: dict[str, Any] = {
        "gpu": raw["gpu"],
        "engine": raw["engine"].lower(),
        "threads": _number(raw, "threads", where),
    }
    row |= {axis: raw.get(axis) or PLAIN[axis] for axis in ("speculation", "quantization")}
    row |= {"memory_fraction": level_label(used / total) if total > 0 else PLAIN["memory_fraction"]}
    row |= {
        "runs_at_once": raw.get("runs_at_once") or PLAIN["runs_at_once"],
        "vram_used_gib": used,
        "vram_total_gib": total,
    }
    return row | {name: _number(raw, name, where) for name in NUMBER_COLUMNS if raw.get(name)}


def _number(raw: Mapping[Any, str], name: str, where: str) -> float:
    try:
        value = float(raw[name])
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value <= 0:
        raise ValueError(f"{where}: {name} = {raw[name]!r}: must be a number above zero")
    return value


def _memory(text: str, where: str) -> tuple[float, float]:
    """`24/48` -> (24.0, 48.0); unknown where empty."""
    if not text:
        return math.nan, math.nan
    try:
        used, total = map(float, text.split("/"))
    except ValueError:
        used, total = 0.0, 0.0
    if not 0 < used <= total < math.inf:
        raise ValueError(f"{where}: vram = {text!r}: must be used/total in GiB, such as 24/48")
    return used, total


def _renamed(published: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Engines and devices under the config's names where it has them: `A6000` is the device `a6000`, or `RTX A6000`."""
    named = {"engine": settings.engine_words, "gpu": settings.device_words}
    return published.assign(
        **{axis: [known_name(name, known) for name in published[axis]] for axis, known in named.items()}
    )


def known_name(name: str, known: Mapping[str, str]) -> str:
    """The only key of `known` that is `name`, or else whose words have it; `name` itself if there is none, or several."""
    exact = [key for key in known if key.casefold() == name.casefold()]
    words = exact or [key for key, text in known.items() if name.casefold() in text.casefold().split()]
    return words[0] if len(words) == 1 else name


def _beside(
    points: pd.DataFrame, published: pd.DataFrame, axes: Iterable[str], fixed: Mapping[str, str]
) -> pd.DataFrame:
    """The same point is one with the same value on every axis, and on what is no axis but fixed for all points.

    A time stands for the point only if the row is whole and the client did not set it.
    """
    whole = [*axes, *(axis for axis in PLACE if axis not in axes)]
    spelled = published.assign(speculation=_spelled(published["speculation"], points["speculation"]))
    keys = [_keys(points, whole, fixed), _keys(spelled, whole, PLAIN)]
    place = {key: number for number, key in reversed(list(enumerate(keys[0])))}
    at = [place.get(key) for key in keys[1]]
    own = points["time_s"].where(
        points["status"].isin(COMPARABLE_STATUSES) & ~client_bound_rows(points.reindex(columns=["client_bound"]))
    )
    times = [math.nan if n is None else float(own.iloc[n]) for n in at]
    published = published.assign(
        over_published=[time / own for time, own in zip(times, published["time_s"], strict=True)]
    )
    order = [*map(float, range(len(points))), *(float(len(points)) if n is None else n + 0.5 for n in at)]
    both = pd.concat([points.astype(object), published.astype(object)], ignore_index=True)
    return both.iloc[sorted(range(len(both)), key=order.__getitem__)].reset_index(drop=True)


def _spelled(published: "pd.Series[Any]", measured: "pd.Series[Any]") -> "pd.Series[Any]":
    """Lengths of speculation under the only kind that the points have of that length: `2` is `ngram:2` where no other is meant."""
    levels = list(dict.fromkeys(map(level_label, measured)))
    off = next((level for level in levels if level in NO_EFFECT), NO_EFFECT[0])
    kinds = {length: [level for level in levels if level.endswith(f":{length}")] for length in published.unique()}
    single = {length: found[0] for length, found in kinds.items() if len(found) == 1 and length not in levels}
    return published.replace(single | dict.fromkeys(NO_EFFECT, off))


def _keys(rows: pd.DataFrame, axes: Iterable[str], lacking: Mapping[str, str]) -> "pd.Series[Any]":
    columns = (rows[axis].map(level_label) if axis in rows else [lacking[axis]] * len(rows) for axis in axes)
    return pd.Series(list(zip(*columns, strict=True)), dtype=object)
