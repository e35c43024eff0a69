"""When events came, by a client that reads them on time, late, or stopped in between."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from isolation import REPOSITORY
from servegrid.client.exchange import Exchange, Request
from servegrid.client.loop import LATE_S, Loop
from servegrid.client.request_outcome import make_record
from servegrid.client.run import LoadProgress
from servegrid.metrics import arrivals, request_metrics
from servegrid.metrics.request_metrics import Requests
from standins.answers import DONE, END, HEAD, chunk, events
from standins.loads import PROTOCOL, load, requests
from standins.scripted import READ, ScriptedServer, Seen, Step

LOAD = REPOSITORY / "workflow" / "scripts" / "load.py"
PATIENCE_S = 60.0


def one_read(late_reads: list[float] | None, apart_s: float = 0.0) -> Exchange:
    """An exchange whose events but the first were read at 2.0 s, or one after the other."""
    first, *rest, done = map(chunk, events(4))
    exchange = Exchange(0, "r", Request("r", "p", b"{}", 4), sent_s=0.1, end_s=3.0, late_reads=late_reads)
    exchange.log = [1.0, HEAD + first]
    if apart_s:
        exchange.log += [part for n, piece in enumerate(rest) for part in (2.0 + apart_s * n, piece)]
    else:
        exchange.log += [2.0, b"".join(rest)]
    exchange.log += [2.5, done + END]
    return exchange


@pytest.mark.parametrize(
    ("exchange", "late_chunks"),
    [
        (one_read([]), 0),
        (one_read([1.0]), 0),
        (one_read([2.0]), 2),
        (one_read(None), 2),
        (one_read(None, apart_s=0.00005), 2),
        (one_read(None, apart_s=0.2), 0),
        (one_read([2.0], apart_s=0.2), 0),
    ],
)
def test_events_read_late_with_the_one_before_are_counted(exchange: Exchange, late_chunks: int) -> None:
    record = make_record(exchange, exchange.log, PROTOCOL)
    assert record.status == "ok" and len(record.chunk_offsets_s) == 4
    assert record.late_chunks == late_chunks


@pytest.mark.parametrize(
    ("before", "polled_s", "came_s", "on_time"),
    [
        ((8.8, 8.9, True), 9.0, 9.9995, True),  # it waited, and woke at once
        ((8.8, 8.9, True), 9.0, 9.5, False),  # it waited, and woke late
        ((9.9, 9.9995, True), 9.99999, 9.9996, True),  # it was busy, and came round soon
        ((9.8, 9.9, True), 9.99999, 9.9996, False),  # it was busy for long: more may have gathered than this
        ((9.9, 9.9995, False), 9.99999, 9.9996, False),  # it was stopped while it waited, and found nothing
        ((8.8, 8.9, True), 9.0, 10.005, False),  # it handled others before
    ],
)
def test_what_was_read_on_time(
    before: tuple[float, float, bool], polled_s: float, came_s: float, on_time: bool
) -> None:
    loop = Loop()
    loop._note_waking(*before)
    loop._note_waking(polled_s, 10.0, True)
    loop.close()
    assert (loop.on_time_from_s < came_s < loop.on_time_until_s) == on_time
    assert loop.on_time_until_s == 10.0 + LATE_S


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's stamps are Linux's")
def test_a_client_that_is_held_up_says_how_many_events_it_read_late() -> None:
    begun, held_up, sent = threading.Event(), threading.Event(), threading.Event()
    first, *rest = map(chunk, events(5)[:-1])

    def script(_: Seen) -> Iterator[Step]:
        yield HEAD + first
        yield READ
        begun.set()
        held_up.wait(PATIENCE_S)
        for piece in rest:
            yield piece
            yield 0.01
        sent.set()
        yield chunk(DONE) + END

    def hold_up(_: LoadProgress) -> None:
        if begun.is_set() and not held_up.is_set():
            held_up.set()
            sent.wait(PATIENCE_S)

    with ScriptedServer(script) as server:
        [record] = load(server, todo=requests(1, 5), on_progress=hold_up).records
    assert record.status == "ok" and record.late_chunks == 3
    assert len(set(record.chunk_offsets_s[1:])) == 1


@pytest.mark.slow
@pytest.mark.parametrize(("stopped_s", "running_s"), [(0.04, 0.04), (0.07, 0.01)])
def test_gaps_of_a_client_that_is_stopped_again_and_again_are_right_or_unknown(
    tmp_path: Path, stopped_s: float, running_s: float
) -> None:
    sent_s: dict[int, list[float]] = {}
    tokens, gap_s = 96, 0.0073

    def script(seen: Seen) -> Iterator[Step]:
        yield HEAD
        times_s = sent_s[seen.number] = [time.monotonic()]
        for piece in events(tokens)[:-1]:
            yield max(0.0, times_s[-1] + gap_s - time.monotonic())
            yield chunk(piece)
            times_s.append(time.monotonic())
        yield chunk(DONE) + END

    out = tmp_path / "requests.parquet"
    with ScriptedServer(script) as server:
        options = [
            "--url",
            server.url,
            "--model",
            "m",
            "--threads",
            "2",
            "--requests",
            "4",
            "--max-tokens",
            str(tokens),
        ]
        command = [sys.executable, LOAD, *options, "--out", out, "--quiet"]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as client:
            while client.poll() is None:
                for what, pause_s in ((signal.SIGSTOP, stopped_s), (signal.SIGCONT, running_s)):
                    os.kill(client.pid, what)
                    time.sleep(pause_s)
        assert client.returncode == 0
    measured, gaps_ms = Requests(pq.read_table(out)), [1e3 * np.diff(times_s[1:]) for times_s in sent_s.values()]
    is_known = not arrivals.are_read_late([measured]) and not arrivals.are_held_back(measured, 1)
    assert not is_known or abs(np.median(request_metrics.itl_ms(measured)) - np.median(np.concatenate(gaps_ms))) < 0.5
