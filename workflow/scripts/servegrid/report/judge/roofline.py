"""Throughput against the limits of the device: its memory bandwidth and its tensor cores."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from servegrid.report.evidence import Evidence
from servegrid.report.judge.model_size import ModelSize
from servegrid.results.axes import NO_EFFECT, level_label
from servegrid.stats.intervals import Estimate, bonferroni_level

WIDTHS = {"float32": 4, "float16": 2, "bfloat16": 2}
"""Bytes of a parameter by type."""
COLUMNS = ("name", "tensor_tflops", "bandwidth_gb_s", "memory_gb", "source")
DEFINITION = (
    "The share of the bandwidth is a lower bound: output tokens/s / mean number of running requests x bytes of the weights in the"
    " type that was served / bandwidth, as every step of decoding reads all weights but the embeddings once for all running"
    " requests; reads of the KV cache are not counted, and with speculation, where a step yields several tokens, it is not given."
    " The share of the compute is 2 x parameters without embeddings and head x (prompt and output tokens)/s / dense FP16 tensor"
    " TFLOPS, after Kaplan et al. (2020), 2001.08361; drafted tokens, attention over the context and, where prompts may be cached,"
    " prompt tokens are not counted."
    " Of a mixture of experts, whose steps use some of the weights, neither is given."
)


@dataclass(frozen=True)
class RooflineShare:
    """Shares of its device's limits that one row reaches: 0 to 1, None where something is not known."""

    row: int
    device: str
    tensor_tflops: float
    bandwidth_gb_s: float
    of_bandwidth: float | None
    of_compute: float | None


def read_devices(path: Path) -> pd.DataFrame:
    """Table of device data sheets: config/published/devices.csv.

    Raises:
        ValueError: a column is missing.
    """
    table = pd.read_csv(path)
    if missing := [name for name in COLUMNS if name not in table]:
        raise ValueError(f"{path}: lacks the columns {', '.join(missing)}")
    return table


def roofline_shares(
    evidence: Evidence, devices: pd.DataFrame, sizes: Mapping[str, ModelSize]
) -> Iterator[RooflineShare]:
    """Shares of every usable row whose device is in the table; `sizes` by server id."""
    for row in evidence.usable("time_s").index:
        device = _device_row(evidence, int(row), devices)
        if device is not None:
            size = sizes.get(str(evidence.rows["server_id"].iloc[row]), ModelSize())
            yield _roofline_share(evidence.rows.iloc[row], int(row), device, size)


@dataclass(frozen=True)
class DeviceContrast:
    """Two devices at points otherwise the same: ratios of throughput, TFLOPS and bandwidth to the reference's."""

    source: str
    place: dict[str, str]
    device: str
    reference: str
    throughput: Estimate
    tensor: float
    bandwidth: float


def device_contrasts(evidence: Evidence, shares: Sequence[RooflineShare]) -> Iterator[DeviceContrast]:
    """Contrast of every known device with the first one of its group of points."""
    axes = [axis for axis in evidence.settings.all_axes if axis != "gpu"]
    groups: dict[tuple[str, ...], list[RooflineShare]] = {}
    for share in shares:
        place = evidence.rows.iloc[share.row]
        groups.setdefault((place["source"], *(level_label(place[axis]) for axis in axes)), []).append(share)
    pairs = [
        (group_key, share, group[0])
        for group_key, group in groups.items()
        for share in group[1:]
        if share.device != group[0].device
    ]
    level = bonferroni_level(len(pairs))
    for group_key, share, reference in pairs:
        throughput = evidence.times_better(share.row, reference.row, "time_s", level)
        tensor, bandwidth = (
            share.tensor_tflops / reference.tensor_tflops,
            share.bandwidth_gb_s / reference.bandwidth_gb_s,
        )
        axis_values = dict(zip(axes, group_key[1:], strict=True))
        yield DeviceContrast(group_key[0], axis_values, share.device, reference.device, throughput, tensor, bandwidth)


def _device_row(evidence: Evidence, row: int, devices: pd.DataFrame) -> "pd.Series[float] | None":
    """The only device with all words of the row's device: the driver's name, else the config's, else the publication's."""
    place = evidence.rows.iloc[row]
    name = str(place["gpu_name"] or evidence.settings.devices.get(place["gpu"]) or place["gpu"])
    name_words = set(name.casefold().split()) - {"nvidia", "geforce"}  # several GPUs have a comma between, and fit none
    matches = [
        n for n, device_name in enumerate(devices["name"]) if name_words <= set(str(device_name).casefold().split())
    ]
    device: pd.Series[float] | None = devices.iloc[matches[0]] if len(matches) == 1 else None
    return device


def _roofline_share(place: "pd.Series[float]", row: int, device: "pd.Series[float]", size: ModelSize) -> RooflineShare:
    name, tensor, bandwidth = str(device["name"]), float(device["tensor_tflops"]), float(device["bandwidth_gb_s"])
    of_bandwidth = of_compute = None
    steps = float(place["output_tokens_per_s"]) / float(place["running_mean"] or math.nan)
    read_bytes = _read_bytes(size, str(place["served_dtype"]))
    if read_bytes and math.isfinite(steps) and str(place["speculation"]) in NO_EFFECT:
        of_bandwidth = steps * read_bytes / (bandwidth * 1e9)
    tokens = float(place["output_tokens_per_s" if size.prompts_cached else "total_tokens_per_s"])
    if size.parameters and math.isfinite(tokens):
        of_compute = 2 * size.parameters * tokens / (tensor * 1e12)
    return RooflineShare(row, name, tensor, bandwidth, of_bandwidth, of_compute)


def _read_bytes(size: ModelSize, served_type: str) -> int | None:
    """Bytes that a step reads: of a GGUF file its own, else of the parameters in the type that was served; None if unknown."""
    width = WIDTHS.get(served_type)
    return size.weights_bytes or (size.read_parameters * width if size.read_parameters and width else None)
