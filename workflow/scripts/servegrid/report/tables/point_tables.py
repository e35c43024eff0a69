"""The article's table and the full comparison, as rows of cells that know their text and their value."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pandas as pd

from servegrid.report.format import count, number, short, spread
from servegrid.report.result_table import ResultTable
from servegrid.report.tables.table import Cell, Column, Table
from servegrid.results.columns import COMPARISON_COLUMNS, Kind
from servegrid.results.points import DRAWN_STATUSES, PUBLISHED, client_bound_rows
from servegrid.results.warnings import RowWarning, split_warnings


def article_table(table: ResultTable) -> Table:
    """No, GPU, vRAM, engine, threads, time and speculation as in the article, then what tells the rows apart further.

    Every point is a row; what was not measured has no time, a status and a reason.
    """
    rows, settings = table.rows, table.settings
    columns = [
        _numbering(rows),
        _text(rows, "gpu", "GPU"),
        Column("vRAM (used/total GiB)", tuple(map(_vram, rows["vram_used_gib"], rows["vram_total_gib"]))),
        _text(rows, "engine", "engine"),
        _column(rows, "threads", "threads", "count"),
        _time(rows),
        *(_text(rows, axis, axis) for axis in ("speculation", "quantization", *settings.axes)),
        _column(rows, "sessions", "sessions", "count"),
        *_publication(rows),
        *([_column(rows, "client_bound", "client-bound", "flag")] if client_bound_rows(rows).any() else []),
        *_outcome(rows),
        *_time_bounds(rows),
    ]
    return _table(f"{settings.title}: time to complete", columns, rows)


def comparison_table(table: ResultTable) -> Table:
    """Everything known about each point: axes, outcome, time, throughput, latency, memory, energy, trust, provenance."""
    rows, settings = table.rows, table.settings
    axes = [_column(rows, a, a, "count") if a == "threads" else _text(rows, a, a) for a in settings.all_axes]
    columns = [
        _numbering(rows),
        *(replace(column, keep=True) for column in axes),
        *_outcome(rows)[:1],
        _time(rows),
        _column(rows, "sessions", "sessions", "count"),
        _text(rows, "warnings", "warnings"),
        *_publication(rows),
        *(_column(rows, column.name, column.header, column.kind) for column in COMPARISON_COLUMNS),
        *_outcome(rows)[1:],
        *_time_bounds(rows),
    ]
    return _table(f"{settings.title}: full comparison", columns, rows)


def _table(caption: str, columns: list[Column], rows: pd.DataFrame) -> Table:
    return Table(caption, tuple(columns), tuple(_notes(rows)), tuple(rows["status"].isin(DRAWN_STATUSES)))


def _notes(rows: pd.DataFrame) -> Iterator[str]:
    without = int((~rows["status"].isin(DRAWN_STATUSES)).sum())
    if without:
        yield f"{without:,} of {len(rows):,} points have no measurement; status and reason say why."
    if count := int((rows["status"] == PUBLISHED).sum()):
        yield (
            f"{count:,} rows are published, not measured here: no repeats, no doubt known. One stands below the measured row of"
            " its point, if there is one; what a table does not say is taken as no quantization, one server, the whole device."
        )
    if count := int(client_bound_rows(rows).sum()):
        yield f"{count:,} points are client-bound: the load client came near its own ceiling. They are shown, not ranked."
    if "client" in rows and (rows["client"] == "parallel").any():
        yield "Client parallel starts a shell and curl for every request: its times hold these starts."
    if (rows["sessions"] > 1).any():
        yield "In parentheses: lowest and highest over the sessions (repeats on a newly launched server)."
    yield from _meanings(rows)
    yield "Empty means unknown."


def _meanings(rows: pd.DataFrame) -> Iterator[str]:
    """What each warning means that any row has, and what to do about it."""
    found = {warning for text in rows["warnings"] for warning in split_warnings(text)}
    yield from (f"Warning \u201c{one.phrase}\u201d: {one.meaning} {one.hint}" for one in RowWarning if one in found)


def _numbering(rows: pd.DataFrame) -> Column:
    return Column("No", tuple(Cell(str(n), n) for n in range(1, len(rows) + 1)), numeric=True, keep=True)


def _outcome(rows: pd.DataFrame) -> list[Column]:
    return [replace(_text(rows, "status", "status"), keep=True), _text(rows, "reason", "reason")]


def _publication(rows: pd.DataFrame) -> list[Column]:
    """Who published the row, and how the measured row of the same point compares; nothing without published rows."""
    if (rows["status"] != PUBLISHED).all():
        return []
    ratio = _column(rows, "over_published", "measured / published time", "number")
    return [_text(rows, "source", "published in"), ratio]


def _text(rows: pd.DataFrame, name: str, header: str) -> Column:
    return Column(header, tuple(Cell(text) for text in rows[name]))


_SHOW: dict[Kind, Callable[[float], str]] = {"number": number, "count": count}


def _column(rows: pd.DataFrame, name: str, header: str, kind: Kind) -> Column:
    if kind == "text":
        return _text(rows, name, header)
    if kind == "flag":
        return Column(header, tuple(map(_flag, rows[name])))
    return Column(header, tuple(Cell(_SHOW[kind](v), _known_number(v)) for v in rows[name]), numeric=True)


def _flag(value: Any) -> Cell:
    return Cell("" if pd.isna(value) else "yes" if value in (True, "true", "True", 1) else "no")


def _time(rows: pd.DataFrame) -> Column:
    return Column("time (s)", tuple(map(_time_cell, *_times(rows), rows["sessions"])), numeric=True, keep=True)


def _time_cell(value: float, low: float, high: float, sessions: float) -> Cell:
    text = spread(value, low, high) if sessions > 1 else number(value)
    return Cell(text, _known_number(value))


def _time_bounds(rows: pd.DataFrame) -> list[Column]:
    _, low, high = _times(rows)
    named = (("time low (s)", low), ("time high (s)", high))
    return [
        Column(header, tuple(Cell(number(v), _known_number(v)) for v in values), numeric=True, csv_only=True)
        for header, values in named
    ]


def _times(rows: pd.DataFrame) -> tuple["pd.Series[float]", "pd.Series[float]", "pd.Series[float]"]:
    return rows["time_s"], rows["time_s_low"], rows["time_s_high"]


def _vram(used: float, total: float) -> Cell:
    if math.isnan(used) and math.isnan(total):
        return Cell("")
    return Cell(f"{short(used) or '?'}/{short(total) or '?'}", _known_number(used))


def _known_number(value: float) -> float | None:
    return value if math.isfinite(value) else None
