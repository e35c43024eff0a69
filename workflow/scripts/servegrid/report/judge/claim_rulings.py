"""The rulings on the claims as data, as a table and as text."""

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
    """Rulings as plain values: one entry per claim and source, with every comparison."""
    return [_ruling_data(ruling, evidence) for ruling in rulings]


def as_table(rulings: Sequence[Ruling], evidence: Evidence, title: str) -> Table:
    """Table with one row per claim and source, showing the deciding comparison."""
    rows = [[Cell(str(place), place), *_ruling_cells(ruling, evidence)] for place, ruling in enumerate(rulings, 1)]
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


def _ruling_cells(ruling: Ruling, evidence: Evidence) -> list[Cell]:
    claim_cells = [Cell(ruling.claim.says), Cell(ruling.source), Cell(ruling.verdict), Cell(ruling.claim.metric)]
    count = Cell(str(len(ruling.comparisons)), len(ruling.comparisons))
    deciding = ruling.deciding
    if deciding is None:
        return [*claim_cells, *[Cell("")] * 8, count, Cell(ruling.because)]
    first, second = (evidence.place_label(row, selector_axes(ruling.claim)) for row in (deciding.better, deciding.than))
    factor = ruling.claim.than_times
    place_cells = [Cell(first), Cell(second if factor == 1 else f"{format_short(factor)} times {second}")]
    value_cells = [
        _number_cell(evidence.estimate(row, ruling.claim.metric).value) for row in (deciding.better, deciding.than)
    ]
    effect_cells = [_number_cell(value) for value in (deciding.effect.value, deciding.effect.low, deciding.effect.high)]
    return [
        *claim_cells,
        *place_cells,
        *value_cells,
        *effect_cells,
        Cell(deciding.effect.how),
        count,
        Cell(ruling.because),
    ]


def _number_cell(value: float | None) -> Cell:
    return Cell(format_number(value), _finite_or_none(value))


def _ruling_data(ruling: Ruling, evidence: Evidence) -> dict[str, Any]:
    claim = ruling.claim.model_dump(exclude_defaults=True) | {"metric": ruling.claim.metric}
    return {
        "claim": claim,
        "source": ruling.source,
        "verdict": ruling.verdict,
        "because": ruling.because,
        "left_out": dict(ruling.left_out),
        "counts": {verdict: ruling.count(verdict) for verdict in (SUPPORTED, CONTRADICTED, NO_DIFFERENCE)},
        "deciding": _comparison_data(ruling.deciding, ruling, evidence) if ruling.deciding else None,
        "comparisons": [_comparison_data(comparison, ruling, evidence) for comparison in ruling.comparisons],
    }


def _comparison_data(comparison: Comparison, ruling: Ruling, evidence: Evidence) -> dict[str, Any]:
    metric = ruling.claim.metric
    return {
        "first": _row_data(comparison.better, metric, evidence),
        "second": _row_data(comparison.than, metric, evidence),
        "verdict": comparison.verdict,
        "effect": estimate_data(comparison.effect),
        "stated": {"at_least": comparison.least, "at_most": comparison.most},
    }


def _row_data(row: int, metric: str, evidence: Evidence) -> dict[str, Any]:
    axes = {axis: str(evidence.rows[axis].iloc[row]) for axis in evidence.settings.all_axes if axis != "threads"}
    threads = evidence.rows["threads"].iloc[row]
    axes["threads"] = "" if threads != threads else f"{threads:g}"
    return {"axes": axes, metric: evidence.estimate(row, metric).value}


def _finite_or_none(value: float | None) -> float | None:
    """The value, None where it is infinite: JSON and tables have no infinity, so a ratio to 0 is in the text only."""
    return None if value is None or math.isinf(value) else value


def estimate_data(estimate: Estimate) -> dict[str, Any]:
    """Estimate as plain values."""
    numbers = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
    return {name: _finite_or_none(value) for name, value in numbers.items()} | {"doubt": estimate.how}


def estimate_text(estimate: Estimate, unit: str = "") -> str:
    """Text of an estimate, `1.24 (1.20-1.29)`, and its unit; without an interval the number alone."""
    unit = f" {unit}" if unit else ""
    if estimate.low is None or estimate.high is None:
        return f"{format_number(estimate.value)}{unit}"
    return f"{format_number(estimate.value)} ({format_interval(estimate.low, estimate.high)}){unit}"
