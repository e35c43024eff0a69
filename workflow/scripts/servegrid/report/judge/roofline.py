"""Throughput against what the device can do at most: its memory bandwidth and its tensor cores."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from servegrid.report.evidence import Evidence
from servegrid.report.judge.model_size import ModelSize
from servegrid.results.axes import NO_EFFECT, level_label
from servegrid.stats.intervals import Estimate, bonferroni_level

COLUMNS = ("name", "tensor_tflops", "bandwidth_gb_s", "memory_gb", "source")
DEFINITION = (
    "The share of the bandwidth is a lower bound: output tokens/s / mean number of running requests x bytes of the weights /"
    " bandwidth, as every step of decoding reads all weights once for all running requests; reads of the KV cache are not"
    " counted, and with speculation, where a step yields several tokens, it is not given."
    " The share of the compute is 2 x parameters x (prompt and output tokens)/s / dense FP16 tensor TFLOPS, after Kaplan et"
    " al. (2020), 2001.08361; drafted tokens, attention and, where prompts may be cached, prompt tokens are not counted."
    " Of a mixture of experts, whose steps use some of the weights, neither is given."
)


@dataclass(frozen=True)
class Share:
    """One row beside its device; shares are 0 to 1, None where something is not known."""

    row: int
    device: str
    tensor_tflops: float
    bandwidth_gb_s: float
    of_bandwidth: float | None
    of_compute: float | None


def read_devices(path: Path) -> pd.DataFrame:
    """The table of device facts.

    Raises:
        ValueError: a column is missing.
    """
    table = pd.read_csv(path)
    if missing := [name for name in COLUMNS if name not in table]:
        raise ValueError(f"{path}: lacks the columns {', '.join(missing)}")
    return table


def shares(evidence: Evidence, devices: pd.DataFrame, sizes: Mapping[str, ModelSize]) -> Iterator[Share]:
    """Every usable row whose device is in the table; `sizes` by server id."""
    for row in evidence.usable("time_s").index:
        facts = _facts(evidence, int(row), devices)
        if facts is not None:
            size = sizes.get(str(evidence.rows["server_id"].iloc[row]), ModelSize())
            yield _share(evidence.rows.iloc[row], int(row), facts, size)


@dataclass(frozen=True)
class Contrast:
    """Two devices at points otherwise the same: how many times the reference's throughput, TFLOPS and bandwidth."""

    source: str
    place: dict[str, str]
    device: str
    reference: str
    throughput: Estimate
    tensor: float
    bandwidth: float


def contrasts(evidence: Evidence, found: Sequence[Share]) -> Iterator[Contrast]:
    """Every known device against the first one of its group of points."""
    axes = [axis for axis in evidence.settings.all_axes if axis != "gpu"]
    groups: dict[tuple[str, ...], list[Share]] = {}
    for one in found:
        place = evidence.rows.iloc[one.row]
        groups.setdefault((place["source"], *(level_label(place[axis]) for axis in axes)), []).append(one)
    pairs = [
        (key, one, group[0]) for key, group in groups.items() for one in group[1:] if one.device != group[0].device
    ]
    level = bonferroni_level(len(pairs))
    for key, one, first in pairs:
        throughput = evidence.times_better(one.row, first.row, "time_s", level)
        tensor, bandwidth = one.tensor_tflops / first.tensor_tflops, one.bandwidth_gb_s / first.bandwidth_gb_s
        at = dict(zip(axes, key[1:], strict=True))
        yield Contrast(key[0], at, one.device, first.device, throughput, tensor, bandwidth)


def _facts(evidence: Evidence, row: int, devices: pd.DataFrame) -> "pd.Series[float] | None":
    """The only device with all words of the row's: the driver's name, else the config's, else what the publication says."""
    place = evidence.rows.iloc[row]
    name = str(place["gpu_name"] or evidence.settings.devices.get(place["gpu"]) or place["gpu"])
    words = set(name.casefold().split()) - {"nvidia", "geforce"}  # several GPUs have a comma between, and fit none
    found = [n for n, known in enumerate(devices["name"]) if words <= set(str(known).casefold().split())]
    facts: pd.Series[float] | None = devices.iloc[found[0]] if len(found) == 1 else None
    return facts


def _share(place: "pd.Series[float]", row: int, facts: "pd.Series[float]", size: ModelSize) -> Share:
    name, tensor, bandwidth = str(facts["name"]), float(facts["tensor_tflops"]), float(facts["bandwidth_gb_s"])
    of_bandwidth = of_compute = None
    steps = float(place["output_tokens_per_s"]) / float(place["running_mean"] or math.nan)
    if size.weights_bytes and math.isfinite(steps) and str(place["speculation"]) in NO_EFFECT:
        of_bandwidth = steps * size.weights_bytes / (bandwidth * 1e9)
    tokens = float(place["output_tokens_per_s" if size.prompts_cached else "total_tokens_per_s"])
    if size.parameters and math.isfinite(tokens):
        of_compute = 2 * size.parameters * tokens / (tensor * 1e12)
    return Share(row, name, tensor, bandwidth, of_bandwidth, of_compute)
