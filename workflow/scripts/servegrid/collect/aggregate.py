"""Numbers of one point from its measured loads: requests are pooled, and what belongs to a session is averaged."""

from collections.abc import Callable, Mapping, Sequence
from math import ceil, inf
from statistics import fmean
from typing import Any

import numpy as np

from servegrid.collect.measured_load import MeasuredLoad
from servegrid.metrics import arrivals, request_metrics
from servegrid.results import columns

Row = dict[str, Any]
GAPS = ("itl", "chunk_gap")
"""Latencies that are gaps between events."""
_ROUNDED: Mapping[str, Callable[[float], int]] = {
    **dict.fromkeys(("requests_ok", "prompt_tokens", "output_tokens"), round),
    **dict.fromkeys(("requests_short", "requests_failed"), ceil),
}
"""Count -> how its mean over sessions is rounded; failures upwards, so that one in many sessions does not become none."""


def aggregate_loads(measured: Sequence[MeasuredLoad], usd_per_hour: float | None, slo: Mapping[str, float]) -> Row:
    """Every number of a point, or of one session of it, by column.

    Args:
        measured: loads with a number, at least one: of one point, each of another session.
        usd_per_hour: price of the device.
        slo: limits for the goodput, in ms by column; see request_metrics.goodput_requests_per_s.
    """
    row = _times(measured) | _counts(measured) | _latencies(measured) | _client_delays(measured)
    row |= _means([load.load_columns for load in measured])
    goodputs = [request_metrics.goodput_requests_per_s(load.requests, slo) for load in measured]
    row |= _means([{"goodput_requests_per_s": goodput} for goodput in goodputs])
    if (request_rate := request_metrics.acceptance_rate(*(load.requests for load in measured))) is not None:
        length = request_metrics.acceptance_length(request_rate, row["acceptance_rate"], row["acceptance_length"])
        row |= {"acceptance_rate": request_rate, "acceptance_length": length}  # of these requests alone
    return row | _rate_per_gpu(row, measured[0]) | energy_per_token(measured) | _cost_per_token(row, usd_per_hour)


def _times(measured: Sequence[MeasuredLoad]) -> Row:
    """Time to complete, the mean over sessions with the lowest and the highest, and the mean tail; {} where unknown."""
    times = [load.time_s for load in measured if load.time_s is not None]
    tails = [tail for load in measured if (tail := request_metrics.tail_s(load.requests)) is not None]
    if not times:
        return {}
    spread = {"time_s": fmean(times), "time_s_low": min(times), "time_s_high": max(times)}
    return spread | {"tail_s": fmean(tails) if tails else None}


def _counts(measured: Sequence[MeasuredLoad]) -> Row:
    """Requests and tokens of one session (the mean over sessions), and rates over the time to complete."""
    means = _means([load.counts for load in measured])
    counts: Row = {
        name: _ROUNDED[name](value) if name in _ROUNDED and value is not None else value
        for name, value in means.items()
    }
    return counts | {"tokens_from": request_metrics.tokens_from(measured[0].requests)}


def _latencies(measured: Sequence[MeasuredLoad]) -> Row:
    """Percentiles of latencies as columns, and as `distributions` the values of DISTRIBUTION_PERCENTILES in order, by latency."""
    row: Row = {}
    pooled = {latency: _pooled(measured, latency) for latency in columns.LATENCIES if latency not in GAPS}
    if _knows_gaps(measured):
        gaps_are_itl = all(load.requests.chunks.one_token_each for load in measured)
        pooled["chunk_gap"] = _pooled(measured, "chunk_gap")
        pooled["itl"] = pooled["chunk_gap"] if gaps_are_itl else _pooled(measured, "itl")
    else:
        pooled |= dict.fromkeys(GAPS, np.empty(0))
    requests = dict.fromkeys(columns.TOKEN_LATENCIES, sum(len(load.requests.ok) for load in measured))
    for latency in columns.LATENCIES:
        values = request_metrics.percentiles(pooled[latency], columns.PERCENTILES, requests.get(latency, inf))
        names = [columns.latency_column(latency, percent) for percent in columns.PERCENTILES]
        row |= dict(zip(names, values, strict=True))
    row["distributions"] = {
        latency: request_metrics.percentiles(
            pooled[latency], columns.DISTRIBUTION_PERCENTILES, requests.get(latency, inf)
        )
        for latency in columns.DISTRIBUTED_LATENCIES
    }
    return row | {"stamps_shared": arrivals.stamps_shared([load.requests for load in measured])}


