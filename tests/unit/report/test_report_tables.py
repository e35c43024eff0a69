import base64
import csv
import hashlib
import io
import os
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pandas as pd
import pytest

from data.report.planted import planted
from data.report.synthetic import sweep
from isolation import TESTS
from servegrid.report.result_table import ResultTable
from servegrid.report.settings import Settings
from servegrid.report.tables.point_tables import article_table, comparison_table
from servegrid.report.tables.screen_order import in_screen_order, without_reasons
from servegrid.report.tables.table import Table, condense
from servegrid.report.tables.write import to_csv, to_html, to_markdown
from servegrid.results.points import read_result_table
from servegrid.results.warnings import RowWarning, join_warnings

DATA = TESTS / "data" / "report"
SETTINGS = Settings(title="Golden", axes=("memory_fraction",))


def golden(name: str, text: str) -> None:
    """Compare with the file, or rewrite it where UPDATE_GOLDEN is set."""
    path = DATA / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@pytest.fixture
def points() -> pd.DataFrame:
    return read_result_table(DATA / "points.csv")


@pytest.fixture
def article(points: pd.DataFrame) -> Table:
    return article_table(ResultTable.of(points, SETTINGS))


@pytest.fixture
def comparison(points: pd.DataFrame) -> Table:
    return comparison_table(ResultTable.of(points, SETTINGS))


def test_golden_csv(article: Table, comparison: Table) -> None:
    golden("article.csv", to_csv(article))
    golden("comparison.csv", to_csv(comparison))


def test_golden_markdown(article: Table, comparison: Table) -> None:
    golden("article.md", to_markdown(article))
    golden("comparison.md", to_markdown(condense(comparison)))


def test_the_articles_columns_come_first_and_in_its_order(article: Table) -> None:
    headers = [column.header for column in article.without_csv_only().columns]
    assert headers[:7] == ["No", "GPU", "vRAM (used/total GiB)", "engine", "threads", "time (s)", "speculation"]
    assert headers[7:] == ["quantization", "memory_fraction", "sessions", "client-bound", "status", "reason"]


def test_every_point_is_a_row_and_failures_say_why(article: Table, points: pd.DataFrame) -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(article))))
    assert [row["No"] for row in rows] == [str(n) for n in range(1, len(points) + 1)]
    unmeasured = [row for row in rows if row["status"] not in ("ok", "partial")]
    assert len(unmeasured) == 7
    assert all(row["reason"] and row["time (s)"] == "" for row in unmeasured)


def test_spread_is_shown_only_with_several_sessions(article: Table) -> None:
    times = next(column for column in article.columns if column.header == "time (s)")
    assert times.cells[0].text == "6.18 (5.93\N{EN DASH}6.49)"
    assert times.cells[2].text == "12,346"


def test_csv_has_numbers_and_nothing_a_spreadsheet_would_run(article: Table) -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(article))))
    assert float(rows[2]["time (s)"]) == 12345.7
    assert {row["engine"] for row in rows} == {"vllm", "'=cmd()"}


def test_vram_is_empty_when_unknown_and_a_hole_is_marked() -> None:
    table = sweep(engine=["a", "b", "c"], threads=[1])
    table["vram_used_gib"] = [None, 20.317, None]
    table["vram_total_gib"] = [None, 24.0, 48.0]
    column = article_table(ResultTable.of(table, Settings())).columns[2]
    assert [cell.text for cell in column.cells] == ["", "20.3/24", "?/48"]


def test_condensing_names_what_it_leaves_out(comparison: Table) -> None:
    condensed = condense(comparison)
    headers = {column.header for column in condensed.columns}
    assert {"engine", "quantization", "reason", "energy (J)"} <= headers
    assert not {"host", "driver"} & headers
    assert any("host box" in note for note in condensed.notes)
    assert any("driver" in note for note in condensed.notes if note.startswith("Unknown"))


def test_one_row_keeps_its_constants() -> None:
    condensed = condense(comparison_table(ResultTable.of(sweep(engine=["a"], threads=[1]), Settings())))
    assert "host" in {column.header for column in condensed.columns}


def test_no_points_at_all() -> None:
    table = article_table(ResultTable.of(sweep().iloc[:0], Settings()))
    assert to_csv(table).count("\n") == 1
    assert "<tbody>" in to_html(condense(table))


