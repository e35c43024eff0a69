"""A load in a process of its own, for what it takes of memory: `python -m standins.measured <url> <arguments as JSON>`.

Prints JSON: `outcomes` as [status, error, requests], `longest_s` of all requests, `grown_mb` of the process at its peak.
"""

import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from servegrid import protocols
from servegrid.client.endpoint import Endpoint
from servegrid.client.exchange import Request
from servegrid.client.run import run
from servegrid.client.shape import ClosedLoop, Timeouts
from servegrid.protocols.base import GenerationSettings

PROTOCOL = protocols.get("openai-completions")


def peak_mb() -> float:
    """Most memory this process ever held. Not by getrusage, which counts in what held the process that started it."""
    match = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert match
    return int(match[1]) / 1024


def measured(url: str, number: int, threads: int, timeouts: dict[str, float], **more: Any) -> dict[str, Any]:
    body = PROTOCOL.body("Hi", GenerationSettings(max_tokens=3))
    requests = [Request(f"r{n}", "p", body, 3) for n in range(number)]
    before = peak_mb()
    result = run(Endpoint(url), requests, ClosedLoop(threads), PROTOCOL, timeouts=Timeouts(**timeouts), **more)
    ends = [(record.end_s or 0) - record.sent_s for record in result.records if record.sent_s is not None]
    return {
        "outcomes": [[*kind, times] for kind, times in Counter((r.status, r.error) for r in result.records).items()],
        "longest_s": max(ends, default=0.0),
        "grown_mb": peak_mb() - before,
    }


if __name__ == "__main__":
    import pydantic_core  # noqa: F401  # what only reading loads, so that it is not counted

    print(json.dumps(measured(sys.argv[1], **json.loads(sys.argv[2]))))
