"""How often verdicts are right: simulated sweeps with planted noise, held against what docs/statistics.md promises.

    .venv/bin/python bench/verdicts.py [--sweeps 400]

Every table is of the same functions that the report and compare use. Worlds: noise of 2 % in all, independent; 43 % or 90 % of its variance
shared by the loads of a session; launches that differ by 2 % and loads by 1.15 %; rounds that differ by 2 % beside it; sessions in one of two
modes 4 % apart. Then worlds that break what the model assumes: heavy tails (Student's t of 3 degrees of freedom), variances that differ by
server (log-sd 0.5; a fifth of the servers at five times the noise) or by load (half to twice). Random, with a fixed seed; measures nothing.
About 20 minutes with 400 sweeps a world on two cores.
"""

import argparse
import math
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "workflow" / "scripts"))

from servegrid.compare.metric_changes import metric_comparisons  # noqa: E402
from servegrid.compare.session_values import SessionValues  # noqa: E402
from servegrid.report.sweep_model import sweep_model  # noqa: E402
from servegrid.results.session_values import PointIds  # noqa: E402
from servegrid.stats.intervals import bonferroni_level  # noqa: E402
from servegrid.stats.session_model import SessionModel  # noqa: E402

Logs = NDArray[np.floating]
"""Logarithms of session values; shape (servers, rounds, loads)."""
Size = tuple[int, int, int]
"""Servers, rounds, loads of each server."""
Draw = np.random.Generator
NOISE, PLANTED = 0.02, 0.08
COMPARED_METRICS = 10
"""Metrics that compare looks at where none are named: they share its error probability."""
SESSION_PART = {"independent": 0.0, "session 43 %": 0.43, "session 90 %": 0.9, "round": 0.0}


def shared(draw: Draw, size: Size, part: float, sd: float = NOISE) -> Logs:
    """Noise of `sd`, of whose variance the `part` is shared by the loads of a session."""
    sessions = draw.normal(0, math.sqrt(part) * sd, (*size[:2], 1))
    return sessions + draw.normal(0, math.sqrt(1 - part) * sd, size)


def world(kind: str, draw: Draw, size: Size) -> Logs:
    """Logarithms of one sweep in which all points are alike, with mean 0."""
    if kind in SESSION_PART:
        rounds = draw.normal(0, NOISE, (1, size[1], 1)) if kind == "round" else 0.0
        return shared(draw, size, SESSION_PART[kind]) + rounds
    if kind == "launches":
        return draw.normal(0, 0.02, (*size[:2], 1)) + draw.normal(0, 0.0115, size)
    if kind == "two modes":
        return 0.04 * draw.integers(0, 2, (*size[:2], 1)) - 0.02 + draw.normal(0, 0.01, size)
    if kind == "heavy tails":
        return draw.standard_t(3, size) * NOISE / math.sqrt(3)
    if kind == "servers differ":
        return shared(draw, size, 0.5) * np.exp(draw.normal(0, 0.5, (size[0], 1, 1)))
    if kind == "few noisy":
        return shared(draw, size, 0.5) * np.where(draw.random((size[0], 1, 1)) < 0.2, 5, 1)
    return draw.normal(0, NOISE, size) * np.linspace(0.5, 2, size[2])  # loads differ


def model_of(logs: Logs) -> SessionModel[PointIds]:
    """Model of a sweep with these logarithms."""
    servers, rounds, loads = logs.shape
    places = [(server, load) for server in range(servers) for load in range(loads)]
    return sweep_model(
        {
            (str(server), str(load)): {rep: math.exp(logs[server, rep, load]) for rep in range(rounds)}
            for server, load in places
        }
    )


def outcomes(kind: str, size: Size, draw: Draw) -> tuple[float, ...]:
    """What one sweep gave, 1 or 0 each; in the order of HEADERS."""
    logs = world(kind, draw, size)
    model, count = model_of(logs), size[0] * size[2]
    pairs = [(("0", "0"), ("1", "0")), (("0", str(size[2] - 1)), ("1", str(size[2] - 1))), (("0", "0"), ("0", "1"))]
    alarms = [not holds(model.ratio(*pair).interval, 1.0) for pair in pairs]
    row = holds(model.mean(("0", "0")).interval, 1.0)
    best, *others = sorted(model.values, key=lambda point: -math.fsum(map(math.log, model.values[point].values())))
    chosen = holds(model.mean(best, of=count).interval, 1.0)
    beaten = any((model.ratio(best, other, among=count).low or 0) > 1 for other in reversed(others))
    faster = logs.copy()
    faster[1, :, 0] += math.log(1 + PLANTED)
    shown = (model_of(faster).ratio(("1", "0"), ("0", "0")).low or 0) > 1
    return (*map(float, alarms), float(row), float(chosen), float(beaten), float(shown))


