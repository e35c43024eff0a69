"""load.py as it is used: one command, files, exit status, signals."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import load
from servegrid.client import options
from servegrid.client.builtin_prompts import TEXTS
from servegrid.client.shape import ClosedLoop
from servegrid.records.schema import REQUESTS
from standins.answers import HEAD, chunk, chunked, events, sized
from standins.scripted import HOLD, ScriptedServer

pytestmark = pytest.mark.slow

PROGRAM = Path(load.__file__)
GOOD = chunked(events(3))


def run(*arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, PROGRAM, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | env,
        check=False,
    )


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_one_command(tmp_path: Path) -> None:
    prompts, out, jsonl = tmp_path / "prompts.jsonl", tmp_path / "new" / "requests.parquet", tmp_path / "requests.jsonl"
    prompts.write_text('{"prompt": "One"}\n{"id": "b", "prompt": "Two", "max_tokens": 2}\n')
    with ScriptedServer(lambda seen: [chunked(events(seen.json["max_tokens"]))]) as server:
        done = run(
            *("--url", server.url, "--protocol", "openai-completions", "--model", "NAME", "--prompts", str(prompts)),
            *("--threads", "2", "--requests", "5", "--max-tokens", "3", "--out", str(out), "--jsonl", str(jsonl)),
        )
    assert done.returncode == 0, done.stderr
    assert "5 requests in" in done.stderr and "5 ok" in done.stderr
    assert "5 answers came at once: their time to first token is that to the whole answer" in done.stderr
    objects = lines(jsonl)
    assert {"id", "start", "ttft", "itl", "e2e", "tokens", "status"} <= set(objects[0])
    assert sorted(line["id"] for line in objects) == sorted(seen.headers["x-request-id"] for seen in server.seen)
    assert [line["tokens"] for line in objects] == [3, 2, 3, 2, 3] and {line["status"] for line in objects} == {"ok"}
    assert [line["prompt_id"] for line in objects] == ["1", "b", "1", "b", "1"]
    for line in objects:
        assert 0 < line["ttft"] <= line["e2e"] and line["itl"] == [], "all of it came at once"
        assert 0 < line["start"] < time.monotonic()
    table = pq.read_table(out)
    assert table.schema == REQUESTS and table.column("request_id").to_pylist() == [line["id"] for line in objects]
    assert {seen.json["model"] for seen in server.seen} == {"NAME"}


def test_some_requests_failed(tmp_path: Path) -> None:
    jsonl = tmp_path / "r.jsonl"
    with ScriptedServer(lambda seen: [GOOD if seen.number else sized(b"no", "500 Internal Server Error")]) as server:
        done = run("--url", server.url, "--requests", "3", "--max-tokens", "3", "--jsonl", str(jsonl))
    assert done.returncode == 1 and "1 x HTTP 500: no" in done.stderr
    assert [(line["status"], line["tokens"]) for line in lines(jsonl)] == [("error", None), ("ok", 3), ("ok", 3)]
    assert lines(jsonl)[0]["ttft"] is None and lines(jsonl)[0]["itl"] == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_signal_keeps_what_was_recorded(tmp_path: Path, number: signal.Signals, workers: str) -> None:
    jsonl = tmp_path / "r.jsonl"
    with ScriptedServer(lambda seen: [GOOD] if seen.number < 4 else [HEAD, chunk(events(3)[0]), HOLD]) as server:
        command = [
            "--url",
            server.url,
            "--threads",
            "2",
            "--max-tokens",
            "3",
            "--jsonl",
            str(jsonl),
            "--workers",
            workers,
        ]
        process = subprocess.Popen([sys.executable, PROGRAM, *command], stderr=subprocess.PIPE, text=True)
        while len(server.seen) < 6:
            time.sleep(0.01)
        time.sleep(0.2)
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 1 and "broken off" in errors
    assert sorted(line["status"] for line in lines(jsonl)) == ["cancelled"] * 2 + ["ok"] * 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--threads", "0"], "--threads 0: expected a whole number from 1"),
        (["--protocol", "telnet"], "invalid choice: 'telnet' (choose from"),
        (["--url", "tcp://x"], "expected http://"),
        (["--url", "http://h:1/v1/chat/completions"], "ends in /chat/completions, which is not /v1/completions"),
        (["--url", "http://does-not-exist.invalid"], "cannot be looked up"),
        (["--prompts", "/does/not/exist"], "there is no such prompt file"),
        (["--extra", "{"], "--extra '{': not JSON"),
        (["--extra", "[]"], "expected a JSON object"),
        (["--header", "nonsense"], "--header 'nonsense': expected NAME:VALUE"),
        (["--header", "Host: x"], "set by the client itself"),
        (["--api-key-env", "NO_SUCH_KEY"], "--api-key-env NO_SUCH_KEY: no such environment variable"),
        (["--arrival", "gamma"], "--arrival gamma: needs --rate"),
        (["--arrival", "trace"], "--arrival trace: needs --trace"),
        (["--rate", "-1"], "--rate -1.0: expected a number greater than 0"),
        (["--arrival", "ramp", "--rate", "2"], "a ramp needs end_rate"),
        (["--timeout", "0"], "--timeout 0.0: expected a number greater than 0"),
        (["--out", "/proc/nowhere/x.parquet"], "/proc/nowhere"),
        (["--tokenizer", "/does/not/exist"], "/does/not/exist"),
    ],
)
def test_usage_errors(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        load.main(["--url", "http://127.0.0.1:1", "--quiet", *arguments])
    assert left.value.code == 2 and message in capsys.readouterr().err


def parsed(*arguments: str) -> Any:
    return options.read_options(options.parser().parse_args(["--url", "http://h:1", *arguments]))


@pytest.mark.parametrize(
    ("url", "arguments", "expected"),
    [
        ("http://h:1", [], "http://h:1/v1/completions"),
        ("http://h:1/", [], "http://h:1/v1/completions"),
        ("http://h:1/v1", [], "http://h:1/v1/completions"),
        ("http://h:1/v1/completions", [], "http://h:1/v1/completions"),
        ("https://h/proxy", ["--protocol", "llamacpp-completion"], "https://h/proxy/completion"),
        ("http://h:1/v1", ["--path", "/other"], "http://h:1/other"),
        ("http://h:1/v1/completions?a=b#c", ["--path", "other"], "http://h:1/other?a=b"),
        ("http://h:1/v1/?a=b#c", [], "http://h:1/v1/completions?a=b"),
    ],
)
def test_where_it_goes(url: str, arguments: list[str], expected: str) -> None:
    assert options.read_options(options.parser().parse_args(["--url", url, *arguments])).endpoint.url == expected


def test_what_it_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "secret")
    plan = parsed(
        "--api-key-env",
        "KEY",
        "--header",
        "X-A: b: c",
        "--seed",
        "5",
        "--temperature",
        "0.5",
        "--extra",
        '{"top_k": 2}',
    )
    assert plan.endpoint.headers == {"X-A": "b: c", "Authorization": "Bearer secret"}
    body = json.loads(plan.requests[0].body)
    assert (body["seed"], body["temperature"], body["top_k"], body["max_tokens"], body["ignore_eos"]) == (
        5,
        0.5,
        2,
        128,
        True,
    )
    assert len(plan.requests) == len(TEXTS) and len({request.id for request in plan.requests}) == len(TEXTS)
    free = parsed("--stop-at-eos")
    assert not free.requests[0].exact and "ignore_eos" not in json.loads(free.requests[0].body)


def test_when_it_sends(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    trace.write_text("1\n2\n4\n")
    assert parsed("--threads", "3", "--requests", "7", "--duration", "2").shape == ClosedLoop(3, 7, 2.0)
    assert parsed("--arrival", "constant", "--rate", "2", "--requests", "3").shape.arrivals_s == [0.0, 0.5, 1.0]
    assert parsed("--arrival", "burst", "--rate", "2", "--burst-size", "2", "--duration", "2").shape.arrivals_s == [
        0.0,
        0.0,
        1.0,
        1.0,
    ]
    assert parsed("--trace", str(trace)).shape.arrivals_s == [0.0, 1.0, 3.0]
    assert parsed("--trace", str(trace), "--requests", "2", "--rate", "1").shape.arrivals_s == [
        0.0,
        pytest.approx(1 / 1.5 * 1),
    ]
    poisson = parsed("--rate", "10", "--seed", "3").shape.arrivals_s
    assert len(poisson) == len(TEXTS) and poisson == parsed("--rate", "10", "--seed", "3").shape.arrivals_s


def test_nothing_heavy_is_imported_before_the_load() -> None:
    code = f"import sys; sys.path.insert(0, {str(PROGRAM.parent)!r}); import load; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"pyarrow", "pandas", "numpy", "tokenizers", "asyncio", "pydantic_core", "requests"}
    assert not heavy & set(done.stdout.split())
