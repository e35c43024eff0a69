"""Order of columns in tables read on a screen: the most asked-for come first, so that nobody has to scroll for them."""

from dataclasses import replace

from servegrid.report.tables.table import Table

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
"""Headers of the columns that follow the axes, in this order; all others follow in their own order."""


def has_point_rows(table: Table) -> bool:
    """Whether the rows are points; those of claims have a verdict in place of a status."""
    return any(column.header == "status" for column in table.columns)


def in_screen_order(table: Table) -> Table:
    """The table with the columns of `FIRST` behind its axes; a table of claims unchanged."""
    if not has_point_rows(table):
        return table
    headers = [column.header for column in table.columns]
    start = min(headers.index(name) for name in ("status", "sessions") if name in headers)
    head, rest = table.columns[:start], table.columns[start:]
    first = sorted((column for column in rest if column.header in FIRST), key=lambda column: FIRST.index(column.header))
    return replace(table, columns=(*head, *first, *(column for column in rest if column.header not in FIRST)))


def without_reasons(table: Table) -> tuple[Table, list[str]]:
    """The table without the column of reasons, and the reason of each row, shown below its row if there is one.

    A column as wide as a sentence would push others out of sight, or make every row as high as the sentence.
    """
    reasons = [cell.text for column in table.columns if column.header == "reason" for cell in column.cells]
    others = tuple(column for column in table.columns if column.header != "reason")
    return replace(table, columns=others), reasons or [""] * len(table.rows)
