"""Speed-up by a feature: of each level of one axis over the level without it."""

import numpy as np
import pandas as pd

from servegrid.report.drawing.curves import Measure
from servegrid.report.settings import Settings
from servegrid.report.sweep_model import evident_model, sweep_model
from servegrid.results.answer_lengths import LENGTH_COLUMNS, length_ratio
from servegrid.results.axes import NO_EFFECT
from servegrid.results.columns import FLAG_COLUMNS
from servegrid.results.points import COMPARABLE_STATUSES, axis_levels, client_bound_rows, drawable_rows
from servegrid.results.session_values import ID_COLUMNS, PointIds
from servegrid.stats.intervals import Estimate
from servegrid.stats.session_model import SessionModel

BY_ROUND = "time_s_by_round"
SPEEDUP = Measure("speedup", "speed-up (\N{MULTIPLICATION SIGN})", "speedup_low", "speedup_high")


def reference_level(points: pd.DataFrame, axis: str, settings: Settings) -> str:
    """Level of `axis` that others are compared with: the baseline's, or the feature off, or the first measured."""
    measured = axis_levels(points[drawable_rows(points, "time_s")], axis)
    preferred = [settings.baseline_level(axis), *NO_EFFECT]
    return next((level for level in preferred if level in measured), measured[0] if measured else "")


def time_model(points: pd.DataFrame) -> SessionModel[PointIds]:
    """Model of the times that the sessions of the points took; without values where `time_s_by_round` is not known."""
    if BY_ROUND not in points:
        return sweep_model({})
    values = {ids: rounds for ids, rounds in zip(_ids(points), points[BY_ROUND], strict=True) if rounds}
    return evident_model(points, values, "time_s")


def speedups(
    points: pd.DataFrame, axis: str, reference: str, match: tuple[str, ...], times: SessionModel[PointIds]
) -> pd.DataFrame:
    """`points` with `speedup` = time of the reference / time of the point, NaN where either is unknown or answers differ in length.

    The reference of a point agrees with it on all axes in `match`, has `axis` at `reference` and is wholly measured.
    `speedup_low` and `speedup_high` are the 95 % interval of that ratio by the model of the `times`, where it has one; the
    speed-up is then that of the sessions, too. `client_bound`, where known, says whether either of the two times
    is.
    """
    whole = drawable_rows(points, "time_s") & points["status"].isin(COMPARABLE_STATUSES)
    base = points[(points[axis] == reference) & whole].drop_duplicates(list(match))
    flags = [name for name in FLAG_COLUMNS if name in points]
    ids = [name for name in (*ID_COLUMNS, *LENGTH_COLUMNS) if name in points]
    joined = points[list(match)].merge(base[[*match, "time_s", *ids, *flags]], on=list(match), how="left")
    joined = joined.set_index(points.index)
    pairs_of_rows = zip(joined.to_dict("records"), points.to_dict("records"), strict=True)
    alike = [length_ratio(reference_row, row, "time_s") == 1 for reference_row, row in pairs_of_rows]
    good = drawable_rows(points, "time_s") & np.array(alike, dtype=bool)
    table = points.assign(speedup=(joined["time_s"] / points["time_s"]).where(good, np.nan))
    table = table.assign(**({"client_bound": client_bound_rows(points) | client_bound_rows(joined)} if flags else {}))
    estimates = [_session_ratio(times, *pair) for pair in zip(_ids(joined), _ids(points), strict=True)]
    for name, part in (("speedup", "value"), ("speedup_low", "low"), ("speedup_high", "high")):
        session_values = pd.Series(
            [getattr(estimate, part, None) for estimate in estimates], points.index, dtype="float64"
        )
        without_sessions = table["speedup"] if part == "value" else np.nan
        table[name] = session_values.where(session_values.notna() & good, without_sessions)
    return table


def _ids(rows: pd.DataFrame) -> list[PointIds]:
    """Server id and load id of the rows; empty where they are not known."""
    return list(zip(*(rows.get(name, pd.Series("", rows.index)).fillna("") for name in ID_COLUMNS), strict=True))


def _session_ratio(times: SessionModel[PointIds], reference: PointIds, point: PointIds) -> Estimate | None:
    """Ratio of the reference's times to the point's over sessions; None where there are none, or only one."""
    known = all(len(times.values.get(ids, {})) > 1 for ids in (reference, point))
    return times.ratio(reference, point) if known else None
