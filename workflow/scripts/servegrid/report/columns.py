"""The columns of the full comparison, in reading order, with the header that states their unit."""

from typing import Literal

from servegrid.report.points import LATENCIES

Kind = Literal["text", "number", "count", "flag"]

_LATENCY_NAMES = {"ttft": "TTFT", "itl": "ITL", "chunk_gap": "chunk gap", "tpot": "TPOT", "e2e": "end to end"}
_LATENCY_NAMES |= {"ttft_planned": "TTFT from planned send", "e2e_planned": "end to end from planned send"}


def _latency_header(column: str) -> str:
    metric, _, percentile = column.partition("_ms_")
    return f"{_LATENCY_NAMES[metric]} {percentile} (ms)"


COMPARISON: tuple[tuple[str, str, Kind], ...] = (
    ("tail_s", "tail (s)", "number"),
    ("steady_s", "steady state (s)", "number"),
    ("steady_output_tokens_per_s", "output tokens/s in the steady state", "number"),
    ("requests_per_s", "requests/s", "number"),
    ("output_tokens_per_s", "output tokens/s", "number"),
    ("total_tokens_per_s", "total tokens/s", "number"),
    ("goodput_requests_per_s", "goodput (requests/s)", "number"),
    *((column, _latency_header(column), "number") for column in LATENCIES),
    ("requests_ok", "requests ok", "count"),
    ("requests_short", "requests with too few tokens", "count"),
    ("requests_failed", "requests failed", "count"),
    ("prompt_tokens", "prompt tokens", "count"),
    ("output_tokens", "output tokens", "count"),
    ("tokens_from", "tokens counted from", "text"),
    ("acceptance_rate", "acceptance rate (0 to 1)", "number"),
    ("acceptance_length", "acceptance length (tokens)", "number"),
    ("running_mean", "running requests, mean", "number"),
    ("waiting_max", "waiting requests, max", "count"),
    ("kv_cache_max", "KV cache used, max (0 to 1)", "number"),
    ("kv_cache_tokens", "room in the KV cache (tokens)", "count"),
    ("startup_s", "start-up (s)", "number"),
    ("vram_used_gib", "vRAM used (GiB)", "number"),
    ("vram_total_gib", "vRAM total (GiB)", "number"),
    ("gpu_util_mean", "GPU utilisation, mean (%)", "number"),
    ("power_w_mean", "power, mean (W)", "number"),
    ("energy_j", "energy (J)", "number"),
    ("j_per_output_token", "energy (J/output token)", "number"),
    ("idle_power_w", "idle power, nothing launched (W)", "number"),
    ("j_per_output_token_above_idle", "energy above idle (J/output token)", "number"),
    ("output_tokens_per_s_per_gpu", "output tokens/s per GPU", "number"),
    ("server_cpu_percent_mean", "server CPU, mean (% of a core)", "number"),
    ("server_memory_gib_max", "server memory, max (GiB)", "number"),
    ("usd_per_million_output_tokens", "cost (USD/million output tokens)", "number"),
    ("agreement", "texts equal to the baseline's (0 to 1)", "number"),
    ("agreement_floor", "baseline's texts equal to its own repeat's (0 to 1)", "number"),
    ("divergence_characters_p50", "differing texts part after, p50 (characters)", "number"),
    ("divergence_characters_p50_floor", "baseline's own repeats part after, p50 (characters)", "number"),
    ("text_distance", "distance of differing texts (0 to 1)", "number"),
    ("text_distance_floor", "distance of the baseline's own repeats (0 to 1)", "number"),
    ("garble", "garble of differing texts (0 to 1)", "number"),
    ("client_cpu_s", "client CPU (s)", "number"),
    ("client_share", "share of the client's ceiling (0 to 1)", "number"),
    ("client_bound", "client-bound", "flag"),
    ("lateness_ms_p99", "lateness p99 (ms)", "number"),
    ("turnaround_ms_p99", "answer's end to the thread's next send, p99 (ms)", "number"),
    ("stamp_late_ms_p99", "client's stamps late, p99 (ms)", "number"),
    ("engine_version", "engine version", "text"),
    ("runtime", "runtime", "text"),
    ("image_digest", "image", "text"),
    ("model", "model", "text"),
    ("host", "host", "text"),
    ("gpu_name", "GPU model", "text"),
    ("driver", "driver", "text"),
    ("server_id", "server", "text"),
    ("load_id", "load", "text"),
)