HEADERS = ("between", "between, last load", "within", "row covers", "chosen covers", "beaten", "8 % shown")


def holds(interval: tuple[float, float], truth: float) -> bool:
    """Whether the interval holds the truth; one that was not given (both ends the value) does, as it claims nothing."""
    return interval[0] == interval[1] or interval[0] <= truth <= interval[1]


def comparison(kind: str, size: Size, draw: Draw, slower: float) -> tuple[float, float]:
    """Whether two runs were said to differ anywhere, and whether the first point was said to be worse."""
    before, after = (world(kind, draw, size) * (0.5 if slower else 1.0) for _ in range(2))
    after[0, :, 0] += slower
    points = [
        SessionValues(
            {"engine": str(server), "threads": str(load)}, *(by_round(run, server, load) for run in (before, after))
        )
        for server in range(size[0])
        for load in range(size[2])
    ]
    changes = metric_comparisons("time_s", points, bonferroni_level(COMPARED_METRICS if slower else 1), 0.0)
    verdicts = {tuple(change.axes.values()): change.verdict for change in changes}
    different = any(verdict in ("better", "worse") for verdict in verdicts.values())
    return float(different), float(verdicts["0", "0"] == "worse")


def by_round(logs: Logs, server: int, load: int) -> dict[int, float]:
    """Session values of a point."""
    return {rep: math.exp(value) for rep, value in enumerate(logs[server, :, load])}


def shares(job: tuple[str, Size, int, float | None]) -> list[float]:
    """Mean of the outcomes over the sweeps of one world: of a sweep, or of two compared where `slower` is given."""
    kind, size, sweeps, slower = job
    draw = np.random.default_rng([*kind.encode(), *size])
    one: Callable[[], tuple[float, ...]] = (
        (lambda: outcomes(kind, size, draw)) if slower is None else (lambda: comparison(kind, size, draw, slower))
    )
    return list(np.mean([one() for _ in range(sweeps)], axis=0))


KINDS = (*SESSION_PART, "launches", "two modes", "heavy tails", "servers differ", "few noisy", "loads differ")
SIZES = ((2, 2, 4), (2, 3, 4), (2, 5, 4), (4, 2, 4), (10, 2, 4), (10, 3, 4), (10, 5, 4), (25, 2, 8))
COMPARED = (("round", 0.0), ("independent", 0.0), ("launches", 0.0), ("two modes", 0.0), ("independent", math.log(1.1)))


def print_table(
    headers: Iterable[str], jobs: list[tuple[str, Size, int, float | None]], pool: ProcessPoolExecutor
) -> None:
    """Print a line for each job, in percent."""
    print("".join(f"{header:>20}" for header in ("world, servers x loads", "rounds", *headers)))
    for (kind, (servers, rounds, loads), _, _), means in zip(jobs, pool.map(shares, jobs), strict=True):
        numbers = "".join(f"{100 * mean:20.1f}" for mean in means)
        print(f"{kind:>14} {servers:>2} x {loads}{rounds:20d}{numbers}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweeps", type=int, default=400, help="of each world")
    sweeps = parser.parse_args().sweeps
    with ProcessPoolExecutor() as pool:
        print(f"In percent of {sweeps} sweeps; all points are alike but for the 8 %.")
        jobs = [(kind, size, sweeps if size[0] < 25 else sweeps // 4, None) for size in SIZES for kind in KINDS]
        print_table(HEADERS, jobs, pool)
        print(
            "\nTwo runs compared; the last with 1 % noise and one point 10 % slower, at the level that ten metrics share"
        )
        sizes = ((1, 2, 4), (4, 2, 4), (10, 2, 4), (4, 3, 4))
        runs = [(kind, size, sweeps, slower) for kind, slower in COMPARED for size in sizes]
        print_table(("any difference", "slower one named"), runs, pool)


if __name__ == "__main__":
    main()
