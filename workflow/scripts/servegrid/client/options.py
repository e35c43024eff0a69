"""The command line of a load that is run alone."""

import argparse
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from servegrid import protocols
from servegrid.client import arrivals
from servegrid.client.builtin_prompts import builtin_prompts
from servegrid.client.endpoint import Endpoint
from servegrid.client.exchange import Request
from servegrid.client.shape import KINDS, ClosedLoop, OpenLoop, Shape, Timeouts
from servegrid.prompts import files as prompt_files
from servegrid.prompts.files import Prompt
from servegrid.protocols.base import GenerationSettings, Protocol

ARRIVALS = ("closed", *arrivals.KINDS, "trace")
WHOLE = ("threads", "requests", "max_tokens", "workers", "burst_size", "answer_bytes")
POSITIVE = (
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
    """The command line cannot be carried out; says which option, its value, and what is allowed."""


@dataclass(frozen=True)
class Plan:
    """The command line, made sense of."""

    endpoint: Endpoint
    protocol: Protocol
    requests: list[Request]
    shape: Shape
    timeouts: Timeouts
    tokenizer: Any


def parser(description: str | None = None) -> argparse.ArgumentParser:
    """The options."""
    top = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    where = top.add_argument_group("where to")
    where.add_argument("--url", required=True, help="server, such as http://127.0.0.1:8000")
    where.add_argument(
        "--protocol", choices=protocols.names(), default="openai-completions", help="how it is spoken to"
    )
    where.add_argument("--path", help="path of the endpoint, if not the protocol's own")
    where.add_argument("--header", action="append", default=[], metavar="NAME:VALUE", help="further header field")
    where.add_argument("--api-key-env", metavar="VARIABLE", help="environment variable that holds the API key (Bearer)")
    where.add_argument("--ca-file", type=Path, help="certificates to trust (PEM)")
    where.add_argument("--insecure", action="store_true", help="do not check the server's certificate")
    what = top.add_argument_group("what")
    what.add_argument("--model", help="model's name, as the server knows it")
    what.add_argument("--prompts", type=Path, help="JSON Lines with id, prompt, max_tokens; else a few built-in ones")
    what.add_argument("--max-tokens", type=int, default=128, help="output tokens where the prompt does not say")
    what.add_argument(
        "--stop-at-eos", action="store_true", help="let the model stop early, instead of exactly --max-tokens"
    )
    what.add_argument("--temperature", type=float, default=0.0, help="0 is greedy")
    what.add_argument("--seed", type=int, help="of the arrival plan (else 0), and sent with the requests if given")
    what.add_argument("--extra", metavar="JSON", help="object of further body fields; null leaves a field out")
    _when(top.add_argument_group("when"))
    out = top.add_argument_group("results")
    out.add_argument("--out", type=Path, metavar="FILE.parquet", help="one row per request")
    out.add_argument("--jsonl", type=Path, metavar="FILE.jsonl", help="one JSON object per request")
    out.add_argument("--tokenizer", type=Path, metavar="tokenizer.json", help="counts tokens if the server does not")
    out.add_argument(
        "--answer-bytes",
        type=int,
        help="largest answer; else 8 KiB per token, at least 1 MiB, and more where events repeat the text",
    )
    out.add_argument("--quiet", action="store_true", help="no progress on standard error")
    return top


def _when(when: Any) -> None:
    when.add_argument("--threads", type=int, default=1, help="closed loop: requests in flight at once")
    when.add_argument(
        "--requests", type=int, help="how many; else every prompt once, or as many as the duration allows"
    )
    when.add_argument("--duration", type=float, metavar="S", help="send for so long, then let the rest finish")
    when.add_argument(
        "--arrival", choices=ARRIVALS, help="else poisson with --rate, trace with --trace, closed without"
    )
    when.add_argument("--rate", type=float, metavar="PER_S", help="planned arrivals: requests per second")
    when.add_argument("--burstiness", type=float, default=1.0, help="gamma: shape; 1 is poisson, less is burstier")
    when.add_argument("--burst-size", type=int, default=8, help="burst: requests at once")
    when.add_argument("--end-rate", type=float, metavar="PER_S", help="ramp: rate at the end of --duration")
    when.add_argument("--trace", type=Path, help="arrival times in s, one per line; --rate stretches them")
    when.add_argument(
        "--client", choices=KINDS, default="stream", help="kind: own core, requests library, GNU parallel"
    )
    when.add_argument("--workers", type=int, default=1, help="processes that share the work")
    when.add_argument("--connect-timeout", type=float, default=10.0, metavar="S", help="per connection")
    when.add_argument("--first-byte-timeout", type=float, metavar="S", help="per request; else as --timeout")
    when.add_argument("--timeout", type=float, default=600.0, metavar="S", help="per request, from sending to the end")
    when.add_argument(
        "--time-limit", type=float, metavar="S", help="of the whole load; what is in flight then is a timeout"
    )


def endpoint(options: argparse.Namespace, protocol: Protocol) -> Endpoint:
    """Where the requests go."""
    url = options.url.rstrip("/")
    base = urlsplit(url)
    path = options.path or protocol.path
    if options.path:
        url = f"{base.scheme}://{base.netloc}/{path.lstrip('/')}"
    elif not base.path.endswith(path):
        shared = "/v1" if base.path.endswith("/v1") and path.startswith("/v1/") else ""
        url += path.removeprefix(shared)
    headers = {**protocol.headers, **dict(_header(text) for text in options.header)}
    if options.api_key_env:
        key = os.environ.get(options.api_key_env)
        if not key:
            raise UsageError(f"--api-key-env {options.api_key_env}: no such environment variable, or it is empty")
        headers["Authorization"] = f"Bearer {key}"
    return Endpoint(url, headers, verify=not options.insecure, ca_file=options.ca_file)


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise UsageError(f"--header {text!r}: expected NAME:VALUE")
    return name.strip(), value.strip()


def requests(options: argparse.Namespace, protocol: Protocol) -> list[Request]:
    """What is sent: the prompts in order, from the first again if there are fewer than requests."""
    prompts = prompt_files.read_prompts(options.prompts) if options.prompts else builtin_prompts()
    bodies = [_body(prompt, options, protocol) for prompt in prompts]
    number = max(options.requests or len(prompts), len(prompts) if options.duration else 1)
    run_id = os.urandom(4).hex()
    return [
        Request(f"{run_id}-{index}", prompts[at].id, *bodies[at], exact=not options.stop_at_eos)
        for index, at in ((index, index % len(prompts)) for index in range(number))
    ]


def _body(prompt: Prompt, options: argparse.Namespace, protocol: Protocol) -> tuple[bytes, int]:
    tokens = prompt.max_tokens or options.max_tokens
    settings = GenerationSettings(
        max_tokens=tokens,
        model=options.model,
        exact=not options.stop_at_eos,
        temperature=options.temperature,
        seed=options.seed,
        extra=options.extra,
    )
    return protocol.body(prompt.text, settings), tokens


def shape(options: argparse.Namespace, given: int) -> Shape:
    """When the requests are sent; `given`: prompts there are."""
    kind = options.arrival or ("trace" if options.trace else "poisson" if options.rate else "closed")
    if kind == "closed":
        return ClosedLoop(options.threads, options.requests, options.duration)
    if kind == "trace":
        if options.trace is None:
            raise UsageError("--arrival trace: needs --trace FILE")
        offsets = arrivals.read_trace(options.trace, options.rate)
        return OpenLoop([at for at in offsets if at < (options.duration or float("inf"))][: options.requests])
    if options.rate is None:
        raise UsageError(f"--arrival {kind}: needs --rate")
    plan = arrivals.Plan(
        kind,
        options.rate,
        count=options.requests or (None if options.duration else given),
        duration_s=options.duration,
        seed=options.seed or 0,
        burstiness=options.burstiness,
        burst_size=options.burst_size,
        end_rate=options.end_rate,
    )
    return OpenLoop(plan.offsets_s())


def read_options(options: argparse.Namespace) -> Plan:
    """Make sense of the command line.

    Raises:
        UsageError, ValueError: when it makes none.
        OSError: when a file cannot be read.
    """
    for name in (*WHOLE, *POSITIVE):
        value = getattr(options, name)
        if value is not None and not 0 < value < float("inf"):
            what = "a whole number from 1" if name in WHOLE else "a number greater than 0"
            raise UsageError(f"--{name.replace('_', '-')} {value}: expected {what}")
    for path in (options.out, options.jsonl):
        _check_writable(path)
    options.extra = _extra(options.extra)
    protocol = protocols.get(options.protocol)
    todo = requests(options, protocol)
    timeouts = Timeouts(options.connect_timeout, options.first_byte_timeout, options.timeout, options.time_limit)
    return Plan(
        endpoint(options, protocol), protocol, todo, shape(options, len(todo)), timeouts, _tokenizer(options.tokenizer)
    )


def _tokenizer(path: Path | None) -> Any:
    if path is None:
        return None
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing more precise
        raise UsageError(f"--tokenizer {path}: {error}") from None


def _extra(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError as error:
        raise UsageError(f"--extra {text!r}: not JSON: {error}") from None
    if not isinstance(found, dict):
        raise UsageError(f"--extra {text!r}: expected a JSON object")
    return found


def _check_writable(path: Path | None) -> None:
    """Now, not when the load is done and its records would be lost."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise UsageError(f"{path}: cannot be written")
