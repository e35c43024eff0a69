"""Each metric against requests whose answer can be worked out by hand."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from servegrid.metrics import request_metrics
from servegrid.metrics.request_metrics import Requests
from servegrid.records.schema import REQUESTS
from servegrid.results import columns


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
    assert request_metrics.time_s(TWO) == pytest.approx(2.25)
    # the last request was sent at 101.0; the first answer after that ends at 102.25 (the other ended at 100.8)
    assert request_metrics.tail_s(TWO) == pytest.approx(0.0)
    assert request_metrics.tail_s(requests(request(0, [5.0]), request(1, [1.0]))) == pytest.approx(3.0)


def test_failed_requests_count_for_the_time_alone() -> None:
    mixed = requests(request(0.0, [1.0]), request(0.0, [4.0], status="error"))
    assert request_metrics.time_s(mixed) == pytest.approx(4.0)
    assert request_metrics.token_sum(mixed, "output_tokens") == 1
    assert len(request_metrics.ttft_ms(mixed)) == 1


def test_latencies() -> None:
    assert request_metrics.ttft_ms(TWO) == pytest.approx([500, 250])
    assert request_metrics.e2e_ms(TWO) == pytest.approx([800, 1250])
    assert request_metrics.tpot_ms(TWO) == pytest.approx([150, 1000])
    assert request_metrics.chunk_gaps_ms(TWO) == pytest.approx([100, 200, 1000])
    assert request_metrics.itl_ms(TWO) == pytest.approx([100, 200, 1000])


def test_a_chunk_is_not_a_token() -> None:
    speculated = requests(request(0, [1.0, 1.4], chunk_tokens=[1, 5], output_tokens=5))
    assert request_metrics.chunk_gaps_ms(speculated) == pytest.approx([400])
    assert request_metrics.itl_ms(speculated) == pytest.approx([100] * 4)
    assert request_metrics.tpot_ms(speculated) == pytest.approx([100])


@pytest.mark.parametrize("apart_s", [0.0, 0.00005])
def test_a_step_counts_alike_in_one_event_and_in_several(apart_s: float) -> None:
    step = [-2 * apart_s, -apart_s, 0.0]
    split = requests(request(0, [at_s + late_s for at_s in (1.0, 1.3, 1.9) for late_s in step]), request(1, [0.5, 0.6]))
    whole = requests(
        request(0, [1.0, 1.3, 1.9], chunk_tokens=[3, 6, 9], output_tokens=9),
        request(1, [0.5, 0.6], chunk_tokens=[1, 2]),
    )
    assert request_metrics.itl_ms(whole) == pytest.approx([100] * 3 + [200] * 3 + [100])
    assert request_metrics.itl_ms(split) == pytest.approx(request_metrics.itl_ms(whole))
    assert len(request_metrics.chunk_gaps_ms(split)) == 9 and not split.chunks.one_token_each


def test_events_of_unknown_tokens_stay_unknown_where_arrivals_are_as_many_as_tokens() -> None:
    assert not len(request_metrics.itl_ms(requests(request(0, [1.0, 1.2, 1.2, 1.4], output_tokens=3))))


def test_tokens_per_chunk_unknown_makes_itl_unknown() -> None:
    unknown = requests(request(0, [1.0, 1.4], output_tokens=5))
    assert len(request_metrics.itl_ms(unknown)) == 0
    assert request_metrics.chunk_gaps_ms(unknown) == pytest.approx([400])


def test_requests_without_chunks_leave_gaps_right() -> None:
    mixed = requests(request(0, []), request(1, [0.1, 0.3]), request(2, []), request(3, [0.5]))
    assert request_metrics.chunk_gaps_ms(mixed) == pytest.approx([200])


def test_unknown_tokens_are_unknown_not_zero() -> None:
    some = requests(request(0, [1.0]), request(0, [1.0], output_tokens=None))
    assert request_metrics.token_sum(some, "output_tokens") is None
    assert request_metrics.token_sum(requests(), "output_tokens") is None
    assert request_metrics.time_s(requests()) is None


@pytest.mark.parametrize(
    ("count", "percent", "is_known"), [(1, 50, False), (2, 50, True), (9, 90, False), (10, 90, True)]
)
def test_a_percentile_needs_enough_values(count: int, percent: int, is_known: bool) -> None:
    assert (request_metrics.percentile(np.arange(float(count)), percent) is not None) == is_known


def test_p99_of_a_hundred() -> None:
    assert request_metrics.percentile(np.arange(101.0), 99) == pytest.approx(99.0)
    assert request_metrics.percentile(np.arange(99.0), 99) is None


@pytest.mark.parametrize(
    ("requests", "percent", "is_known"),
    [(9, 99, False), (10, 99, True), (1, 50, False), (2, 50, True), (99, 99.9, False)],
)
def test_a_percentile_over_tokens_needs_several_requests(requests: int, percent: float, is_known: bool) -> None:
    (value,) = request_metrics.percentiles(np.arange(5000.0), [percent], requests)
    assert (value is not None) == is_known


def test_percentiles_are_numpys_of_the_known_values() -> None:
    values = np.random.default_rng(1).lognormal(size=1234)
    ordered = request_metrics.ascending(np.append(values, [np.nan, np.nan]))
    assert len(ordered) == 1234
    expected = np.percentile(values, columns.DISTRIBUTION_PERCENTILES)
    assert request_metrics.percentiles(ordered, columns.DISTRIBUTION_PERCENTILES) == pytest.approx(
        expected.tolist(), rel=1e-12
    )


def test_p99_9_of_a_thousand() -> None:
    assert request_metrics.percentile(np.arange(1000.0), 99.9) is not None
    assert request_metrics.percentile(np.arange(999.0), 99.9) is None


def test_low_percentiles_need_as_many_values_as_high_ones() -> None:
    percentiles = {n: request_metrics.percentiles(np.arange(float(n)), [1, 5, 95, 99]) for n in (19, 20, 99, 100)}
    is_known = {n: [value is not None for value in values] for n, values in percentiles.items()}
    assert is_known == {
        19: [False] * 4,
        20: [False, True, True, False],
        99: [False, True, True, False],
        100: [True] * 4,
    }


def test_acceptance() -> None:
    drafted = requests(
        request(0, [1.0], drafted_tokens=8, accepted_tokens=2), request(0, [1.0], drafted_tokens=2, accepted_tokens=2)
    )
    assert request_metrics.acceptance_rate(drafted) == pytest.approx(0.4)
    assert request_metrics.acceptance_rate(TWO) is None


def test_goodput_counts_the_requests_within_every_limit() -> None:
    # time to complete 2.25 s; TTFT 500 and 250 ms, TPOT 150 and 1000 ms
    assert request_metrics.goodput_requests_per_s(TWO, {}) is None
    assert request_metrics.goodput_requests_per_s(TWO, {"ttft_ms_p99": 300}) == pytest.approx(1 / 2.25)
    assert request_metrics.goodput_requests_per_s(TWO, {"ttft_ms_p50": 300, "ttft_ms_p99": 600}) == pytest.approx(
        2 / 2.25
    )
    assert request_metrics.goodput_requests_per_s(TWO, {"ttft_ms_p99": 300, "itl_ms_p99": 200}) == 0
    assert request_metrics.goodput_requests_per_s(TWO, {"e2e_planned_ms_p99": 300}) is None, "nothing was planned"


def test_goodput_is_unknown_where_a_request_does_not_tell() -> None:
    untold = requests(request(0, [1.0]), request(0, [1.0], first_token_s=None))
    assert request_metrics.goodput_requests_per_s(untold, {"ttft_ms_p99": 5000}) is None
    assert request_metrics.goodput_requests_per_s(untold, {"e2e_ms_p99": 5000}) == pytest.approx(2.0)


def test_goodput_leaves_out_what_failed_and_keeps_answers_of_one_chunk() -> None:
    mixed = requests(request(0, [1.0]), request(0, [0.1, 2.0], status="error"), request(0, [0.1], planned_s=-1.0))
    assert request_metrics.goodput_requests_per_s(mixed, {"tpot_ms_p99": 1}) == pytest.approx(2 / 2.0)
    assert request_metrics.goodput_requests_per_s(mixed, {"ttft_planned_ms_p99": 2000}) == pytest.approx(2 / 2.0)


def test_goodput_is_unknown_where_a_time_between_tokens_is() -> None:
    unknown = requests(request(0, [1.0, 2.0], output_tokens=None), request(0, [0.1, 2.0]))
    assert request_metrics.goodput_requests_per_s(unknown, {"itl_ms_p99": 1}) is None
    assert request_metrics.goodput_requests_per_s(unknown, {"ttft_ms_p99": 500}) == pytest.approx(1 / 2.0)


def test_the_acceptance_length_is_that_of_the_same_requests() -> None:
    # drafts of 8 tokens, of which the counters saw a fifth accepted and the requests a quarter
    assert request_metrics.acceptance_length(0.25, 0.2, 2.6) == pytest.approx(3.0)
    assert (
        request_metrics.acceptance_length(0.25, None, None) is None
        and request_metrics.acceptance_length(0.25, 0.0, 1.0) == 1.0
    )


def test_hidden_tokens_are_no_tokens_after_the_first_event() -> None:
    hidden = {"output_tokens": 24, "hidden_tokens": 20}
    [tpot] = request_metrics.tpot_ms(requests(request(0, [1.0, 1.1, 1.2, 1.3], **hidden)))
    assert tpot == pytest.approx(100)
    [counted] = request_metrics.tpot_ms(requests(request(0, [1.0, 1.3], chunk_tokens=[21, 24], **hidden)))
    assert counted == pytest.approx(100)


def test_latency_counts_from_the_planned_send() -> None:
    late = requests(request(2.0, [0.5, 1.0], planned_s=1.0))
    assert request_metrics.since_planned_send_ms(late, "first_token_s") == pytest.approx([1500])
    assert request_metrics.since_planned_send_ms(late, "end_s") == pytest.approx([2000])
    assert not len(request_metrics.since_planned_send_ms(TWO, "end_s"))


def test_short_answers_are_counted_apart() -> None:
    mixed = requests(request(0, [1.0]), request(0, [1.0], status="short"), request(0, [1.0], status="error"))
    assert (mixed.count("ok"), mixed.count("short"), mixed.count("rejected")) == (1, 1, 0)


def test_turnaround_is_within_a_thread() -> None:
    rows = [request(t, [1.0], thread=n) for t, n in ((0.0, 0), (0.5, 1), (1.25, 0), (1.6, 1), (2.5, 0))]
    assert request_metrics.turnaround_ms(requests(*rows)) == pytest.approx([250, 250, 100])
    assert not len(request_metrics.turnaround_ms(TWO)), "no threads with planned arrivals"


@pytest.mark.parametrize(
    ("share", "lateness", "turnaround", "ttft", "e2e", "bound"),
    [
        (None, None, None, None, None, None),
        (0.2, None, 0.3, 50.0, 100.0, False),
        (0.7, None, 0.3, 50.0, 100.0, True),
        (0.2, 4.0, None, 50.0, 100.0, False),
        (0.2, 6.0, None, 50.0, 100.0, True),
        (0.2, None, 6.0, 50.0, 100.0, True),
        (0.2, None, 6.0, 10.0, 301.0, False),
        (0.2, None, 6.0, 500.0, 299.0, True),
        (0.2, 0.9, None, 1.0, 2.0, False),
        (None, 6.0, None, 50.0, 100.0, True),
        (0.2, None, None, 50.0, 100.0, None),
        (0.7, None, None, None, None, True),
        (None, 0.3, None, 50.0, 100.0, None),
        (0.2, 6.0, None, None, None, None),
    ],
)
def test_client_bound(
    share: float | None,
    lateness: float | None,
    turnaround: float | None,
    ttft: float | None,
    e2e: float | None,
    bound: bool | None,
) -> None:
    assert request_metrics.is_client_bound(share, lateness, turnaround, ttft, e2e) is bound
