"""Result tables with planted effects and planted noise: points and their sessions."""

import itertools
import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

Place = Mapping[str, Any]
TOKENS = 1000


def planted(
    axes: Mapping[str, Sequence[Any]],
    time_s: Callable[[Place], float] = lambda place: 10.0,
    noise: float = 0.02,
    sessions: int = 3,
    seed: int = 1,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Points and sessions of the product of `axes`, whose times are `time_s` with a log-normal noise of that share."""
    draw = random.Random(seed)
    grid = {"engine": ["e"], "gpu": ["cpu"], "threads": [1], "speculation": ["none"], "quantization": ["none"], **axes}
    points, rows = [], []
    for number, values in enumerate(itertools.product(*grid.values())):
        place = dict(zip(grid, values, strict=True))
        times = [time_s(place) * math.exp(draw.gauss(0, noise)) for _ in range(sessions)]
        ids = {"status": "ok", "server_id": f"s{number}", "load_id": "l"}
        points.append(place | ids | {"reason": None, "sessions": sessions, **_numbers(sum(times) / sessions)})
        rows += [place | ids | {"rep": rep} | _numbers(time) for rep, time in enumerate(times, 1)]
    return pd.DataFrame(points), pd.DataFrame(rows)


def _numbers(time_s: float) -> dict[str, float]:
    return {"time_s": time_s, "output_tokens_per_s": TOKENS / time_s, "j_per_output_token": time_s / 7}
