"""The model of both runs' session values: two runs are two sets of rounds, so what rounds do counts as doubt between them."""

from collections.abc import Sequence

from servegrid.compare.session_values import SessionValues
from servegrid.stats.session_model import SessionModel

BEFORE, AFTER = 0, 1
RunPoint = tuple[int, int]
"""BEFORE or AFTER, and the number of the point."""


def run_model(points: Sequence[SessionValues]) -> SessionModel[RunPoint]:
    """Model of the values of one metric at these points in both runs."""
    values = {
        (run, number): rounds
        for number, point in enumerate(points)
        for run, rounds in ((BEFORE, point.before), (AFTER, point.after))
    }
    return SessionModel(
        values,
        server_of=lambda key: (key[0], points[key[1]].server),
        block_of=lambda key, number: (key[0], number),
    )
