"""How often 95 % intervals hold when `repeats: auto` ends by them: to stop at a narrow interval picks narrow ones by luck.

    .venv/bin/python bench/stopping.py

Simulates servers whose rate varies between sessions by a known share (logarithms normally distributed, fixed seed), with the
defaults of `repeats`. Measures nothing; runs in half a minute.
"""

import random
import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "workflow" / "scripts"))

from servegrid.config.models import Repeats  # noqa: E402
from servegrid.plan.repeats import is_precise  # noqa: E402
from servegrid.stats import intervals  # noqa: E402

SERVERS = 4000


def main() -> None:
    for noise in (0.01, 0.03, 0.05, 0.08, 0.15):
        draw = random.Random(2)
        outcomes = [held_after(noise, Repeats(), draw) for _ in range(SERVERS)]
        held, sessions = (sum(column) / SERVERS for column in zip(*outcomes, strict=True))
        print(f"noise {noise:4.0%}: holds in {held:.1%} of {SERVERS} servers, {sessions:.1f} sessions on the mean")


def held_after(noise: float, repeats: Repeats, draw: random.Random) -> tuple[bool, int]:
    """Whether the interval at the end has the true rate in it, and after how many sessions that was."""
    loads = [load(100 * draw.lognormvariate(0, noise)) for _ in range(repeats.at_most)]
    counts = range(repeats.at_least, repeats.at_most)
    enough = next((n for n in counts if is_precise(loads[:n], repeats.precision)), repeats.at_most)
    mean = intervals.mean([record["requests"]["ok"] / record["end_s"] for record in loads[:enough]])
    return mean.low is not None and mean.high is not None and mean.low <= 1 <= mean.high, enough


def load(seconds: float) -> dict[str, Any]:
    """A load of 100 requests, as its record tells of it."""
    return {"status": "ok", "start_s": 0.0, "end_s": seconds, "requests": {"ok": 100}}


if __name__ == "__main__":
    main()
