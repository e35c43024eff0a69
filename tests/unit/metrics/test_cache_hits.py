"""What servers say of cached prompt tokens, as a share, and what of it a cold load cannot explain."""

from typing import Any

import pytest

from servegrid.metrics.request_metrics import Requests, prefix_cache_hit_rate, unasked_hit_rate
from servegrid.records.request import RequestRecord, RequestStatus
from servegrid.records.schema import requests_table

Row = tuple[int | None, int | None, int | None]


def requests(*rows: Row, status: RequestStatus = "ok") -> Requests:
    """Requests with these prompt, cached and own tokens, and one that failed."""
    counts = [dict(zip(("prompt_tokens", "cached_tokens", "own_tokens"), row, strict=True)) for row in rows]
    records = [RequestRecord(f"r{n}", "p", 8, status, **count) for n, count in enumerate(counts)]
    failed: dict[str, Any] = {"prompt_tokens": 100, "cached_tokens": 100, "own_tokens": 100}
    return Requests(requests_table([*records, RequestRecord("failed", "p", 8, "error", **failed)]))


@pytest.mark.parametrize(
    ("rows", "rate"),
    [
        ([(40, 10, None), (60, 40, None)], 0.5),
        ([(40, None, None), (60, 50, None)], 0.5),  # left out where there were none
        ([(40, 0, None), (60, 0, None)], 0.0),
        ([(40, None, None), (60, None, None)], None),
        ([(None, 10, None)], None),
        ([(40, 41, None)], None),  # more than there are
        ([], None),
    ],
)
def test_hit_rate(rows: list[Row], rate: float | None) -> None:
    assert prefix_cache_hit_rate(requests(*rows)) == rate


@pytest.mark.parametrize(
    ("rows", "rate"),
    [
        ([(50, 20, 30), (50, 20, 30)], 0.0),  # all that was cached is shared with other prompts
        ([(50, 49, 30), (50, 20, 30)], 0.29),
        ([(50, 49, 30), (50, None, 30)], 0.58),
        ([(50, 500, 30)], 0.6),
        ([(50, 20, None)], None),
        ([], None),
    ],
)
def test_hits_beyond_what_prompts_share(rows: list[Row], rate: float | None) -> None:
    assert unasked_hit_rate(requests(*rows)) == (None if rate is None else pytest.approx(rate))
