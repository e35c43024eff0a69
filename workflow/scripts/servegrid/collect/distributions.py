"""How the latencies of each point are distributed: one row per point, latency and percentile, with the range over its sessions."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from servegrid.results import columns

Row = dict[str, Any]
COLUMNS = ("server_id", "load_id", "latency", "percent", "ms", "ms_low", "ms_high")
"""Of results/distributions, after the axes. `ms_low` and `ms_high` are the lowest and highest of the sessions; unknown with fewer
than two, and where one of them has too few values for the percentile."""


def of_point(row: Mapping[str, Any], sessions: Sequence[Mapping[str, Any]], axes: Iterable[str]) -> Iterator[Row]:
    """The rows of a point; only percentiles that are known.

    Args:
        row: the point's row, with `distributions` as rows.numbers gives them.
        sessions: the rows of its sessions, likewise.
        axes: names of the grid's axes.
    """
    place = {name: row.get(name) for name in (*axes, "server_id", "load_id")}  # a point that was skipped has no ids
    for latency, known in row.get("distributions", {}).items():
        each = zip(*(one["distributions"][latency] for one in sessions), strict=True)
        for percent, ms, values in zip(columns.DISTRIBUTION, known, each, strict=True):
            if ms is not None:
                yield place | {"latency": latency, "percent": float(percent), "ms": ms} | _range(values)


def _range(values: Sequence[float | None]) -> Row:
    known = [value for value in values if value is not None]
    return {"ms_low": min(known), "ms_high": max(known)} if 1 < len(known) == len(values) else {}
