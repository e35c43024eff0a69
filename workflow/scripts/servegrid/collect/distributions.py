"""Distributions of each point's latencies: one row per point, latency and percentile, with the range over its sessions."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from servegrid.results import columns

Row = dict[str, Any]
DISTRIBUTION_COLUMNS = ("server_id", "load_id", "latency", "percent", "ms", "ms_low", "ms_high")
"""Columns of results/distributions, after the axes. `ms_low` and `ms_high` are the lowest and highest of the sessions; unknown with fewer
than two, and where one of them has too few values for the percentile."""


def distribution_rows(
    row: Mapping[str, Any], sessions: Sequence[Mapping[str, Any]], axes: Iterable[str]
) -> Iterator[Row]:
    """Yield the rows of a point, of the percentiles that are known.

    Args:
        row: the point's row, with `distributions` as in aggregate.aggregate_loads.
        sessions: the rows of its sessions, likewise.
        axes: names of the grid's axes.
    """
    keys = {name: row.get(name) for name in (*axes, "server_id", "load_id")}  # a point that was skipped has no ids
    for latency, pooled in row.get("distributions", {}).items():
        by_session = zip(*(session["distributions"][latency] for session in sessions), strict=True)
        for percent, ms, values in zip(columns.DISTRIBUTION_PERCENTILES, pooled, by_session, strict=True):
            if ms is not None:
                yield keys | {"latency": latency, "percent": float(percent), "ms": ms} | _range(values)


def _range(values: Sequence[float | None]) -> Row:
    """Lowest and highest value of the sessions; {} with fewer than two, or where one does not know it."""
    known_values = [value for value in values if value is not None]
    if not 1 < len(known_values) == len(values):
        return {}
    return {"ms_low": min(known_values), "ms_high": max(known_values)}
