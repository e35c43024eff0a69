"""Effect of the load client on the result: each further kind of client against the first, at points otherwise equal."""

from collections.abc import Iterator
from dataclasses import dataclass

from servegrid.report.evidence import Evidence
from servegrid.results.axes import level_label
from servegrid.results.points import axis_levels
from servegrid.stats.intervals import Estimate, bonferroni_level

AXIS = "client"


@dataclass(frozen=True)
class ClientEffect:
    """How many times shorter the time of one client is than that of the reference, at one point."""

    place: dict[str, str]
    client: str
    reference: str
    effect: Estimate


def client_effects(evidence: Evidence) -> Iterator[ClientEffect]:
    """Effects per point and client other than the reference, the grid's first. Client-bound rows are included."""
    if AXIS not in evidence.settings.all_axes:
        return
    rows = evidence.usable("time_s", client_bound=True)
    axes = [axis for axis in evidence.settings.all_axes if axis != AXIS]
    pairs = []
    for group_key, group in rows.groupby(["source", *axes], sort=False, dropna=False):
        row_of_client = {str(group.at[row, AXIS]): int(row) for row in group.index}
        reference = next((level for level in axis_levels(rows, AXIS) if level in row_of_client), "")
        place = (
            dict(zip(axes, map(level_label, list(group_key)[1:]), strict=True)) if isinstance(group_key, tuple) else {}
        )
        pairs += [
            (place, client, reference, row, row_of_client[reference])
            for client, row in row_of_client.items()
            if client != reference
        ]
    level = bonferroni_level(len(pairs))
    for place, client, reference, row, other in pairs:
        yield ClientEffect(place, client, reference, evidence.times_better(row, other, "time_s", level))
