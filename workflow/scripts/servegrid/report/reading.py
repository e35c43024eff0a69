"""The order of columns in tables that are read on a screen: what is asked first stands where nobody has to scroll for it."""

from dataclasses import replace

from servegrid.report.tables import Column, Table

FIRST = (
    *("status", "time (s)", "output tokens/s", "TTFT p50 (ms)", "TTFT p99 (ms)", "ITL p50 (ms)"),
    *("cost (USD/million output tokens)", "energy (J/output token)", "acceptance rate (0 to 1)"),
    *(
        "texts equal to the baseline's (0 to 1)",
        "client-bound",
        "sessions",
        "published in",
        "measured / published time",
    ),
    "warnings",
)
"""Behind the axes, in this order; all others follow in their own."""


def for_reading(table: Table) -> Table:
    """The table with the columns of `FIRST` behind its axes; one without a status, as of claims, as it is."""
    headers = [column.header for column in table.columns]
    if "status" not in headers:
        return table
    start = min(headers.index(name) for name in ("status", "sessions") if name in headers)
    head, rest = table.columns[:start], table.columns[start:]
    first = sorted((column for column in rest if column.header in FIRST), key=lambda one: FIRST.index(one.header))
    return replace(table, columns=(*head, *first, *(column for column in rest if column.header not in FIRST)))


def without_reasons(table: Table) -> tuple[Table, list[str]]:
    """The table without the column of reasons, and the reason of each row: it stands below its row, if there is one.

    A column as wide as a sentence would push all numbers out of sight, though only rows without numbers need it.
    """
    column = next((column for column in table.columns if column.header == "reason"), Column("reason", ()))
    others = tuple(one for one in table.columns if one is not column)
    if not column.cells or not any(one.header == "status" for one in others):
        return table, [""] * len(table.rows)
    return replace(table, columns=others), [cell.text for cell in column.cells]
