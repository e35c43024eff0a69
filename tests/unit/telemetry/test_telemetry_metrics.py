"""A server's /metrics: the text formats, the scrape over real sockets, and the sidecar that lives through all of it."""

import json
import math
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, exposition
from prometheus_client.openmetrics import exposition as openmetrics

from servegrid.telemetry import Telemetry
from servegrid.telemetry.exposition import MAX_CACHED_CHARACTERS, MAX_LINE_CHARACTERS, parse
from servegrid.telemetry.scraper import ScrapeFailed, Scraper
from servegrid.util.clock import now_s
from standins.answers import sized
from standins.scripted import CERTIFICATE, ScriptedServer

pytestmark = pytest.mark.slow

Answer = Callable[[BaseHTTPRequestHandler], None]


def text_answer(body: bytes, status: int = 200, length: int | None = None) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("Content-Length", str(len(body) if length is None else length))
        request.end_headers()
        request.wfile.write(body)

    return answer


class Metrics:
    """An HTTP server on a free port; `answer` may be changed while it runs."""

    def __init__(self, answer: Answer) -> None:
        self.answer, self.requests = answer, []
        self.leaving = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests.append((self.path, dict(self.headers)))
                with suppress(OSError):  # the client gave up
                    outer.answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/metrics"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    requests: list[tuple[str, dict[str, str]]]

    def hang(self, request: BaseHTTPRequestHandler) -> None:
        self.leaving.wait(60)

    def trickle(self, request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        while not self.leaving.wait(0.1):
            request.wfile.write(b"# still here\n")

    def close(self) -> None:
        self.leaving.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def serving(answer: Answer) -> Iterator[Metrics]:
    metrics = Metrics(answer)
    try:
        yield metrics
    finally:
        metrics.close()


def series(text: str) -> dict[tuple[str, str], float]:
    return {(sample.name, sample.labels): sample.value for sample in parse(text)}


def example() -> CollectorRegistry:
    """What a server built on prometheus_client has: a gauge, a counter, a histogram, labels with every odd character."""
    registry = CollectorRegistry()
    Gauge("num_requests_running", "Running # now", ["model_name"], registry=registry).labels('a "b"\\ # {}\nü').set(3)
    Counter("generation_tokens", "Tokens", ["engine", "b"], registry=registry).labels("0", "x").inc(
        17, exemplar={"trace": "a } b # c"}
    )
    latency = Histogram("ttft_seconds", "Latency", buckets=[0.1, 1.0], registry=registry)
    latency.observe(0.5)
    latency.observe(2.0)
    return registry


EXPECTED = {
    ("num_requests_running", json.dumps({"model_name": 'a "b"\\ # {}\nü'}, ensure_ascii=False).replace(": ", ":")): 3,
    ("generation_tokens_total", '{"b":"x","engine":"0"}'): 17,
    ("ttft_seconds_count", "{}"): 2,
    ("ttft_seconds_sum", "{}"): 2.5,
}


@pytest.mark.parametrize("generate", [exposition.generate_latest, openmetrics.generate_latest])
def test_both_text_formats_give_the_same_series(generate: Callable[[CollectorRegistry], bytes]) -> None:
    assert series(generate(example()).decode()) == EXPECTED


def test_names_stay_as_the_server_writes_them_and_times_are_dropped() -> None:
    text = "# TYPE tgi_request_count counter\ntgi_request_count 7 1700000000000\n\nvllm:queue\t2\n"
    assert series(text) == {("tgi_request_count", "{}"): 7, ("vllm:queue", "{}"): 2}


def test_values_that_are_no_numbers_are_kept() -> None:
    values = series('a NaN\nb +Inf\nc{x="1"} -Inf\nd 1.5e3\n')
    assert math.isnan(values.pop(("a", "{}")))
    assert values == {("b", "{}"): math.inf, ("c", '{"x":"1"}'): -math.inf, ("d", "{}"): 1500}


def test_equal_labels_are_equal_text_in_any_order_and_a_gauge_named_bucket_stays() -> None:
    samples = list(parse('a{y="2",x="1"} 1\na{x="1",y="2"} 2\nleaky_bucket{kind="z"} 4\n'))
    assert [sample.labels for sample in samples] == ['{"x":"1","y":"2"}', '{"x":"1","y":"2"}', '{"kind":"z"}']
    assert samples[2] == ("leaky_bucket", '{"kind":"z"}', 4)


@pytest.mark.parametrize(
    "text", ["<html><body>Not here</body></html>", '[{"iter": 1, "cpuMemUsage": 0}]', "OK", "a{b", "1 2", "a x", "{} 1"]
)
def test_garbage_is_an_error(text: str) -> None:
    with pytest.raises(ValueError):
        parse(text)


@pytest.mark.parametrize(
    "odd",
    [
        "cpu 0.32%",
        "cpu 0,5",
        "cpu -nan(ind)",
        "cpu",
        "my-metric 1",
        "cpu 0x1F",
        'cpu{a="b 1',
        "<p>",
        'cpu{b="1", ="2"} 2 # {} 1',
        'cpu{b="1"} 5\ncpu{b="2"} 5 %\ncpu{b="3"} .',
    ],
)
def test_an_odd_line_costs_its_metric_and_no_other(odd: str) -> None:
    """A sum over the series of a metric would be false without one of them."""
    assert series(f'ok 1\n{odd}\nfine{{a="b"}} 2\n') == {("ok", "{}"): 1, ("fine", '{"a":"b"}'): 2}


def test_one_long_line_is_refused_before_it_is_parsed() -> None:
    """A label of escaped quotes takes the parser time with the square of their number."""
    line = 'a{b="' + '\\"' * 7_500_000 + '"} 1'
    assert series(f"ok 1\n{line}\n") == {("ok", "{}"): 1}
    with pytest.raises(
        ValueError, match=f"a line of {len(line)} characters, where {MAX_LINE_CHARACTERS} are allowed: a{{b="
    ):
        parse(line)
    with (
        serving(text_answer(line.encode())) as metrics,
        pytest.raises(ScrapeFailed, match="not a metrics text: a line"),
    ):
        Scraper(metrics.url).scrape()


def test_many_long_names_do_not_stay_in_memory() -> None:
    text = "\n".join(f'a{{b="{number}{"x" * MAX_CACHED_CHARACTERS}"}} 1' for number in range(200))
    tracemalloc.start()
    try:
        assert sum(sample.value for sample in parse(text)) == 200
        assert tracemalloc.get_traced_memory()[0] < len(text) / 2
    finally:
        tracemalloc.stop()


def test_a_scrape_gives_rows_and_sends_the_headers() -> None:
    with serving(text_answer(exposition.generate_latest(example()))) as metrics:
        before = now_s()
        rows = Scraper(f"{metrics.url}?format=text", {"Authorization": "Bearer x"}).scrape()
    assert {(row["name"], row["labels"]): row["value"] for row in rows} == EXPECTED
    assert all(before <= float(str(row["t_s"])) <= now_s() for row in rows)
    path, headers = metrics.requests[0]
    assert (path, headers["Authorization"]) == ("/metrics?format=text", "Bearer x")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (text_answer(b"gone", status=404), "HTTP status 404"),
        (text_answer(b"a 1\n", length=400), "cut off 396 bytes before its end"),
        (text_answer(b"<html>"), "not a metrics text"),
        (text_answer(b"\xff\xfe\x00{"), "not a metrics text"),
        (text_answer(b"#" * (17 * 2**20)), "longer than"),
        (lambda request: request.wfile.write(b"220 mail ready\r\n"), "BadStatusLine"),
        (lambda request: None, "RemoteDisconnected"),
    ],
)
def test_a_scrape_that_fails_says_why(answer: Answer, reason: str) -> None:
    with serving(answer) as metrics, pytest.raises(ScrapeFailed, match=reason):
        Scraper(metrics.url).scrape()