def _client_delays(measured: Sequence[MeasuredLoad]) -> Row:
    """How late the client sent, after the plan and after a thread's last answer."""
    row: Row = {}
    for name, of_load in (("lateness", request_metrics.lateness_ms), ("turnaround", request_metrics.turnaround_ms)):
        delays_ms = np.concatenate([of_load(load.requests) for load in measured])
        row[f"{name}_ms_mean"] = float(delays_ms.mean()) if len(delays_ms) else None
        row[f"{name}_ms_p99"] = request_metrics.percentile(delays_ms, 99)
    return row


def _knows_gaps(measured: Sequence[MeasuredLoad]) -> bool:
    """Whether the gaps between events are the server's own: it was read on time, and nothing held the events back."""
    is_late = arrivals.are_read_late([load.requests for load in measured])
    return not is_late and not any(load.is_held_back for load in measured)


def _pooled(measured: Sequence[MeasuredLoad], latency: str) -> request_metrics.Floats:
    """Values of a latency of all loads together, ascending; none where one of the loads does not know them."""
    if latency == "itl" and any(load.requests.chunks.tokens_carried is None for load in measured):
        return np.empty(0)
    by_load = [load.latencies[latency] for load in measured]
    return np.sort(np.concatenate(by_load)) if len(by_load) > 1 else by_load[0]


def _rate_per_gpu(row: Row, load: MeasuredLoad) -> Row:
    """Throughput per GPU of the device, so that one GPU and several can be compared."""
    rate = row.get("output_tokens_per_s")
    return {"output_tokens_per_s_per_gpu": rate / len(load.gpus) if rate is not None and load.gpus else None}


def energy_per_token(measured: Sequence[MeasuredLoad]) -> Row:
    """Energy per output token: that of the sessions that know it over the tokens of the same sessions.

    What is above idle is unknown where a session knows both powers and has nothing above: the mean of the others would be too high.
    """
    row: Row = {}
    if any(_is_below_idle(load.load_columns) for load in measured):
        row["energy_above_idle_j"] = None
    for name, source in (("j_per_output_token", "energy_j"), ("j_per_output_token_above_idle", "energy_above_idle_j")):
        pairs = [(load.load_columns.get(source), load.counts["output_tokens"]) for load in measured]
        known_pairs = [(energy, tokens) for energy, tokens in pairs if energy is not None and tokens]
        if known_pairs and source not in row:
            row[name] = sum(energy for energy, _ in known_pairs) / sum(tokens for _, tokens in known_pairs)
    return row


def _is_below_idle(load_columns: Mapping[str, float | None]) -> bool:
    """Whether energy and idle power are known, and nothing of the energy is above idle."""
    is_known = load_columns.get("energy_j") and load_columns.get("idle_power_w")
    return bool(is_known) and load_columns.get("energy_above_idle_j") is None


def _cost_per_token(row: Row, usd_per_hour: float | None) -> Row:
    """Cost per output token; {} where it is unknown."""
    tokens, seconds = row.get("output_tokens"), row.get("time_s")
    if not tokens or not seconds or usd_per_hour is None:
        return {}
    return {"usd_per_million_output_tokens": usd_per_hour / 3600 * seconds / tokens * 1e6}


def _means(rows: list[dict[str, float | None]]) -> dict[str, float | None]:
    """Mean of each key over the rows that know it."""
    keys = dict.fromkeys(key for row in rows for key in row)
    known_values = {key: [value for row in rows if (value := row.get(key)) is not None] for key in keys}
    return {key: fmean(values) if values else None for key, values in known_values.items()}


def provenance(load: MeasuredLoad) -> Row:
    """Columns that say what ran where: engine, image, model, host, GPU and driver."""
    server, gpus = load.session["server"], load.launch.get("gpu_facts") or []
    reported = load.launch.get("reported") or {}
    return {
        "answers_end": load.load.get("definition", {}).get("stop", "exact"),
        "engine_version": reported.get("version") or server["version"],
        "copies": load.copies if server["runtime"] != "url" else None,  # what is behind a URL is not known
        "served_dtype": load.served_types.compute,
        "kv_cache_dtype": load.served_types.kv_cache,
        "image_digest": load.launch.get("image_digest"),
        "runtime": server["runtime"],
        "model": load.launch.get("model") or server["model"]["name"],
        "host": load.session["host"]["name"] if server["runtime"] != "url" else None,
        "gpu_name": ", ".join(gpu["name"] for gpu in gpus) or None,
        "driver": gpus[0].get("driver_version") if gpus else None,
    }
