"""Load a server and record every request. Works with any endpoint and without a sweep."""

import argparse
import signal
import sys
import threading
from collections import Counter
from typing import Any

from servegrid.client.options import parser, read_options
from servegrid.client.run import LoadProgress, LoadResult, run
from servegrid.records.request import RequestRecord

LINE_EVERY = 40  # progress lines when standard error is no terminal: one in so many


def show(progress: LoadProgress, calls: list[int]) -> None:
    """Print one line of progress on standard error, over the last one if it is a terminal."""
    calls[0] += 1
    total = f" of {progress.total}" if progress.total else ""
    failed = f", {progress.failed} failed" if progress.failed else ""
    line = f"{progress.ended}{total} requests ended, {progress.sent - progress.ended} in flight{failed}"
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
    elif calls[0] % LINE_EVERY == 0:
        print(line, file=sys.stderr, flush=True)


def write(result: LoadResult, options: argparse.Namespace) -> None:
    """Write the files named in the options, each atomically."""
    if options.jsonl:
        from servegrid.client.json_lines import json_lines
        from servegrid.util.files import write_atomic

        write_atomic(options.jsonl, json_lines(result.records))
    if options.out:
        from servegrid.records.schema import requests_table, write_table

        write_table(options.out, requests_table(result.records))


def summary(result: LoadResult) -> str:
    """Text of a few lines: requests, tokens, client CPU, lateness, errors."""
    records, window_s = result.records, result.end_s - result.start_s
    by_status = Counter(record.status for record in records)
    lines = [
        f"{len(records)} requests in {window_s:.3f} s: "
        + ", ".join(f"{n} {status}" for status, n in by_status.most_common()),
        f"{_token_total(records)}; client CPU {result.client_cpu_s:.3f} s",
    ]
    if result.lateness:
        lines[1] += (
            f"; sent late by {result.lateness.p50_s * 1e3:.1f} ms (p50), {result.lateness.p99_s * 1e3:.1f} ms (p99)"
        )
    if cached := sum(record.cached_tokens or 0 for record in records):
        prompt = sum(record.prompt_tokens or 0 for record in records)
        lines.append(f"{cached} of {prompt} prompt tokens were in the server's cache")
    if result.unsent:
        lines.append(f"{result.unsent} requests were not sent, because the load was broken off")
    if at_once := sum(record.came_at_once for record in records):
        lines.append(f"{at_once} answers came at once: their time to first token is that to the whole answer")
    errors = Counter(record.error for record in records if record.status != "ok")
    lines += [f"{number} x {error}" for error, number in errors.most_common(5)]
    return "\n".join(lines)


def _token_total(records: list[RequestRecord]) -> str:
    """Output tokens of the answers, in words; what is unknown is not counted as none."""
    counts = [record.output_tokens for record in records if record.status in ("ok", "short")]
    known = [count for count in counts if count is not None]
    if counts and not known:
        return "output tokens unknown"
    unknown = f", of {len(counts) - len(known)} answers unknown" if len(known) < len(counts) else ""
    return f"{sum(known)} output tokens{unknown}"


def main(arguments: list[str] | None = None, stop: threading.Event | None = None) -> int:
    """Run one load. Exit status 0: all requests ok, 1: some were not, 2: the command line is wrong."""
    options = parser(__doc__).parse_args(arguments)
    calls = [0]
    try:
        plan = read_options(options)
        result = run(
            plan.endpoint,
            plan.requests,
            plan.shape,
            plan.protocol,
            timeouts=plan.timeouts,
            answer_bytes=options.answer_bytes,
            workers=options.workers,
            kind=options.client,
            tokenizer=plan.tokenizer,
            on_progress=None if options.quiet else lambda progress: show(progress, calls),
            stop=stop,
        )
    except (ValueError, OSError) as error:
        print(f"load.py: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    write(result, options)
    if sys.stderr.isatty() and not options.quiet:
        print("\r\x1b[K", end="", file=sys.stderr)
    print(summary(result), file=sys.stderr)
    if result.interrupted_by:
        raise result.interrupted_by
    return 0 if all(record.status == "ok" for record in result.records) and not result.unsent else 1


def stop_on_signals() -> threading.Event:
    """Event that Ctrl-C or SIGTERM sets: the load ends and keeps what was recorded. A second signal ends the program."""
    stop = threading.Event()

    def on_signal(number: int, _frame: Any) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL)

    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGTERM, on_signal)
    return stop


if __name__ == "__main__":
    sys.exit(main(stop=stop_on_signals()))
