"""Command line of a load that is run alone."""

import argparse
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from servegrid import protocols
from servegrid.client import arrivals
from servegrid.client.builtin_prompts import builtin_prompts
from servegrid.client.endpoint import Endpoint
from servegrid.client.exchange import Request
from servegrid.client.shape import KINDS, ClosedLoop, OpenLoop, Shape, Timeouts
from servegrid.prompts import files as prompt_files
from servegrid.prompts.files import Prompt
from servegrid.protocols import server_url
from servegrid.protocols.base import GenerationSettings, Protocol

ARRIVALS = ("closed", *arrivals.KINDS, "trace")
WHOLE_NUMBERS = ("threads", "requests", "max_tokens", "workers", "burst_size", "answer_bytes")
POSITIVE_NUMBERS = (
    "rate",
    "duration",
    "end_rate",
    "burstiness",
    "connect_timeout",
    "first_byte_timeout",
    "timeout",
    "time_limit",
)


class UsageError(ValueError):
    """The command line is invalid; names the option, its value, and what is allowed."""


@dataclass(frozen=True)
class LoadPlan:
    """The load described by a command line."""

    endpoint: Endpoint
    protocol: Protocol
    requests: list[Request]
    shape: Shape
    timeouts: Timeouts
    tokenizer: Any


