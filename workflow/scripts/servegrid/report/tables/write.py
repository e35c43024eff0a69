"""Output of a table as CSV, Markdown and HTML. Names and reasons come from outside and are escaped for each format."""

import base64
import csv
import hashlib
import io
import re
from collections.abc import Iterable
from pathlib import Path

from servegrid.report.tables.screen_order import has_point_rows, in_screen_order, without_reasons
from servegrid.report.tables.table import Cell, Column, Table
from servegrid.util.text import clip

_REASON_LIMIT = 240
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_MARKDOWN_SPECIAL = re.compile(r"([\\`*_\[\]|~#])")


def to_csv(table: Table) -> str:
    """CSV with numbers at full precision, one header line, `\\n` line ends; empty means unknown.

    A text that a spreadsheet would run as a formula gets an apostrophe in front.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(column.header for column in table.columns)
    for row in table.rows:
        writer.writerow(_csv_field(column, cell) for column, cell in zip(table.columns, row, strict=True))
    return out.getvalue()


def to_markdown(table: Table) -> str:
    """GitHub-flavoured Markdown table under its caption, numbers aligned right, notes below."""
    table = table.without_csv_only()
    lines = [f"**{_escape_markdown(table.caption)}**", ""]
    lines.append(_markdown_row(_escape_markdown(column.header) for column in table.columns))
    lines.append(_markdown_row("---:" if column.aligned_right else "---" for column in table.columns))
    lines += [_markdown_row(_escape_markdown(clip(cell.text, _REASON_LIMIT)) for cell in row) for row in table.rows]
    lines += [part for note in table.notes for part in ("", _escape_markdown(note))]
    return "\n".join(lines) + "\n"


def to_html(table: Table) -> str:
    """Self-contained HTML page: the table with caption and notes, sortable, no network, no script but its own.

    Columns are in the order of `screen_order.FIRST`; the reason of a row that was not measured is shown below it.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    template_folder = Path(__file__).parent
    script = (template_folder / "sort.js").read_text(encoding="utf-8")
    environment = Environment(
        loader=FileSystemLoader(template_folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["clip"] = lambda text: clip(text, _REASON_LIMIT)
    environment.filters["precise"] = _full_precision
    readable, reasons = without_reasons(in_screen_order(table.without_csv_only()))
    return environment.get_template("table.html.j2").render(
        table=readable, reasons=reasons, named=has_point_rows(table), script=script, script_hash=_csp_hash(script)
    )


def _csv_field(column: Column, cell: Cell) -> str:
    if column.numeric:
        return _full_precision(cell.value)
    return f"'{cell.text}" if cell.text.startswith(_FORMULA_STARTS) else cell.text


def _full_precision(value: float | None) -> str:
    return "" if value is None else f"{value:.10g}"


def _escape_markdown(text: str) -> str:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKDOWN_SPECIAL.sub(r"\\\1", escaped)


def _markdown_row(fields: Iterable[str]) -> str:
    return "| " + " | ".join(fields) + " |"


def _csp_hash(script: str) -> str:
    digest = hashlib.sha256(script.encode()).digest()
    return "sha256-" + base64.b64encode(digest).decode()
