"""Events that did not come as the server made their tokens, against answers whose every arrival is planted."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from servegrid.metrics import arrivals, request_metrics
from servegrid.metrics.request_metrics import Requests
from servegrid.records.request import RequestRecord
from servegrid.records.schema import REQUESTS

GAP_S = 0.01


def answer(offsets_s: list[float], **fields: Any) -> dict[str, Any]:
    """An answer with events at these times after its send, one token each, which the client read on time."""
    row = dict.fromkeys(REQUESTS.names) | {"status": "ok", "sent_s": 0.0, "end_s": offsets_s[-1], "late_chunks": 0}
    row |= {"first_token_s": offsets_s[0], "last_token_s": offsets_s[-1], "chunk_offsets_s": offsets_s}
    return row | {"output_tokens": len(offsets_s), "max_tokens": len(offsets_s)} | fields


def requests(*rows: dict[str, Any]) -> Requests:
    return Requests(pa.Table.from_pylist(list(rows), schema=REQUESTS))


def bursts(tokens: int, per_burst: int, apart_s: float = 0.0) -> list[float]:
    """Events of a token each GAP_S, held back until `per_burst` are there, and then sent `apart_s` after each other."""
    return [0.5 + GAP_S * per_burst * (n // per_burst) + apart_s * (n % per_burst) for n in range(tokens)]


def pausing(before: int) -> list[float]:
    """Events of a token each 2 ms, with a pause of 4 s after so many of them."""
    return [0.5 + 0.002 * n + 4.0 * (n >= before) for n in range(64)]


STEADY = bursts(64, 1)
NONE, NGRAM = {"kind": "none", "length": 0}, {"kind": "ngram", "length": 4}


@pytest.mark.parametrize(
    ("row", "speculation", "expected"),
    [
        (answer(STEADY), NONE, False),
        (answer(bursts(64, 64)), NONE, True),
        (answer(bursts(64, 64, 0.00005)), NONE, True),
        (answer(bursts(64, 64)), NGRAM, True),
        (answer([0.5], output_tokens=64), NONE, True),  # one document
        (answer([0.5], output_tokens=None, max_tokens=64), NONE, True),
        (answer([0.5]), NONE, False),  # one token
        (answer([0.5], output_tokens=5), NGRAM, False),  # a step
        (answer(bursts(64, 16)), NONE, True),
        (answer(bursts(64, 16, 0.00005)), NONE, True),
        (answer(bursts(64, 16)), NGRAM, True),
        (answer(bursts(64, 2)), NONE, True),
        (answer(bursts(64, 5)), NGRAM, False),
        (answer(bursts(64, 5), drafted_tokens=40), NONE, False),
        (answer([*STEADY[:-1], STEADY[-2]]), NONE, False),  # the last two events at once
        (answer([0.5], output_tokens=2, end_s=0.51), NONE, False),  # a word, and the end 10 ms later
        (answer([0.5], output_tokens=4, end_s=0.51), NONE, False),
        (answer([0.5], output_tokens=6, end_s=0.51), NGRAM, False),  # a step and the end
        (answer([0.5], output_tokens=4), NONE, True),
        (answer([0.5] * 4, end_s=0.51), NONE, True),
        (answer([0.5], output_tokens=6), NGRAM, True),
        (answer([0.5, 0.5]), NONE, False),
        (answer([0.5, 0.51, 0.51]), NONE, False),
        (answer([0.5, 0.51, 0.52, 0.52]), NONE, False),
        (answer([0.5, 0.5, 0.52, 0.52]), NONE, True),
        (answer(pausing(32)), NONE, False),
        (answer(pausing(1)), NONE, False),
        (answer(pausing(32), late_chunks=None), NONE, False),
        (answer([0.5, 0.75, 1.0, 1.25], output_tokens=100, chunk_tokens=[25, 50, 75, 100]), NONE, True),
        (answer([0.5 + 0.08 * n for n in range(8)], output_tokens=64), NONE, False),  # eight tokens an event
        (answer(bursts(64, 5), late_chunks=51), NONE, False),  # the client's doing
        (answer(bursts(64, 5), late_chunks=None), NONE, False),  # a record of before that was kept
        (answer(bursts(64, 64), late_chunks=None), NONE, True),
    ],
)
def test_answers_held_back(row: dict[str, Any], speculation: dict[str, Any], expected: bool) -> None:
    load = requests(row)
    assert arrivals.are_held_back(load, arrivals.step_tokens(speculation, load)) is expected


@pytest.mark.parametrize(("held_back", "expected"), [(1, False), (2, True)])
def test_some_answers_of_many(held_back: int, expected: bool) -> None:
    load = requests(*[answer(STEADY)] * (24 - held_back), *[answer([0.5], output_tokens=64)] * held_back)
    assert arrivals.are_held_back(load, 1) is expected


@pytest.mark.parametrize("held_back", [False, True])
def test_short_answers_say_nothing_of_the_long_ones(held_back: bool) -> None:
    short = [answer([0.5], output_tokens=2), answer([0.5, 0.5]), answer([0.5, 0.51, 0.51])] * 30
    load = requests(*short, answer(bursts(64, 64 if held_back else 1)))
    assert arrivals.are_held_back(load, 1) is held_back


def test_what_came_at_once_has_no_time_per_token() -> None:
    assert not len(request_metrics.tpot_ms(requests(answer(bursts(64, 64)), answer(bursts(64, 64, 0.00005)))))
    [known] = request_metrics.tpot_ms(requests(answer(STEADY), answer([0.5], output_tokens=64)))
    assert known == pytest.approx(1e3 * GAP_S)
    [over_bursts] = request_metrics.tpot_ms(requests(answer(bursts(64, 16))))
    assert over_bursts == pytest.approx(1e3 * GAP_S * 48 / 63)


@pytest.mark.parametrize("limit", ["itl_ms_p50", "chunk_gap_ms_p99", "tpot_ms_p99"])
def test_what_came_at_once_keeps_no_limit_between_tokens(limit: str) -> None:
    for row in (answer(bursts(64, 64)), answer([0.5], output_tokens=64)):
        assert request_metrics.goodput_requests_per_s(requests(row), {limit: 1e6}) is None
    assert request_metrics.goodput_requests_per_s(requests(answer([0.5])), {limit: 1.0}) == pytest.approx(2.0)


def test_stamps_shared_are_a_share_of_the_events_after_the_first() -> None:
    loads = [requests(answer(STEADY, late_chunks=6)), requests(answer(STEADY[:1], late_chunks=0), answer(STEADY))]
    assert arrivals.stamps_shared(loads) == pytest.approx(6 / 126)
    assert not arrivals.are_read_late(loads) and arrivals.are_read_late(loads[:1])


def test_stamps_shared_are_unknown_of_old_records_and_without_gaps() -> None:
    assert arrivals.stamps_shared([requests(answer(STEADY), answer(STEADY, late_chunks=None))]) is None
    assert arrivals.stamps_shared([requests(answer([0.5]))]) is None
    assert not arrivals.are_read_late([requests(answer([0.5]))])


def test_arrivals_are_events_that_came_apart() -> None:
    chunks = requests(answer(bursts(64, 16)), answer([0.5]), answer(STEADY), answer([0.5, 0.5])).chunks
    assert chunks.arrivals.tolist() == [4, 1, 64, 1]
    assert chunks.came_at_once.tolist() == [False, True, False, True]
    assert np.flatnonzero(chunks.came_together).tolist() == [n for n in range(64) if n % 16] + [130]


@pytest.mark.parametrize(
    ("gaps_s", "together"),
    [
        ([], 0),
        ([0.002] * 20 + [4.0], 0),
        ([4.0] + [0.0003] * 9, 0),
        ([0.02, 0.0004] * 9, 0),  # the lower median
        ([0.02] * 9 + [0.0003], 1),
        ([1.0] * 9 + [0.0006, 0.0004, 0.00005, 0.0], 3),
    ],
)
def test_records_and_tables_tell_alike_what_came_together(gaps_s: list[float], together: int) -> None:
    offsets_s = [0.0, *np.cumsum(gaps_s).tolist()]
    chunks = requests(answer(STEADY), answer(offsets_s), answer([0.5])).chunks
    assert int(chunks.came_together.sum()) == together
    assert RequestRecord("r", "p", 1, "ok", chunk_offsets_s=offsets_s).chunks_together() == together
