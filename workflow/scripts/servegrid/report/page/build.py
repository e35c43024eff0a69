"""The page from its parts: points, answer, claims, figures, records."""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from servegrid.report.drawing.panels import in_common
from servegrid.report.page.plotly_marks import Plot
from servegrid.report.page.plots import RANGED, plots
from servegrid.report.page.point_details import servers
from servegrid.report.page.start_up import start_ups
from servegrid.report.published import marked
from servegrid.report.result_table import ResultTable
from servegrid.report.settings import Settings
from servegrid.report.tables.point_tables import comparison_table
from servegrid.report.tables.screen_order import FIRST, for_reading
from servegrid.report.tables.table import Column, Table, condense
from servegrid.results.points import varying_axes
from servegrid.results.session_values import with_ranges

_HERE = Path(__file__).parent
_LONG = 40  # characters from which a cell is cut on the screen; its point's page has all of it
_LONG_HEADER = 20


def page(
    table: ResultTable,
    parts: Mapping[str, Any],
    folders: Mapping[str, Path],
    config: str,
) -> str:
    """The whole page as HTML.

    Args:
        table: the rows; with its sessions figures draw ranges, without them only times have one.
        parts: what the template shows above the table: `answer`, `claims`, `questions`, `facts`; each may be missing.
        folders: `sessions`, `timelines` and `figures`.
        config: the resolved config of the run, as text.
    """
    rows, settings = table.rows, table.settings
    comparison = condense(comparison_table(table))
    seen = with_ranges(marked(rows), table.sessions, RANGED)
    drawn = [*plots(seen, settings), *start_ups(rows, folders["sessions"], settings)]
    given = {name: parts.get(name) for name in ("answer", "claims", "questions")}
    text: str = _template().render(
        **given,
        title=settings.title,
        facts=parts.get("facts", []),
        counts=_counts(rows),
        unanswered=parts.get("unanswered", "No point was measured well enough to recommend one."),
        same=in_common(rows, settings.all_axes),
        notes=comparison.notes,
        plots=[{name: plot[name] for name in ("id", "title", "note")} for plot in drawn],
        pictures=_pictures(folders["figures"]),
        config=config,
        data=_json(_data(rows, settings, comparison, drawn, folders)),
        **_code(),
    )
    return text


def _code() -> dict[str, Any]:
    """Styles and scripts, own and of libraries, with the hashes that allow them to run."""
    script, plotly = (_HERE / "page.js").read_text(encoding="utf-8"), _plotly()
    styles = {"css": (_HERE / "page.css").read_text(encoding="utf-8"), "table_css": _tables_library("css")}
    tables = base64.b64encode(_tables_library("js").encode()).decode()
    hashes = [_csp_hash(each) for each in (plotly, script)]
    return styles | {"tables_library": tables, "plotly": plotly, "script": script, "hashes": hashes}


def _template() -> Any:
    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
    return environment.get_template("page.html.j2")


def _data(
    rows: pd.DataFrame, settings: Settings, table: Table, drawn: list[Plot], folders: Mapping[str, Path]
) -> dict[str, Any]:
    shown = for_reading(table.shown())
    apart = varying_axes(rows, settings.all_axes)
    return {
        "columns": [_column(column, apart) for column in shown.columns],
        "rows": [[cell.text if cell.value is None else [cell.text, cell.value] for cell in row] for row in shown.rows],
        "status": rows["status"].tolist(),
        "reason": rows["reason"].tolist(),
        "server": rows["server_id"].tolist(),
        "servers": servers(rows, folders["sessions"], folders["timelines"]),
        "facets": _facets(shown, rows),
        "plots": [{name: plot[name] for name in ("id", "data", "layout")} for plot in drawn],
    }


def _column(column: Column, apart: Sequence[str]) -> dict[str, Any]:
    """One column of the table; an axis on which all points are the same is out of sight at first."""
    looks = {"number": column.right, "long": any(len(cell.text) > _LONG for cell in column.cells)}
    looks |= {
        "broad": len(column.header) > _LONG_HEADER,
        "key": column.header == "No",
        "name": column.header in apart[:1],
    }
    visible = column.header in ("No", *FIRST, *apart)
    classes = " ".join(look for look, has in looks.items() if has)
    return {"title": column.header, "number": column.right, "visible": visible, "classes": classes}


def _facets(table: Table, rows: pd.DataFrame) -> list[int]:
    """Columns that are worth a filter of their own: axes and status, with 2 to 40 different texts."""
    kept = [place for place, column in enumerate(table.columns) if column.keep and column.header in rows]
    return [place for place in kept if 2 <= len({cell.text for cell in table.columns[place].cells}) <= 40]


def _counts(rows: pd.DataFrame) -> str:
    found = rows["status"].value_counts()
    apart = len(varying_axes(rows, ["engine"])) and rows["engine"].nunique()
    engines = f", {apart} engines" if apart else ""
    return (
        f"{len(rows):,} points{engines}: " + ", ".join(f"{count:,} {status}" for status, count in found.items()) + "."
    )


def _pictures(folder: Path) -> list[dict[str, str]]:
    """Figures that were drawn as files; the first is drawn on the page itself."""
    paths = [path for path in sorted(folder.glob("*.svg")) if path.stem != "time_threads"]
    return [
        {"id": path.stem, "title": path.stem.replace("_", " ").capitalize(), "data": _picture(path)} for path in paths
    ]


def _picture(path: Path) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(path.read_bytes()).decode()


def _json(value: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _plotly() -> str:
    return (files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")


def _tables_library(kind: str) -> str:
    return (files("itables") / "html" / f"dt_bundle.{kind}").read_text(encoding="utf-8")


def _csp_hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
