"""The rulings on the claims as data, as a table and in words."""

import math
from collections.abc import Sequence
from typing import Any

from servegrid.report.evidence import Evidence
from servegrid.report.format import format_interval, format_number, format_short
from servegrid.report.judge.ruling import CONTRADICTED, NO_DIFFERENCE, SUPPORTED, Comparison, Ruling, selector_axes
from servegrid.report.tables.table import Cell, Column, Table
from servegrid.stats.intervals import Estimate

NOTES = (
    "The effect is how many times better the first row is than the second by the metric, whichever way that is better; of"
    " several comparisons the one that speaks least for the claim is shown.",
    "Supported: every comparison lies within what the sentence states, with its whole interval. Contradicted: one lies wholly"
    " outside. Intervals hold 95 % for all comparisons of a claim together (Bonferroni). Published rows have no repeats and"
    " are judged by their figures; one measured session shows nothing.",
    "Left out are rows that no number can be taken from, with the reason. Where one failed, in part or whole, the claim is not"
    " supported, whatever the others say. Client-bound rows count where kinds of client are compared.",
)


def as_data(rulings: Sequence[Ruling], evidence: Evidence) -> list[dict[str, Any]]:
    """One entry per claim and source, in plain values, with every comparison."""
    return [_entry(ruling, evidence) for ruling in rulings]


def as_table(rulings: Sequence[Ruling], evidence: Evidence, title: str) -> Table:
    """One row per claim and source, with the comparison that decides."""
    rows = [[Cell(str(place), place), *_row(ruling, evidence)] for place, ruling in enumerate(rulings, 1)]
    headers = list(_HEADERS)
    columns = [
        Column(header, tuple(row[place] for row in rows), numeric=header in _NUMERIC, keep=True)
        for place, header in enumerate(headers)
    ]
    notes = NOTES if rulings else ("The config states no claims.",)
    return Table(f"{title}: claims", tuple(columns), notes, tuple(bool(ruling.comparisons) for ruling in rulings))


_HEADERS = (
    *("No", "claim", "rows of", "verdict", "metric", "first row", "second row", "first", "second"),
    *("effect (times)", "effect low (times)", "effect high (times)", "doubt", "comparisons", "reason"),
)
_NUMERIC = ("No", "first", "second", "effect (times)", "effect low (times)", "effect high (times)", "comparisons")


def _row(ruling: Ruling, evidence: Evidence) -> list[Cell]:
    head = [Cell(ruling.claim.says), Cell(ruling.source), Cell(ruling.verdict), Cell(ruling.claim.metric)]
    count = Cell(str(len(ruling.comparisons)), len(ruling.comparisons))
    one = ruling.deciding
    if one is None:
        return [*head, *[Cell("")] * 8, count, Cell(ruling.because)]
    first, second = (evidence.place_label(row, selector_axes(ruling.claim)) for row in (one.better, one.than))
    times = ruling.claim.than_times
    places = [Cell(first), Cell(second if times == 1 else f"{format_short(times)} times {second}")]
    values = [_cell(evidence.estimate(row, ruling.claim.metric).value) for row in (one.better, one.than)]
    effect = [_cell(value) for value in (one.effect.value, one.effect.low, one.effect.high)]
    return [*head, *places, *values, *effect, Cell(one.effect.how), count, Cell(ruling.because)]


def _cell(value: float | None) -> Cell:
    return Cell(format_number(value), _finite(value))


def _entry(ruling: Ruling, evidence: Evidence) -> dict[str, Any]:
    claim = ruling.claim.model_dump(exclude_defaults=True) | {"metric": ruling.claim.metric}
    return {
        "claim": claim,
        "source": ruling.source,
        "verdict": ruling.verdict,
        "because": ruling.because,
        "left_out": dict(ruling.left_out),
        "counts": {verdict: ruling.count(verdict) for verdict in (SUPPORTED, CONTRADICTED, NO_DIFFERENCE)},
        "deciding": _comparison(ruling.deciding, ruling, evidence) if ruling.deciding else None,
        "comparisons": [_comparison(one, ruling, evidence) for one in ruling.comparisons],
    }


def _comparison(one: Comparison, ruling: Ruling, evidence: Evidence) -> dict[str, Any]:
    metric = ruling.claim.metric
    return {
        "first": _place(one.better, metric, evidence),
        "second": _place(one.than, metric, evidence),
        "verdict": one.verdict,
        "effect": estimate_data(one.effect),
        "stated": {"at_least": one.least, "at_most": one.most},
    }


def _place(row: int, metric: str, evidence: Evidence) -> dict[str, Any]:
    axes = {axis: str(evidence.rows[axis].iloc[row]) for axis in evidence.settings.all_axes if axis != "threads"}
    threads = evidence.rows["threads"].iloc[row]
    axes["threads"] = "" if threads != threads else f"{threads:g}"
    return {"axes": axes, metric: evidence.estimate(row, metric).value}


def _finite(value: float | None) -> float | None:
    """JSON and tables have no infinity: a ratio to 0 is in words only."""
    return None if value is None or math.isinf(value) else value


def estimate_data(estimate: Estimate) -> dict[str, Any]:
    """An estimate in plain values."""
    numbers = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
    return {name: _finite(value) for name, value in numbers.items()} | {"doubt": estimate.how}


def estimate_text(estimate: Estimate, unit: str = "") -> str:
    """`1.24 (1.20-1.29)`, with the unit after it; only the number where no doubt is known."""
    unit = f" {unit}" if unit else ""
    if estimate.low is None or estimate.high is None:
        return f"{format_number(estimate.value)}{unit}"
    return f"{format_number(estimate.value)} ({format_interval(estimate.low, estimate.high)}){unit}"
