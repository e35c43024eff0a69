"""The bench's values as a Markdown table: medians over rounds, ratios to the C reference first."""

import statistics
from collections.abc import Callable

Values = dict[str, list[float]]
Results = dict[str, Values]
"""Client -> name of the value -> one number per round."""


def table(results: Results) -> str:
    """One row per client, one column per test that was run."""
    columns = [(title, cell) for title, cell in COLUMNS if any(cell(values, results) for values in results.values())]
    head = ["client", *(title for title, _ in columns)]
    rows = [[name, *(cell(values, results) or "-" for _, cell in columns)] for name, values in results.items()]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


def _shown(values: list[float], form: str = ".3g") -> str:
    """The median, with lowest and highest where they differ from it when shown."""
    middle, low, high = (_number(value, form) for value in (statistics.median(values), min(values), max(values)))
    return middle if low == high else f"{middle} ({low} to {high})"


def _number(value: float, form: str) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:{form}}"


def _paced(values: Values) -> list[float]:
    """CPU ms per 1000 chunks beyond that of starting up."""
    start = statistics.median(values.get("start_cpu_s", [0.0]))
    pairs = zip(values["paced_cpu_s"], values["paced_chunks"], strict=True)
    return [1e6 * (cpu - start) / chunks for cpu, chunks in pairs]


def _paced_cell(values: Values, _results: Results) -> str:
    return _shown(_paced(values)) if "paced_cpu_s" in values else ""


def _ratio_cell(values: Values, results: Results) -> str:
    floor = next(iter(results.values()))
    if "paced_cpu_s" not in values or "paced_cpu_s" not in floor:
        return ""
    return f"{statistics.median(_paced(values)) / statistics.median(_paced(floor)):.2f}"


def _plain(name: str, form: str = ".3g") -> Callable[[Values, Results], str]:
    return lambda values, _results: _shown(values[name], form) if name in values else ""


def _pair(streams: int) -> Callable[[Values, Results], str]:
    def cell(values: Values, _results: Results) -> str:
        if f"p50_{streams}" not in values:
            return ""
        return " / ".join(_number(statistics.median(values[f"{name}_{streams}"]), ".3g") for name in ("p50", "p99"))

    return cell


def _whole(values: Values, _results: Results) -> str:
    if "whole_s" not in values:
        return ""
    starts = statistics.median(values.get("start_s", [0.0]))
    pairs = zip(values["whole_s"], values["whole_chunks"], strict=True)
    return _shown([chunks / (seconds - starts) for seconds, chunks in pairs])


COLUMNS: list[tuple[str, Callable[[Values, Results], str]]] = [
    ("paced CPU, ratio to C", _ratio_cell),
    ("CPU ms per 1000 chunks, paced", _paced_cell),
    ("chunks/s, unpaced, a core each", _plain("unpaced_per_s")),
    ("chunks/s to the end of the process, cheap server", _whole),
    ("TTFT error p50 / p99 ms at 64", _pair(64)),
    ("at 256", _pair(256)),
    ("at 1024", _pair(1024)),
    ("start-up s", _plain("start_s", ".2f")),
    ("peak MiB at 64", _plain("rss_64", ".0f")),
    ("at 1024", _plain("rss_1024", ".0f")),
]