class _Page(HTMLParser):
    """The parts of a page that a test asks about."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.cells: list[str] = []
        self._in_cell = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("td", "th"):
            self.cells.append("")
        self._in_cell = tag in ("td", "th", "button") or (tag == "div" and self._in_cell)

    def handle_endtag(self, tag: str) -> None:
        self._in_cell = False

    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self.cells[-1] += data


def test_html_shows_the_same_cells_and_each_reason_below_its_row(article: Table) -> None:
    table, reasons = without_reasons(in_screen_order(article.without_csv_only()))
    expected = [column.header for column in table.columns]
    for row, reason in zip(table.rows, reasons, strict=True):
        expected += [*(cell.text for cell in row), *([reason] if reason else [])]
    assert _Page(to_html(article)).cells == expected
    assert sum(map(bool, reasons)) == 9 and "reason" not in expected


def test_html_has_what_is_asked_first_behind_the_axes(article: Table, comparison: Table) -> None:
    headers = [column.header for column in in_screen_order(comparison.without_csv_only()).columns]
    asked = ["status", "time (s)", "output tokens/s", "TTFT p50 (ms)", "TTFT p99 (ms)", "ITL p50 (ms)"]
    axes = ["No", "engine", "gpu", "threads", "speculation", "quantization", "memory_fraction"]
    assert headers[:13] == [*axes, *asked]
    assert sorted(headers) == sorted(column.header for column in comparison.without_csv_only().columns)
    by_article = [column.header for column in in_screen_order(article.without_csv_only()).columns]
    assert by_article[:7] == [column.header for column in article.columns[:7]], "the article's columns keep its order"
    assert by_article.index("status") == by_article.index("memory_fraction") + 1


def test_a_table_without_a_status_is_read_as_it_is(article: Table) -> None:
    claims = replace(article, columns=tuple(c for c in article.without_csv_only().columns if c.header != "status"))
    assert in_screen_order(claims) == claims
    assert 'class="named"' in to_html(article) and 'class="named"' not in to_html(claims)


def test_a_table_without_reasons_has_none_below_its_rows(article: Table) -> None:
    plain = replace(article, columns=article.columns[:7])
    assert without_reasons(plain) == (plain, [""] * len(plain.rows)) and "why" not in re.findall(
        'class="(.*?)"', to_html(plain)
    )


def test_html_is_a_table_for_every_reader(article: Table) -> None:
    tags = _Page(to_html(article)).tags
    scopes = [attrs["scope"] for tag, attrs in tags if tag == "th"]
    assert scopes == ["col"] * (len(article.without_csv_only().columns) - 1) + ["row"] * len(article.rows)
    assert sum(tag == "caption" for tag, _ in tags) == 1
    assert all(attrs.get("type") == "button" for tag, attrs in tags if tag == "button")


def test_names_and_reasons_cannot_become_markup(points: pd.DataFrame) -> None:
    points["engine"] = "</td><img src=x onerror=alert(1)>"
    page = _Page(to_html(article_table(ResultTable.of(points, Settings(title="</title><script>1</script>")))))
    assert not [tag for tag, _ in page.tags if tag == "img"]
    assert sum(tag == "script" for tag, _ in page.tags) == 1


def test_html_runs_its_own_script_only_and_loads_nothing(article: Table) -> None:
    page = to_html(article)
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)
    assert script
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    policy = next(attrs["content"] for tag, attrs in _Page(page).tags if attrs.get("http-equiv"))
    assert policy == f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    assert "http://" not in page and "https://" not in page


def test_sorting_has_the_number_behind_every_formatted_cell(article: Table) -> None:
    values = [attrs["data-v"] for tag, attrs in _Page(to_html(article)).tags if "data-v" in attrs]
    assert "12345.7" in values and "23.517" in values


def test_notes_say_what_a_warning_means_and_what_to_do(points: pd.DataFrame) -> None:
    text = join_warnings([RowWarning.COLD_START, RowWarning.SHARED_HOST])
    notes = comparison_table(ResultTable.of(points.assign(warnings=text), SETTINGS)).notes
    found = [note for note in notes if note.startswith("Warning")]
    assert found == [
        f"Warning \u201c{one.phrase}\u201d: {one.meaning} {one.hint}"
        for one in (RowWarning.SHARED_HOST, RowWarning.COLD_START)
    ]


def test_notes_on_the_load_client(points: pd.DataFrame) -> None:
    notes = " ".join(article_table(ResultTable.of(points.assign(client_bound=True, client="parallel"), SETTINGS)).notes)
    assert f"{len(points):,} points are client-bound" in notes and "shell and curl for every request" in notes
    quiet = " ".join(article_table(ResultTable.of(points.assign(client_bound=False, client="stream"), SETTINGS)).notes)
    assert "client" not in quiet


@pytest.mark.parametrize(
    ("types", "cache", "is_noted"),
    [(["float32", "bfloat16"], ["float32", "bfloat16"], True), (["float32"] * 2, ["float16", "float32"], True),
     (["float32"] * 2, ["float32"] * 2, False), ([None, None], [None, None], False)],
)  # fmt: skip
def test_notes_name_the_number_types_where_engines_differ(types: list[Any], cache: list[Any], is_noted: bool) -> None:
    points, _ = planted({"engine": ["a", "b"]})
    table = article_table(ResultTable.of(points.assign(served_dtype=types, kv_cache_dtype=cache), SETTINGS))
    notes = [note for note in table.notes if "different number types" in note]
    assert bool(notes) == is_noted
    assert not is_noted or f"a {types[0]} (KV cache {cache[0]}), b {types[1]} (KV cache {cache[1]})" in notes[0]
