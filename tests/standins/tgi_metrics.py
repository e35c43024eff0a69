"""TGI's page of metrics, as metrics-exporter-prometheus 0.15.3 (of TGI v3.3.7) writes it: counters, gauges, then distributions."""

import threading
from collections import Counter, defaultdict

QUANTILES = ("0", "0.5", "0.9", "0.95", "0.99", "0.999", "1")
HELP = {
    "tgi_request_count": "Total number of requests",
    "tgi_request_success": "Number of successful requests",
    "tgi_batch_current_size": "Current batch size",
    "tgi_queue_size": "Current queue size",
    "tgi_request_input_length": "Input token length per request",
    "tgi_request_generated_tokens": "Generated tokens per request",
    "tgi_request_skipped_tokens": "Speculated tokens per request",
}


class Recorder:
    """Counts, and renders."""

    def __init__(self, longest_input: int, longest: int) -> None:
        self._lock = threading.Lock()
        self._counters: Counter[tuple[str, str]] = Counter()
        self._values: defaultdict[str, list[float]] = defaultdict(list)
        self._buckets = {
            "tgi_request_input_length": [longest_input / 100 * (k + 1) for k in range(100)],
            "tgi_request_generated_tokens": [longest / 100 * (k + 1) for k in range(100)],
        }

    def count(self, name: str, err: str = "") -> None:
        with self._lock:
            self._counters[name, f'{{err="{err}"}}' if err else ""] += 1

    def record(self, name: str, value: float) -> None:
        with self._lock:
            self._values[name].append(value)

    def text(self, running: int) -> str:
        """The page; a name that was never used is not on it."""
        with self._lock:
            parts = [self._counter(name) for name in dict.fromkeys(name for name, _ in self._counters)]
            gauges = {"tgi_batch_current_size": running, "tgi_queue_size": 0}
            parts += [f"{_head(name, 'gauge')}{name} {value}\n" for name, value in gauges.items()]
            parts += [self._distribution(name, values) for name, values in self._values.items()]
        return "".join(f"{part}\n" for part in parts)

    def _counter(self, name: str) -> str:
        lines = [f"{name}{labels} {number}\n" for (metric, labels), number in self._counters.items() if metric == name]
        return _head(name, "counter") + "".join(lines)

    def _distribution(self, name: str, values: list[float]) -> str:
        if name in self._buckets:
            bounds = [(f"{bound:g}", sum(value <= bound for value in values)) for bound in self._buckets[name]]
            lines = [f'{name}_bucket{{le="{bound}"}} {number}\n' for bound, number in [*bounds, ("+Inf", len(values))]]
        else:
            ordered = sorted(values)
            quantile_values = [(q, ordered[min(int(float(q) * len(ordered)), len(ordered) - 1)]) for q in QUANTILES]
            lines = [f'{name}{{quantile="{q}"}} {value:g}\n' for q, value in quantile_values]
        total = f"{name}_sum {sum(values):g}\n{name}_count {len(values)}\n"
        return _head(name, "histogram" if name in self._buckets else "summary") + "".join(lines) + total


def _head(name: str, kind: str) -> str:
    described = f"# HELP {name} {HELP[name]}\n" if name in HELP else ""
    return f"{described}# TYPE {name} {kind}\n"
