"""The article's table and the full comparison, one row per point."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pandas as pd

from servegrid.report.format import format_count, format_number, format_short, format_with_range
from servegrid.report.result_table import ResultTable
from servegrid.report.tables.table import Cell, Column, Table
from servegrid.results.columns import COMPARISON_COLUMNS, Kind
from servegrid.results.points import DRAWN_STATUSES, PUBLISHED, client_bound_rows, pace_unknown_rows
from servegrid.results.warnings import RowWarning, split_warnings


def article_table(table: ResultTable) -> Table:
    """Table with No, GPU, vRAM, engine, threads, time and speculation as in the article, then further columns.

    Every point is a row; one that was not measured has no time, but a status and a reason.
    """
    rows, settings = table.rows, table.settings
    columns = [
        _number_column(rows),
        _text_column(rows, "gpu", "GPU"),
        Column("vRAM (used/total GiB)", tuple(map(_vram_cell, rows["vram_used_gib"], rows["vram_total_gib"]))),
        _text_column(rows, "engine", "engine"),
        _column_of_kind(rows, "threads", "threads", "count"),
        _time_column(rows),
        *(_text_column(rows, axis, axis) for axis in ("speculation", "quantization", *settings.axes)),
        _column_of_kind(rows, "sessions", "sessions", "count"),
        *_publication_columns(rows),
        *([_column_of_kind(rows, "client_bound", "client-bound", "flag")] if client_bound_rows(rows).any() else []),
        *_outcome_columns(rows),
        *_time_bound_columns(rows),
    ]
    return _table(f"{settings.title}: time to complete", columns, rows)


def comparison_table(table: ResultTable) -> Table:
    """Table of all known about each point: axes, outcome, time, throughput, latency, memory, energy, trust, provenance."""
    rows, settings = table.rows, table.settings
    axes = [
        _column_of_kind(rows, a, a, "count") if a == "threads" else _text_column(rows, a, a) for a in settings.all_axes
    ]
    columns = [
        _number_column(rows),
        *(replace(column, keep=True) for column in axes),
        *_outcome_columns(rows)[:1],
        _time_column(rows),
        _column_of_kind(rows, "sessions", "sessions", "count"),
        _text_column(rows, "warnings", "warnings"),
        *_publication_columns(rows),
        *(_column_of_kind(rows, column.name, column.header, column.kind) for column in COMPARISON_COLUMNS),
        *_outcome_columns(rows)[1:],
        *_time_bound_columns(rows),
    ]
    return _table(f"{settings.title}: full comparison", columns, rows)


def _table(caption: str, columns: list[Column], rows: pd.DataFrame) -> Table:
    return Table(caption, tuple(columns), tuple(_notes(rows)), tuple(rows["status"].isin(DRAWN_STATUSES)))


def _notes(rows: pd.DataFrame) -> Iterator[str]:
    """Yield the notes below the table."""
    unmeasured = int((~rows["status"].isin(DRAWN_STATUSES)).sum())
    if unmeasured:
        yield f"{unmeasured:,} of {len(rows):,} points have no measurement; status and reason say why."
    if count := int((rows["status"] == PUBLISHED).sum()):
        yield (
            f"{count:,} rows are published, not measured here: no repeats, no doubt known. One stands below the measured row of"
            " its point, if there is one; what a table does not say is taken as no quantization, one server, the whole device."
        )
    if count := int(client_bound_rows(rows).sum()):
        yield f"{count:,} points are client-bound: the load client came near its own ceiling. They are shown, not ranked."
    if count := int(pace_unknown_rows(rows).sum()):
        yield f"{count:,} points are ranked though it is not known whether the load client set their pace."
    if "client" in rows and (rows["client"] == "parallel").any():
        yield "Client parallel starts a shell and curl for every request: its times hold these starts."
    if (rows["sessions"] > 1).any():
        yield "In parentheses: lowest and highest over the sessions (repeats on a newly launched server)."
    yield from _differing_types(rows)
    yield from _warning_meanings(rows)
    yield "Empty means unknown."


def _differing_types(rows: pd.DataFrame) -> Iterator[str]:
    """What engines served where it is not the same number type on one device at one quantization."""
    known = rows[rows["status"].isin(DRAWN_STATUSES) & ((rows["served_dtype"] != "") | (rows["kv_cache_dtype"] != ""))]
    for (gpu, quantization), group in known.groupby(["gpu", "quantization"], sort=False):
        types = group.drop_duplicates(["engine", "served_dtype", "kv_cache_dtype"])
        if types["engine"].nunique() > 1 and any(
            types[name].nunique() > 1 for name in ("served_dtype", "kv_cache_dtype")
        ):
            served = zip(types["engine"], types["served_dtype"], types["kv_cache_dtype"], strict=True)
            texts = (
                f"{engine} {compute or 'unknown'} (KV cache {cache or 'unknown'})" for engine, compute, cache in served
            )
            yield f"On {gpu} at quantization {quantization} engines served different number types: {', '.join(texts)}."


def _warning_meanings(rows: pd.DataFrame) -> Iterator[str]:
    """What each warning means that any row has, and what to do about it."""
    present = {warning for text in rows["warnings"] for warning in split_warnings(text)}
    yield from (
        f"Warning \u201c{warning.phrase}\u201d: {warning.meaning} {warning.hint}"
        for warning in RowWarning
        if warning in present
    )


def _number_column(rows: pd.DataFrame) -> Column:
    return Column("No", tuple(Cell(str(n), n) for n in range(1, len(rows) + 1)), numeric=True, keep=True)


def _outcome_columns(rows: pd.DataFrame) -> list[Column]:
    return [replace(_text_column(rows, "status", "status"), keep=True), _text_column(rows, "reason", "reason")]


def _publication_columns(rows: pd.DataFrame) -> list[Column]:
    """Columns with the publication and measured / published time; none without published rows."""
    if (rows["status"] != PUBLISHED).all():
        return []
    ratio = _column_of_kind(rows, "over_published", "measured / published time", "number")
    return [_text_column(rows, "source", "published in"), ratio]


def _text_column(rows: pd.DataFrame, name: str, header: str) -> Column:
    return Column(header, tuple(Cell(text) for text in rows[name]))


_FORMATTERS: dict[Kind, Callable[[float], str]] = {"number": format_number, "count": format_count}


def _column_of_kind(rows: pd.DataFrame, name: str, header: str, kind: Kind) -> Column:
    if kind == "text":
        return _text_column(rows, name, header)
    if kind == "flag":
        return Column(header, tuple(map(_flag_cell, rows[name])))
    return Column(header, tuple(Cell(_FORMATTERS[kind](v), _finite_or_none(v)) for v in rows[name]), numeric=True)


def _flag_cell(value: Any) -> Cell:
    return Cell("" if pd.isna(value) else "yes" if value in (True, "true", "True", 1) else "no")


def _time_column(rows: pd.DataFrame) -> Column:
    return Column("time (s)", tuple(map(_time_cell, *_times(rows), rows["sessions"])), numeric=True, keep=True)


def _time_cell(value: float, low: float, high: float, sessions: float) -> Cell:
    text = format_with_range(value, low, high) if sessions > 1 else format_number(value)
    return Cell(text, _finite_or_none(value))


def _time_bound_columns(rows: pd.DataFrame) -> list[Column]:
    _, low, high = _times(rows)
    bounds = (("time low (s)", low), ("time high (s)", high))
    return [
        Column(header, tuple(Cell(format_number(v), _finite_or_none(v)) for v in values), numeric=True, csv_only=True)
        for header, values in bounds
    ]


def _times(rows: pd.DataFrame) -> tuple["pd.Series[float]", "pd.Series[float]", "pd.Series[float]"]:
    return rows["time_s"], rows["time_s_low"], rows["time_s_high"]


def _vram_cell(used: float, total: float) -> Cell:
    if math.isnan(used) and math.isnan(total):
        return Cell("")
    return Cell(f"{format_short(used) or '?'}/{format_short(total) or '?'}", _finite_or_none(used))


def _finite_or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
