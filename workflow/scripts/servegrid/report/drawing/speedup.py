"""Speed-up by a feature: of each level of one axis over the level without it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from servegrid.report.drawing.curves import Measure
from servegrid.report.settings import Settings
from servegrid.results.axes import NO_EFFECT
from servegrid.results.columns import FLAG_COLUMNS
from servegrid.results.points import COMPARABLE_STATUSES, axis_levels, client_bound_rows, drawable_rows
from servegrid.stats.intervals import Estimate, ratio

BY_ROUND = "time_s_by_round"
SPEEDUP = Measure("speedup", "speed-up (\N{MULTIPLICATION SIGN})", "speedup_low", "speedup_high")


def reference_level(points: pd.DataFrame, axis: str, settings: Settings) -> str:
    """Level of `axis` that others are compared with: the baseline's, or the feature off, or the first measured."""
    measured = axis_levels(points[drawable_rows(points, "time_s")], axis)
    preferred = [settings.baseline_level(axis), *NO_EFFECT]
    return next((level for level in preferred if level in measured), measured[0] if measured else "")


def speedups(points: pd.DataFrame, axis: str, reference: str, match: tuple[str, ...]) -> pd.DataFrame:
    """`points` with `speedup` = time of the reference / time of the point, NaN where either is unknown.

    The reference of a point agrees with it on all axes in `match`, has `axis` at `reference` and is wholly measured.
    `speedup_low` and `speedup_high` are the interval over sessions (intervals.ratio) where `time_s_by_round` is known;
    the speed-up is then that of the sessions, too. `client_bound`, where known, says whether either of the two times
    is.
    """
    whole = drawable_rows(points, "time_s") & points["status"].isin(COMPARABLE_STATUSES)
    base = points[(points[axis] == reference) & whole].drop_duplicates(list(match))
    rounds = [BY_ROUND] if BY_ROUND in points else []
    flags = [name for name in FLAG_COLUMNS if name in points]
    joined = points[list(match)].merge(base[[*match, "time_s", *rounds, *flags]], on=list(match), how="left")
    joined = joined.set_index(points.index)
    good = drawable_rows(points, "time_s")
    table = points.assign(speedup=(joined["time_s"] / points["time_s"]).where(good, np.nan))
    table = table.assign(**({"client_bound": client_bound_rows(points) | client_bound_rows(joined)} if flags else {}))
    pairs = zip(joined[BY_ROUND], points[BY_ROUND], strict=True) if rounds else [(None, None)] * len(points)
    estimates = [_session_ratio(reference_times, point_times) for reference_times, point_times in pairs]
    for name, part in (("speedup", "value"), ("speedup_low", "low"), ("speedup_high", "high")):
        session_values = pd.Series(
            [getattr(estimate, part, None) for estimate in estimates], points.index, dtype="float64"
        )
        without_sessions = table["speedup"] if part == "value" else np.nan
        table[name] = session_values.where(session_values.notna() & good, without_sessions)
    return table


def _session_ratio(reference_times: Any, point_times: Any) -> Estimate | None:
    """Ratio of the reference's session times to the point's; None where there are none, or only one."""
    if (
        not isinstance(reference_times, Mapping)
        or not isinstance(point_times, Mapping)
        or min(len(reference_times), len(point_times)) < 2
    ):
        return None
    return ratio(reference_times, point_times)