def parser(description: str | None = None) -> argparse.ArgumentParser:
    """Parser of the command line."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    target = parser.add_argument_group("where to")
    target.add_argument("--url", required=True, help="server, such as http://127.0.0.1:8000")
    target.add_argument(
        "--protocol", choices=protocols.names(), default="openai-completions", help="how it is spoken to"
    )
    target.add_argument("--path", help="path of the endpoint, if not the protocol's own")
    target.add_argument("--header", action="append", default=[], metavar="NAME:VALUE", help="further header field")
    target.add_argument(
        "--api-key-env", metavar="VARIABLE", help="environment variable that holds the API key (Bearer)"
    )
    target.add_argument("--ca-file", type=Path, help="certificates to trust (PEM)")
    target.add_argument("--insecure", action="store_true", help="do not check the server's certificate")
    content = parser.add_argument_group("what")
    content.add_argument("--model", help="model's name, as the server knows it")
    content.add_argument(
        "--prompts", type=Path, help="JSON Lines with id, prompt, max_tokens; else a few built-in ones"
    )
    content.add_argument("--max-tokens", type=int, default=128, help="output tokens where the prompt does not say")
    content.add_argument(
        "--stop-at-eos", action="store_true", help="let the model stop early, instead of exactly --max-tokens"
    )
    content.add_argument("--temperature", type=float, default=0.0, help="0 is greedy")
    content.add_argument("--seed", type=int, help="of the arrival plan (else 0), and sent with the requests if given")
    content.add_argument(
        "--extra",
        metavar="JSON",
        help="object of further body fields; null leaves a field out, the text <max_tokens> is that number",
    )
    _add_timing_options(parser.add_argument_group("when"))
    results = parser.add_argument_group("results")
    results.add_argument("--out", type=Path, metavar="FILE.parquet", help="one row per request")
    results.add_argument("--jsonl", type=Path, metavar="FILE.jsonl", help="one JSON object per request")
    results.add_argument(
        "--tokenizer", type=Path, metavar="tokenizer.json", help="counts tokens if the server does not"
    )
    results.add_argument(
        "--answer-bytes",
        type=int,
        help="largest answer; else 8 KiB per token, at least 1 MiB, and more where events repeat the text",
    )
    results.add_argument("--quiet", action="store_true", help="no progress on standard error")
    return parser


def _add_timing_options(group: Any) -> None:
    group.add_argument("--threads", type=int, default=1, help="closed loop: requests in flight at once")
    group.add_argument(
        "--requests", type=int, help="how many; else every prompt once, or as many as the duration allows"
    )
    group.add_argument("--duration", type=float, metavar="S", help="send for so long, then let the rest finish")
    group.add_argument(
        "--arrival", choices=ARRIVALS, help="else poisson with --rate, trace with --trace, closed without"
    )
    group.add_argument("--rate", type=float, metavar="PER_S", help="planned arrivals: requests per second")
    group.add_argument("--burstiness", type=float, default=1.0, help="gamma: shape; 1 is poisson, less is burstier")
    group.add_argument("--burst-size", type=int, default=8, help="burst: requests at once")
    group.add_argument("--end-rate", type=float, metavar="PER_S", help="ramp: rate at the end of --duration")
    group.add_argument("--trace", type=Path, help="arrival times in s, one per line; --rate stretches them")
    group.add_argument(
        "--client", choices=KINDS, default="stream", help="kind: own core, requests library, GNU parallel"
    )
    group.add_argument("--workers", type=int, default=1, help="processes that share the work")
    group.add_argument("--connect-timeout", type=float, default=10.0, metavar="S", help="per connection")
    group.add_argument("--first-byte-timeout", type=float, metavar="S", help="per request; else as --timeout")
    group.add_argument("--timeout", type=float, default=600.0, metavar="S", help="per request, from sending to the end")
    group.add_argument(
        "--time-limit", type=float, metavar="S", help="of the whole load; what is in flight then is a timeout"
    )


def endpoint(options: argparse.Namespace, protocol: Protocol) -> Endpoint:
    """Endpoint of the requests."""
    url = options.url
    if mistake := server_url.mistake(url, None if options.path else protocol):
        raise UsageError(f"--url {server_url.shown(url)}: {mistake}")
    path = options.path and f"/{options.path.lstrip('/')}"
    url = server_url.at(url, path) if path else server_url.join(url, protocol.path)
    headers = {**protocol.headers, **dict(_parse_header(text) for text in options.header)}
    if options.api_key_env:
        key = os.environ.get(options.api_key_env)
        if not key:
            raise UsageError(f"--api-key-env {options.api_key_env}: no such environment variable, or it is empty")
        headers["Authorization"] = f"Bearer {key}"
    return Endpoint(url, headers, verify=not options.insecure, ca_file=options.ca_file)


def _parse_header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise UsageError(f"--header {text!r}: expected NAME:VALUE")
    return name.strip(), value.strip()


def requests(options: argparse.Namespace, protocol: Protocol) -> list[Request]:
    """Requests to send: the prompts in order, from the first again if there are fewer prompts than requests."""
    prompts = prompt_files.read_prompts(options.prompts) if options.prompts else builtin_prompts()
    bodies = [_body(prompt, options, protocol) for prompt in prompts]
    count = max(options.requests or len(prompts), len(prompts) if options.duration else 1)
    run_id = os.urandom(4).hex()
    return [
        Request(f"{run_id}-{index}", prompts[prompt_index].id, *bodies[prompt_index], exact=not options.stop_at_eos)
        for index, prompt_index in ((index, index % len(prompts)) for index in range(count))
    ]


def _body(prompt: Prompt, options: argparse.Namespace, protocol: Protocol) -> tuple[bytes, int]:
    max_tokens = prompt.max_tokens or options.max_tokens
    settings = GenerationSettings(
        max_tokens=max_tokens,
        model=options.model,
        exact=not options.stop_at_eos,
        temperature=options.temperature,
        seed=options.seed,
        extra=options.extra,
    )
    return protocol.body(prompt.text, settings), max_tokens


def shape(options: argparse.Namespace, request_count: int) -> Shape:
    """Shape of the load: when requests are sent; `request_count`: how many there are."""
    arrival = options.arrival or ("trace" if options.trace else "poisson" if options.rate else "closed")
    if arrival == "closed":
        return ClosedLoop(options.threads, options.requests, options.duration)
    if arrival == "trace":
        if options.trace is None:
            raise UsageError("--arrival trace: needs --trace FILE")
        offsets = arrivals.read_trace(options.trace, options.rate)
        return OpenLoop(
            [offset for offset in offsets if offset < (options.duration or float("inf"))][: options.requests]
        )
    if options.rate is None:
        raise UsageError(f"--arrival {arrival}: needs --rate")
    plan = arrivals.ArrivalPlan(
        arrival,
        options.rate,
        count=options.requests or (None if options.duration else request_count),
        duration_s=options.duration,
        seed=options.seed or 0,
        burstiness=options.burstiness,
        burst_size=options.burst_size,
        end_rate=options.end_rate,
    )
    return OpenLoop(plan.offsets_s())


def read_options(options: argparse.Namespace) -> LoadPlan:
    """Check the command line and return the load it describes.

    Raises:
        UsageError, ValueError: when it is invalid.
        OSError: when a file cannot be read.
    """
    for name in (*WHOLE_NUMBERS, *POSITIVE_NUMBERS):
        value = getattr(options, name)
        if value is not None and not 0 < value < float("inf"):
            expected = "a whole number from 1" if name in WHOLE_NUMBERS else "a number greater than 0"
            raise UsageError(f"--{name.replace('_', '-')} {value}: expected {expected}")
    for path in (options.out, options.jsonl):
        _check_writable(path)
    options.extra = _parse_extra(options.extra)
    protocol = protocols.get(options.protocol)
    to_send = requests(options, protocol)
    timeouts = Timeouts(options.connect_timeout, options.first_byte_timeout, options.timeout, options.time_limit)
    return LoadPlan(
        endpoint(options, protocol),
        protocol,
        to_send,
        shape(options, len(to_send)),
        timeouts,
        _load_tokenizer(options.tokenizer),
    )


def _load_tokenizer(path: Path | None) -> Any:
    if path is None:
        return None
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing more precise
        raise UsageError(f"--tokenizer {path}: {error}") from None


def _parse_extra(text: str | None) -> dict[str, Any]:
    try:
        fields = json.loads(text or "{}")
    except ValueError as error:
        raise UsageError(f"--extra {text!r}: not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise UsageError(f"--extra {text!r}: expected a JSON object")
    return fields


def _check_writable(path: Path | None) -> None:
    """Check that a file can be written, before the load and not when its records would be lost."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise UsageError(f"{path}: cannot be written")
