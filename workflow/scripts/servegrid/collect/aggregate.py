"""Rows of numbers from the loads of one point: requests are pooled, and what belongs to a session is averaged."""

from collections.abc import Callable, Mapping, Sequence
from math import ceil, inf
from statistics import fmean
from typing import Any

import numpy as np

from servegrid.collect.measured_load import Measured
from servegrid.metrics import request_metrics
from servegrid.results import columns

Row = dict[str, Any]
_ROUNDED: Mapping[str, Callable[[float], int]] = {
    **dict.fromkeys(("requests_ok", "prompt_tokens", "output_tokens"), round),
    **dict.fromkeys(("requests_short", "requests_failed"), ceil),
}
"""Counts of a session, of which one failure in many sessions is not none."""


def numbers(measured: Sequence[Measured], usd_per_hour: float | None, slo: Mapping[str, float]) -> Row:
    """Every number of a point, or of one session of it.

    Args:
        measured: loads with a number, at least one.
        usd_per_hour: price of the device.
        slo: limits for the goodput, in ms by column; see metrics.goodput_requests_per_s.
    """
    row = _times(measured) | _counts(measured) | _latencies(measured) | _means([one.during for one in measured])
    row |= _means(
        [{"goodput_requests_per_s": request_metrics.goodput_requests_per_s(one.requests, slo)} for one in measured]
    )
    if (by_requests := request_metrics.acceptance_rate(*(one.requests for one in measured))) is not None:
        length = request_metrics.acceptance_length(by_requests, row["acceptance_rate"], row["acceptance_length"])
        row |= {"acceptance_rate": by_requests, "acceptance_length": length}  # of these requests alone
    return row | _per_gpu(row, measured[0]) | energy_per_token(measured) | _price(row, usd_per_hour)


def _times(measured: Sequence[Measured]) -> Row:
    """Mean over sessions, with the lowest and the highest of them."""
    times = [one.time_s for one in measured if one.time_s is not None]
    tails = [tail for one in measured if (tail := request_metrics.tail_s(one.requests)) is not None]
    if not times:
        return {}
    spread = {"time_s": fmean(times), "time_s_low": min(times), "time_s_high": max(times)}
    return spread | {"tail_s": fmean(tails) if tails else None}


def _counts(measured: Sequence[Measured]) -> Row:
    """Requests and tokens of one session (the mean over sessions), and rates over the time to complete."""
    rows = [one.counts for one in measured]
    means = _means(rows)
    counts: Row = {
        name: _ROUNDED[name](value) if name in _ROUNDED and value is not None else value
        for name, value in means.items()
    }
    return counts | {"tokens_from": request_metrics.tokens_from(measured[0].requests)}


def _latencies(measured: Sequence[Measured]) -> Row:
    """Percentiles as columns, and as `distributions` more of them by latency, in the order of metrics.DISTRIBUTION."""
    row: Row = {}
    pooled = {name: _pooled(measured, name) for name in columns.LATENCIES if name != "itl"}
    alike = all(one.requests.chunks.one_each for one in measured)
    pooled["itl"] = pooled["chunk_gap"] if alike else _pooled(measured, "itl")
    behind = dict.fromkeys(columns.OF_TOKENS, sum(len(one.requests.ok) for one in measured))
    for name in columns.LATENCIES:
        found = request_metrics.percentiles(pooled[name], columns.PERCENTILES, behind.get(name, inf))
        row |= {f"{name}_ms_p{percent}": value for percent, value in zip(columns.PERCENTILES, found, strict=True)}
    row["distributions"] = {
        name: request_metrics.percentiles(pooled[name], columns.DISTRIBUTION, behind.get(name, inf))
        for name in columns.DISTRIBUTED
    }
    late = np.concatenate([request_metrics.lateness_ms(one.requests) for one in measured])
    return row | {"lateness_ms_p99": request_metrics.percentile(late, 99)}


def _pooled(measured: Sequence[Measured], latency: str) -> request_metrics.Floats:
    """Values of all loads together, ascending; none where one of the loads does not know them."""
    if latency == "itl" and any(one.requests.chunks.carried is None for one in measured):
        return np.empty(0)
    each = [one.latencies[latency] for one in measured]
    return np.sort(np.concatenate(each)) if len(each) > 1 else each[0]


def _per_gpu(row: Row, one: Measured) -> Row:
    """Throughput per GPU of the device, so that one GPU and several can be compared."""
    rate = row.get("output_tokens_per_s")
    return {"output_tokens_per_s_per_gpu": rate / len(one.gpus) if rate is not None and one.gpus else None}


def energy_per_token(measured: Sequence[Measured]) -> Row:
    """Energy per output token: that of the sessions that know it over the tokens of the same sessions.

    What is above idle is unknown where a session knows both powers and has nothing above: the mean of the others would be too high.
    """
    row: Row = {}
    if any(
        one.during.get("energy_j") and one.during.get("idle_power_w") and one.during.get("energy_above_idle_j") is None
        for one in measured
    ):
        row["energy_above_idle_j"] = None
    for name, of in (("j_per_output_token", "energy_j"), ("j_per_output_token_above_idle", "energy_above_idle_j")):
        known = [(one.during.get(of), one.counts["output_tokens"]) for one in measured]
        pairs = [(energy, tokens) for energy, tokens in known if energy is not None and tokens]
        if pairs and of not in row:
            row[name] = sum(energy for energy, _ in pairs) / sum(tokens for _, tokens in pairs)
    return row


def _price(row: Row, usd_per_hour: float | None) -> Row:
    """Money per output token; nothing of what is not known."""
    tokens, seconds = row.get("output_tokens"), row.get("time_s")
    if not tokens or not seconds or usd_per_hour is None:
        return {}
    return {"usd_per_million_output_tokens": usd_per_hour / 3600 * seconds / tokens * 1e6}


def _means(rows: list[dict[str, float | None]]) -> dict[str, float | None]:
    """Mean of each key over the rows that know it."""
    keys = dict.fromkeys(key for row in rows for key in row)
    known = {key: [value for row in rows if (value := row.get(key)) is not None] for key in keys}
    return {key: fmean(values) if values else None for key, values in known.items()}


def provenance(one: Measured) -> Row:
    """What ran, where: engine, image, model, host, GPU and driver."""
    server, gpus = one.session["server"], one.launch.get("gpu_facts") or []
    reported = one.launch.get("reported") or {}
    return {
        "engine_version": reported.get("version") or server["version"],
        "copies": one.copies,
        "image_digest": one.launch.get("image_digest"),
        "runtime": server["runtime"],
        "model": one.launch.get("model") or server["model"]["name"],
        "host": one.session["host"]["name"] if server["runtime"] != "url" else None,
        "gpu_name": ", ".join(gpu["name"] for gpu in gpus) or None,
        "driver": gpus[0].get("driver_version") if gpus else None,
    }
