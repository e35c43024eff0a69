"""Each metric against requests whose answer can be worked out by hand."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from servegrid import metrics
from servegrid.metrics import Requests
from servegrid.records import REQUESTS


def request(sent: float, chunks: list[float], status: str = "ok", **fields: Any) -> dict[str, Any]:
    """A request sent at `sent` s whose chunks arrive `chunks` s later; it ends with its last chunk."""
    row = dict.fromkeys(REQUESTS.names)
    end = sent + chunks[-1] if chunks else sent
    first = sent + chunks[0] if chunks else None
    row |= {"request_id": f"r{sent}", "prompt_id": f"p{sent}", "status": status, "max_tokens": len(chunks)}
    row |= {"sent_s": sent, "end_s": end, "first_token_s": first, "last_token_s": end if chunks else None}
    row |= {"chunk_offsets_s": chunks, "output_tokens": len(chunks), "prompt_tokens": 10, "tokens_from": "usage"}
    return row | {"bytes_received": 0} | fields


def requests(*rows: dict[str, Any]) -> Requests:
    return Requests(pa.Table.from_pylist(list(rows), schema=REQUESTS))


TWO = requests(request(100.0, [0.5, 0.6, 0.8]), request(101.0, [0.25, 1.25]))


def test_times() -> None:
    assert metrics.time_s(TWO) == pytest.approx(2.25)
    # the last request was sent at 101.0; the first answer after that ends at 102.25 (the other ended at 100.8)
    assert metrics.tail_s(TWO) == pytest.approx(0.0)
    assert metrics.tail_s(requests(request(0, [5.0]), request(1, [1.0]))) == pytest.approx(3.0)


def test_failed_requests_count_for_the_time_alone() -> None:
    mixed = requests(request(0.0, [1.0]), request(0.0, [4.0], status="error"))
    assert metrics.time_s(mixed) == pytest.approx(4.0)
    assert metrics.tokens(mixed, "output_tokens") == 1
    assert len(metrics.ttft_ms(mixed)) == 1


def test_latencies() -> None:
    assert metrics.ttft_ms(TWO) == pytest.approx([500, 250])
    assert metrics.e2e_ms(TWO) == pytest.approx([800, 1250])
    assert metrics.tpot_ms(TWO) == pytest.approx([150, 1000])
    assert metrics.chunk_gaps_ms(TWO) == pytest.approx([100, 200, 1000])
    assert metrics.itl_ms(TWO) == pytest.approx([100, 200, 1000])


def test_a_chunk_is_not_a_token() -> None:
    speculated = requests(request(0, [1.0, 1.4], chunk_tokens=[1, 5], output_tokens=5))
    assert metrics.chunk_gaps_ms(speculated) == pytest.approx([400])
    assert metrics.itl_ms(speculated) == pytest.approx([100] * 4)
    assert metrics.tpot_ms(speculated) == pytest.approx([100])


def test_tokens_per_chunk_unknown_makes_itl_unknown() -> None:
    unknown = requests(request(0, [1.0, 1.4], output_tokens=5))
    assert len(metrics.itl_ms(unknown)) == 0
    assert metrics.chunk_gaps_ms(unknown) == pytest.approx([400])


def test_requests_without_chunks_leave_gaps_right() -> None:
    mixed = requests(request(0, []), request(1, [0.1, 0.3]), request(2, []), request(3, [0.5]))
    assert metrics.chunk_gaps_ms(mixed) == pytest.approx([200])


def test_unknown_tokens_are_unknown_not_zero() -> None:
    some = requests(request(0, [1.0]), request(0, [1.0], output_tokens=None))
    assert metrics.tokens(some, "output_tokens") is None
    assert metrics.tokens(requests(), "output_tokens") is None
    assert metrics.time_s(requests()) is None


@pytest.mark.parametrize(("count", "percent", "known"), [(1, 50, False), (2, 50, True), (9, 90, False), (10, 90, True)])
def test_a_percentile_needs_enough_values(count: int, percent: int, known: bool) -> None:
    assert (metrics.percentile(np.arange(float(count)), percent) is not None) == known


def test_p99_of_a_hundred() -> None:
    assert metrics.percentile(np.arange(101.0), 99) == pytest.approx(99.0)
    assert metrics.percentile(np.arange(99.0), 99) is None


def test_acceptance() -> None:
    drafted = requests(
        request(0, [1.0], drafted_tokens=8, accepted_tokens=2), request(0, [1.0], drafted_tokens=2, accepted_tokens=2)
    )
    assert metrics.acceptance_rate(drafted) == pytest.approx(0.4)
    assert metrics.acceptance_rate(TWO) is None


def test_agreement() -> None:
    assert metrics.agreement([{"a": "x", "b": "y"}, {"a": "z", "c": "?"}], {"a": "x", "b": "y"}) == pytest.approx(2 / 3)
    assert metrics.agreement([{"c": "x"}], {"a": "x"}) is None