@pytest.mark.parametrize("how", ["hang", "trickle"])
def test_a_server_that_never_ends_its_answer_is_given_up(how: str) -> None:
    with serving(text_answer(b"")) as metrics:
        metrics.answer = getattr(metrics, how)
        with pytest.raises(ScrapeFailed, match="no answer within"):
            Scraper(metrics.url).scrape()


def test_a_scrape_trusts_the_file_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer([sized(b"a 1\n", kind="text/plain")], tls=True) as server:
        assert [row["value"] for row in Scraper(f"{server.url}/metrics", ca_file=CERTIFICATE).scrape()] == [1.0]
        with pytest.raises(ScrapeFailed, match="CERTIFICATE_VERIFY_FAILED"):
            Scraper(f"{server.url}/metrics").scrape()
        monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
        assert Scraper(f"{server.url}/metrics").scrape()


def test_nobody_at_the_port_is_a_reason() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(ScrapeFailed, match="refused"):
            Scraper(f"http://127.0.0.1:{unused.getsockname()[1]}/metrics").scrape()


def waiting_for(requests: int, metrics: Metrics) -> None:
    """Until the server was asked that many times more."""
    target, end_s = len(metrics.requests) + requests, now_s() + 60
    while len(metrics.requests) < target and now_s() < end_s:
        time.sleep(0.01)


