"""The steady state and the requests in flight, of schedules whose true rates are known."""

import numpy as np
import pyarrow as pa
import pytest

from servegrid.metrics import steady_state
from servegrid.metrics.request_metrics import Requests
from servegrid.records.schema import REQUESTS


def rows(*requests: tuple[float, list[float]], **fields: object) -> Requests:
    """Requests as (send, offsets of the events), of one token an event."""
    known = [
        {
            "sent_s": sent,
            "end_s": sent + events[-1],
            "chunk_offsets_s": events,
            "output_tokens": len(events),
            "status": "ok",
        }
        for sent, events in requests
    ]
    return Requests(
        pa.Table.from_pylist([dict.fromkeys(REQUESTS.names) | row | fields for row in known], schema=REQUESTS)
    )


def closed_loop(threads: int, requests: int, chunks: int, noise: float = 0.02) -> Requests:
    """A closed loop whose requests take 1 s each, with `chunks` events at even distances, and 1 µs from answer to next send."""
    took_s = 1 + noise * np.random.default_rng(1).standard_normal((-(-requests // threads), threads))
    sent_s = 1000.0 + np.cumsum(took_s + 1e-6, axis=0) - took_s
    pairs = zip(sent_s.ravel()[:requests].tolist(), took_s.ravel()[:requests].tolist(), strict=True)
    return rows(*((sent, [took * (place + 1) / chunks for place in range(chunks)]) for sent, took in pairs))


def test_it_lies_between_the_first_end_and_the_last_send() -> None:
    # the answers end at 1, 2.5 and 4 s; of the events at 2.0 and 2.5 all, of that at 3.5 the half since the send at 3.0
    load = rows((0, [0.5, 1.0]), (1.5, [0.5, 1.0]), (3.0, [0.5, 1.0]))
    assert steady_state.steady_window(load) == (1.0, 3.0)
    assert steady_state.steady_s(load) == 2.0
    assert steady_state.steady_output_tokens_per_s(load) == pytest.approx(2 / 2)


@pytest.mark.parametrize("chunks", [1, 2, 40])
@pytest.mark.parametrize(("threads", "requests"), [(1, 8), (8, 32), (8, 60), (64, 256)])
def test_its_rate_is_that_of_the_threads_however_the_tokens_are_bundled(
    threads: int, requests: int, chunks: int
) -> None:
    rate = steady_state.steady_output_tokens_per_s(closed_loop(threads, requests, chunks))
    assert rate == pytest.approx(threads * chunks, rel=0.03)


@pytest.mark.parametrize("apart_s", [0.0, 0.00005])
def test_its_rate_is_the_same_where_the_tokens_of_a_step_are_events_of_their_own(apart_s: float) -> None:
    # two threads, steps of 4 tokens each 100 ms: below 80 tokens/s, however the steps lie to the edges of the steady state
    step = [apart_s * (place - 3) for place in range(4)]
    sent_s = [1.05 * number + thread_s for number in range(5) for thread_s in (0.0, 0.03)]
    split, whole = (
        rows(*((sent, [0.1 * (n + 1) + late for n in range(10) for late in lates]) for sent in sent_s), **told)
        for lates, told in ((step, {}), ([0.0], {"chunk_tokens": list(range(4, 41, 4)), "output_tokens": 40}))
    )
    rate = steady_state.steady_output_tokens_per_s(whole)
    assert rate is not None and 72 < rate <= 80
    assert steady_state.steady_output_tokens_per_s(split) == pytest.approx(rate)


def test_a_burst_in_a_short_gap_between_first_end_and_last_send_is_none() -> None:
    # 8 threads at 25 tokens/s each, 200 in all: the 9th and last request is sent 10 ms after the first end, when all first answers end
    events = [0.04 * (place + 1) for place in range(24)]
    burst = rows(*((0.001 * thread, events) for thread in range(8)), (0.97, events))
    assert steady_state.steady_s(burst) is None and steady_state.steady_output_tokens_per_s(burst) is None


@pytest.mark.parametrize(("requests", "is_known"), [(24, False), (32, True)])
def test_it_takes_two_rounds_of_threads(requests: int, is_known: bool) -> None:
    assert (steady_state.steady_s(closed_loop(8, requests, 4, noise=0.0)) is not None) == is_known


def test_it_takes_twice_the_median_request() -> None:
    # the first answers are short, so that two rounds of them end before the last send: the median request is long
    short, long = (
        [(0.1 * place, [0.1]) for place in range(5)],
        [(0.5, [5.0]), *((0.5 + 0.1 * place, [5.0]) for place in range(5))],
    )
    assert steady_state.steady_window(rows(*short)) == (0.1, 0.4)
    assert steady_state.steady_window(rows(*short, *long)) is None


def test_failed_requests_end_no_filling() -> None:
    load = closed_loop(4, 40, 4)
    status = ["rejected" if place < 4 else "ok" for place in range(40)]
    window = steady_state.steady_window(
        Requests(load.table.set_column(load.table.column_names.index("status"), "status", [status]))
    )
    assert window is not None and window[0] > 1001.5, "the first ok answers end in the second round"


def test_a_load_that_is_sent_at_once_has_none() -> None:
    at_once = rows((0, [1.0]), (0.1, [1.0]))
    assert steady_state.steady_s(at_once) is None and steady_state.steady_output_tokens_per_s(at_once) is None
    assert steady_state.steady_s(rows()) is None


def test_its_tokens_are_unknown_where_those_of_events_are() -> None:
    untold = rows((0, [0.5, 1.0]), (1.0, [0.5, 1.0]), (3.0, [0.5]), output_tokens=5)
    assert steady_state.steady_s(untold) == 2.0
    assert steady_state.steady_output_tokens_per_s(untold) is None
    told = rows((0, [0.5, 1.0]), (1.0, [0.5, 1.0]), (3.0, [0.5, 1.0]), output_tokens=5, chunk_tokens=[1, 5])
    assert steady_state.steady_output_tokens_per_s(told) == pytest.approx(5 / 2)


def test_requests_in_flight_are_those_of_the_threads_or_all_there_are() -> None:
    busy = closed_loop(8, 800, 4)
    assert steady_state.in_flight_max(busy) == 8
    assert steady_state.in_flight_mean(busy) == pytest.approx(8, rel=0.02)
    few = closed_loop(256, 10, 4)
    assert steady_state.in_flight_max(few) == 10 and 9 < float(steady_state.in_flight_mean(few) or 0) <= 10
    assert steady_state.in_flight_mean(rows((0, [1.0]), (1.0, [3.0]))) == pytest.approx(1.0)
    assert steady_state.in_flight_mean(rows()) is None


def test_a_request_that_failed_was_in_flight_too() -> None:
    mixed = Requests(pa.concat_tables([rows((0, [2.0])).table, rows((0, [1.0]), status="error").table]))
    assert steady_state.in_flight_mean(mixed) == pytest.approx(1.5)
    assert np.isclose(steady_state.in_flight_max(mixed), 2)
