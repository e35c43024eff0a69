"""How much faster a feature makes a server: speed-up of each level of one axis over the level without it."""

import numpy as np
import pandas as pd

from servegrid.report.curves import Measure
from servegrid.report.points import NO_EFFECT, WHOLE, drawable, levels
from servegrid.report.settings import Settings

SPEEDUP = Measure("speedup", "speed-up (\N{MULTIPLICATION SIGN})", "speedup_low", "speedup_high")


def reference_level(points: pd.DataFrame, axis: str, settings: Settings) -> str:
    """The level of `axis` that others are held against: the baseline's, or the feature off, or the first measured."""
    measured = levels(points[drawable(points, "time_s")], axis)
    wanted = [settings.baseline_level(axis), *NO_EFFECT]
    return next((level for level in wanted if level in measured), measured[0] if measured else "")


def speedups(points: pd.DataFrame, axis: str, reference: str, match: tuple[str, ...]) -> pd.DataFrame:
    """`points` with `speedup` = time of the reference / time of the point, NaN where either is unknown.

    The reference of a point agrees with it on all axes in `match`, has `axis` at `reference` and is wholly measured.
    `speedup_low` and `speedup_high` hold the slowest session against the reference's fastest, and the other way round.
    """
    whole = drawable(points, "time_s") & points["status"].isin(WHOLE)
    base = points[(points[axis] == reference) & whole].drop_duplicates(list(match))
    times = ["time_s", "time_s_low", "time_s_high"]
    joined = points[list(match)].merge(base[[*match, *times]], on=list(match), how="left").set_index(points.index)
    good = drawable(points, "time_s")
    return points.assign(
        speedup=(joined["time_s"] / points["time_s"]).where(good, np.nan),
        speedup_low=(joined["time_s_low"] / points["time_s_high"]).where(good, np.nan),
        speedup_high=(joined["time_s_high"] / points["time_s_low"]).where(good, np.nan),
    )