def quiet(metrics: Metrics) -> bool:
    """Whether nobody asks any more for a time of ten intervals; it may take a while to begin."""
    end_s, asked = now_s() + 60, -1
    while len(metrics.requests) != asked and now_s() < end_s:
        asked = len(metrics.requests)
        time.sleep(0.5)
    return len(metrics.requests) == asked


def test_the_sidecar_records_what_the_server_says_until_told_to_stop(tmp_path: Path) -> None:
    with (
        serving(text_answer(b'running{m="x"} 4\ntokens_total 10\n')) as metrics,
        Telemetry(tmp_path, interval_s=0.05) as telemetry,
    ):
        telemetry.scrape(metrics.url)
        waiting_for(3, metrics)
        telemetry.scrape()
        assert quiet(metrics), "no longer asked"
    rows = pq.read_table(tmp_path / "server_metrics.parquet").to_pylist()
    assert {(row["name"], row["labels"], row["value"]) for row in rows} == {
        ("running", '{"m":"x"}', 4.0),
        ("tokens_total", "{}", 10.0),
    }
    times = [row["t_s"] for row in rows if row["name"] == "running"]
    assert len(times) >= 2 and times == sorted(times)
    assert telemetry.summary["series"] == len(rows)
    assert telemetry.notes == []


def test_failed_scrapes_are_noted_once_per_change_and_cost_only_themselves(tmp_path: Path) -> None:
    with serving(text_answer(b"<html>")) as metrics, Telemetry(tmp_path, interval_s=0.05) as telemetry:
        telemetry.scrape(metrics.url)
        waiting_for(3, metrics)
        metrics.answer = text_answer(b"running 4\n")
        waiting_for(3, metrics)
        metrics.answer = text_answer(b"", status=503)
        waiting_for(3, metrics)
    assert telemetry.error is None
    notes = [note.removeprefix(f"scrape of {metrics.url}: ") for note in telemetry.notes]
    assert [note.split(" after ")[0] for note in notes] == [
        "the answer is not a metrics text: invalid metric name:<html> 0",
        "works again",
        "HTTP status 503 Service Unavailable",
    ]
    assert telemetry.summary["scrapes_failed"] >= 4
    assert pq.read_table(tmp_path / "server_metrics.parquet").num_rows >= 1


def test_a_scrape_that_hangs_keeps_neither_the_other_samples_nor_the_end(tmp_path: Path) -> None:
    with serving(text_answer(b"")) as metrics:
        metrics.answer = metrics.hang
        with Telemetry(tmp_path, interval_s=0.1) as telemetry:
            telemetry.scrape(metrics.url)
            waiting_for(1, metrics)
            time.sleep(0.5)
        assert telemetry.error is None
    host = [row for row in pq.read_table(tmp_path / "telemetry.parquet").to_pylist() if row["device"] == "host"]
    assert len(host) >= 3
