"""The page put together from its parts: points, answer, claims, plots, session records."""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from servegrid.report.drawing.panels import common_levels
from servegrid.report.page.plotly_marks import Plot
from servegrid.report.page.plots import COLUMNS_WITH_INTERVAL, plots
from servegrid.report.page.point_details import server_details
from servegrid.report.page.start_up import start_up_plots
from servegrid.report.published import with_published_labels
from servegrid.report.result_table import ResultTable
from servegrid.report.settings import Settings
from servegrid.report.sweep_model import with_intervals
from servegrid.report.tables.point_tables import comparison_table
from servegrid.report.tables.screen_order import FIRST, in_screen_order
from servegrid.report.tables.table import Column, Table, condense
from servegrid.results.points import varying_axes

_HERE = Path(__file__).parent
_LONG_CELL = 40  # characters from which a cell is cut on the screen; its point's page has all of it
_LONG_HEADER = 20


def page(
    table: ResultTable,
    parts: Mapping[str, Any],
    folders: Mapping[str, Path],
    config: str,
) -> str:
    """The whole page as HTML.

    Args:
        table: the rows; with its sessions the plots show intervals.
        parts: sections above the table: `answer`, `claims`, `questions`, `facts`; each may be missing.
        folders: `sessions`, `timelines` and `figures`.
        config: the resolved config of the run, as text.
    """
    rows, settings = table.rows, table.settings
    comparison = condense(comparison_table(table))
    rows_with_intervals = with_intervals(with_published_labels(rows), table.sessions, COLUMNS_WITH_INTERVAL)
    page_plots = [*plots(rows_with_intervals, settings), *start_up_plots(rows, folders["sessions"], settings)]
    sections = {name: parts.get(name) for name in ("answer", "claims", "questions")}
    html: str = _template().render(
        **sections,
        title=settings.title,
        facts=parts.get("facts", []),
        counts=_status_counts(rows),
        unanswered=parts.get("unanswered", "No point was measured well enough to recommend one."),
        same=common_levels(rows, settings.all_axes),
        notes=comparison.notes,
        plots=[{name: plot[name] for name in ("id", "title", "note")} for plot in page_plots],
        pictures=_figure_images(folders["figures"]),
        config=config,
        data=_script_json(_page_data(rows, settings, comparison, page_plots, folders)),
        **_styles_and_scripts(),
    )
    return html


def _styles_and_scripts() -> dict[str, Any]:
    """Styles and scripts, own and of libraries, with the hashes that allow them to run."""
    script = (_HERE / "page.js").read_text(encoding="utf-8")
    plotly = (files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
    styles = {"css": (_HERE / "page.css").read_text(encoding="utf-8"), "table_css": _itables_bundle("css")}
    tables = base64.b64encode(_itables_bundle("js").encode()).decode()
    hashes = [_csp_hash(source) for source in (plotly, script)]
    return styles | {"tables_library": tables, "plotly": plotly, "script": script, "hashes": hashes}


def _template() -> Any:
    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
    return environment.get_template("page.html.j2")


def _page_data(
    rows: pd.DataFrame, settings: Settings, table: Table, page_plots: list[Plot], folders: Mapping[str, Path]
) -> dict[str, Any]:
    readable = in_screen_order(table.without_csv_only())
    differing_axes = varying_axes(rows, settings.all_axes)
    return {
        "columns": [_column_data(column, differing_axes) for column in readable.columns],
        "rows": [
            [cell.text if cell.value is None else [cell.text, cell.value] for cell in row] for row in readable.rows
        ],
        "status": rows["status"].tolist(),
        "reason": rows["reason"].tolist(),
        "server": rows["server_id"].tolist(),
        "servers": server_details(rows, folders["sessions"], folders["timelines"]),
        "facets": _filter_columns(readable, rows),
        "plots": [{name: plot[name] for name in ("id", "data", "layout")} for plot in page_plots],
    }


def _column_data(column: Column, varying_axes: Sequence[str]) -> dict[str, Any]:
    """One column of the table; an axis on which all points are the same is hidden at first."""
    classes_if = {"number": column.aligned_right, "long": any(len(cell.text) > _LONG_CELL for cell in column.cells)}
    classes_if |= {
        "broad": len(column.header) > _LONG_HEADER,
        "key": column.header == "No",
        "name": column.header in varying_axes[:1],
    }
    visible = column.header in ("No", *FIRST, *varying_axes)
    class_names = " ".join(name for name, applies in classes_if.items() if applies)
    return {"title": column.header, "number": column.aligned_right, "visible": visible, "classes": class_names}


def _filter_columns(table: Table, rows: pd.DataFrame) -> list[int]:
    """Places of the columns that get a filter of their own: axes and status, with 2 to 40 different texts."""
    kept = [place for place, column in enumerate(table.columns) if column.keep and column.header in rows]
    return [place for place in kept if 2 <= len({cell.text for cell in table.columns[place].cells}) <= 40]


def _status_counts(rows: pd.DataFrame) -> str:
    """`12 points, 2 engines: 10 ok, 2 failed.`"""
    statuses = rows["status"].value_counts()
    engine_count = len(varying_axes(rows, ["engine"])) and rows["engine"].nunique()
    engines = f", {engine_count} engines" if engine_count else ""
    return (
        f"{len(rows):,} points{engines}: "
        + ", ".join(f"{count:,} {status}" for status, count in statuses.items())
        + "."
    )


def _figure_images(folder: Path) -> list[dict[str, str]]:
    """Figures that were drawn as files; without the one that the page draws itself."""
    paths = [path for path in sorted(folder.glob("*.svg")) if path.stem != "time_threads"]
    urls = ["data:image/svg+xml;base64," + base64.b64encode(path.read_bytes()).decode() for path in paths]
    titles = [path.stem.replace("_", " ").capitalize() for path in paths]
    return [
        {"id": path.stem, "title": title, "data": url} for path, title, url in zip(paths, titles, urls, strict=True)
    ]


def _script_json(value: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _itables_bundle(kind: str) -> str:
    return (files("itables") / "html" / f"dt_bundle.{kind}").read_text(encoding="utf-8")


def _csp_hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
